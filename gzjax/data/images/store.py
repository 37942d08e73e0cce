"""The files of a folder or zip: listed without stray ones, and read up to a limit."""

import io
import os
import re
import stat
import threading
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from gzjax.errors import first_few
from gzjax.files import open_regular

MAX_BYTES = 1 << 26  # of an image file that is read; 64 MiB
MISSING_SIZE = -1

# bzip2 and LZMA inflate all that they are given at once, however much that becomes.
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_MAX_READ_BYTES = 1 << 28  # at once; a zip's directory is read so
_LEADS_OUT = re.compile(r"[/\\]|[A-Za-z]:|(.*[/\\])?\.\.([/\\]|$)", re.DOTALL)
_STRAY_NAMES = frozenset(["__MACOSX", "Thumbs.db", "desktop.ini", "lost+found"])


def is_stray(path: str) -> bool:
    """Returns whether a system, not a person, made a file or a folder above it."""
    return any(
        part in _STRAY_NAMES or (part.startswith(".") and part not in (".", ".."))
        for part in path.split("/")
    )


def size_of(path: str | Path) -> int:
    """Returns a file's bytes, or ``MISSING_SIZE`` if there is no such regular file."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):  # the latter: a NUL in the path
        return MISSING_SIZE
    return found.st_size if stat.S_ISREG(found.st_mode) else MISSING_SIZE


class FolderFiles:
    """The files below a folder, by their paths from there."""

    def __init__(self, path: Path):
        self.path = path

    def sizes(self) -> list[tuple[str, int]]:
        """Returns path and bytes of every file that is not stray, in any order."""
        return list(_scan(self.path))

    def stamp(self, file: str) -> int:
        """Returns when the file was last written, in ns, or 0 if it is missing."""
        try:
            return os.stat(self.path / file).st_mtime_ns
        except OSError:
            return 0

    def read(self, file: str) -> bytes:
        """Returns at most ``MAX_BYTES + 1`` bytes; raises some of READ_ERRORS."""
        with open_regular(self.path / file) as stream:
            return stream.read(MAX_BYTES + 1)


def _scan(folder: str | Path, prefix: str = "") -> Iterator[tuple[str, int]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if is_stray(entry.name):
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from _scan(entry.path, f"{prefix}{entry.name}/")
            elif not (entry.is_symlink() and os.path.isdir(entry.path)):
                yield prefix + entry.name, size_of(entry.path)


def open_zip(path: Path) -> zipfile.ZipFile:
    """Opens an untrusted zip.

    Raises:
        READ_ERRORS: the file is not a zip; or has entries whose paths lead out of it
            (nothing is ever unpacked, but nobody means well by them), or whose
            compression cannot be read little by little.
    """
    archive = _BoundedZip(path)
    entries = archive.infolist()
    leading = [e.filename for e in entries if _LEADS_OUT.match(e.filename)]
    others = [e.filename for e in entries if e.compress_type not in _METHODS]
    if names := leading or others:
        wrong = "lead out of it" if leading else "are not stored or deflated"
        raise zipfile.BadZipFile(f"it has entries that {wrong}: {first_few(names)}")
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

        A path that is there twice raises a BadZipFile.
        """
        with self._lock:
            entries = self._open().infolist()
        found = [
            (entry.filename, entry.file_size)
            for entry in entries
            if not entry.is_dir() and not is_stray(entry.filename)
        ]
        counts = Counter(name for name, _ in found)
        if twice := sorted(name for name, count in counts.items() if count > 1):
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
