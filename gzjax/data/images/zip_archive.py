"""The files of a zip in random access, for threads and for other processes."""

import io
import os
import re
import threading
import zipfile
from collections import Counter
from pathlib import Path

from gzjax.data.images.files import MAX_BYTES, is_stray
from gzjax.errors import first_few
from gzjax.files import open_regular

# bzip2 and LZMA inflate all that they are given at once, however much that becomes.
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_MAX_READ_BYTES = 1 << 28  # at once; a zip's directory is read so
_LEADS_OUT = re.compile(r"[/\\]|[A-Za-z]:|(.*[/\\])?\.\.([/\\]|$)", re.DOTALL)


def open_zip(path: Path) -> zipfile.ZipFile:
    """Opens an untrusted zip.

    Raises:
        zipfile.BadZipFile: the file is not a zip; or has entries whose paths lead out
            of it (nothing is ever unpacked, but nobody means well by them), or entries
            whose compression cannot be read little by little.
        Exception: others of :data:`gzjax.errors.READ_ERRORS`.
    """
    archive = _BoundedZip(path)
    entries = archive.infolist()
    leading = [e.filename for e in entries if _LEADS_OUT.match(e.filename)]
    if leading:
        raise zipfile.BadZipFile(
            f"it has entries that lead out of it: {first_few(leading)}"
        )
    others = [e.filename for e in entries if e.compress_type not in _METHODS]
    if others:
        raise zipfile.BadZipFile(
            f"it has entries that are not stored or deflated: {first_few(others)}"
        )
    return archive


class _BoundedReader(io.BufferedReader):
    """A file whose reader believes no number in it, however large."""

    def read(self, size: int | None = -1) -> bytes:
        if size is not None and size > _MAX_READ_BYTES:
            raise zipfile.BadZipFile(f"its directory has {size:,} bytes")
        return super().read(size)


class _BoundedZip(zipfile.ZipFile):
    """Opens its file itself: zipfile does not close one that it is given."""

    _source = io.BytesIO()  # until it is open

    def __init__(self, path: Path):
        self._source = _BoundedReader(open_regular(path).detach())
        super().__init__(self._source)

    def close(self) -> None:
        super().close()
        self._source.close()


class ZipFiles:
    """The files in a zip, with the methods of :class:`FolderFiles`.

    Each process opens the zip when it first needs it, so that this pickles without an
    open file. Every method raises some of READ_ERRORS.
    """

    def __init__(self, path: Path):
        self.path = path
        self._lock = threading.Lock()
        self._archive: zipfile.ZipFile | None = None
        self._process = 0

    def __reduce__(self):
        return ZipFiles, (self.path,)

    def sizes(self) -> list[tuple[str, int]]:
        """Returns path and bytes of every file that is not stray, in the zip's order.

        Raises:
            zipfile.BadZipFile: a path stands there twice.
        """
        with self._lock:
            entries = self._open().infolist()
        found = [
            (entry.filename, entry.file_size)
            for entry in entries
            if not entry.is_dir() and not is_stray(entry.filename)
        ]
        counts = Counter(name for name, _ in found)
        if len(counts) < len(found):
            twice = sorted(name for name, count in counts.items() if count > 1)
            raise zipfile.BadZipFile(f"it has two entries {first_few(twice)}")
        return found

    def stamp(self, file: str) -> int:
        """Returns the checksum of the file's content."""
        with self._lock:
            return self._open().getinfo(file).CRC

    def read(self, file: str) -> bytes:
        """Returns at most ``MAX_BYTES + 1`` bytes."""
        # With the lock, since zipfile's files share one position.
        with self._lock, self._open().open(file) as stream:
            return stream.read(MAX_BYTES + 1)

    def _open(self) -> zipfile.ZipFile:
        # A forked child shares its parent's file position: it needs its own handle.
        if self._archive is None or self._process != os.getpid():
            self._archive = open_zip(self.path)
            self._process = os.getpid()
        return self._archive
