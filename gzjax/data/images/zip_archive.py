"""A zip in random access, for threads and for processes that were forked or spawned."""

import io
import os
import re
import threading
import zipfile
from pathlib import Path

from gzjax.errors import first_few
from gzjax.files import open_regular

# bzip2 and LZMA inflate all that they are given at once, however much that becomes.
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_MAX_READ_BYTES = 1 << 28  # at once; a zip's directory is read so
_LEADS_OUT = re.compile(r"[/\\]|[A-Za-z]:|(.*[/\\])?\.\.([/\\]|$)", re.DOTALL)


def open_zip(path: Path) -> zipfile.ZipFile:
    """Opens a zip of anybody's.

    Raises:
        zipfile.BadZipFile: it is none, or has entries whose paths lead out of it
            (nothing is ever unpacked; but nobody means well by them), or entries that
            are compressed in a way that cannot be read little by little.
        Exception: others of :data:`gzjax.errors.READ_ERRORS`.
    """
    archive = _BoundedZip(path)
    names = [entry.filename for entry in archive.infolist()]
    if leading := [name for name in names if _LEADS_OUT.match(name)]:
        raise zipfile.BadZipFile(
            f"it has entries that lead out of it: {first_few(leading)}"
        )
    others = [e.filename for e in archive.infolist()
              if e.compress_type not in _METHODS]  # fmt: skip
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


class ZipArchive:
    """Opened on first use in each process; pickles without an open file."""

    def __init__(self, path: Path):
        self.path = path
        self._lock = threading.Lock()
        self._archive: zipfile.ZipFile | None = None
        self._process = 0

    def __reduce__(self):
        return ZipArchive, (self.path,)

    def entries(self) -> list[zipfile.ZipInfo]:
        """All entries; raises some of READ_ERRORS, as does :meth:`read`."""
        with self._lock:
            return self._open().infolist()

    def entry(self, name: str) -> zipfile.ZipInfo:
        """The entry of that name."""
        with self._lock:
            return self._open().getinfo(name)

    def read(self, name: str, limit: int = -1) -> bytes:
        """The first ``limit`` bytes of a file; -1: all of them."""
        with self._lock:
            entry = self._open().getinfo(name)
            # Without a limit, zipfile inflates more than the directory promises.
            with self._open().open(entry) as stream:
                return stream.read(entry.file_size if limit < 0 else limit)

    def _open(self) -> zipfile.ZipFile:
        # A forked child shares its parent's file position: it needs its own handle.
        if self._archive is None or self._process != os.getpid():
            self._archive = open_zip(self.path)
            self._process = os.getpid()
        return self._archive
