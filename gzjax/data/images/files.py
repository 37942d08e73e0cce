"""Files as they lie on disks, in a folder or a zip: listed, and read up to a limit."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from gzjax.data.images.zip_archive import ZipArchive
from gzjax.files import open_regular

MAX_BYTES = 1 << 26  # of a file that is read; 64 MiB
MISSING_SIZE = -1

_SYSTEM_FILES = frozenset(["__MACOSX", "Thumbs.db", "desktop.ini"])


class FolderFiles:
    """Files by their paths below a folder."""

    def __init__(self, path: Path):
        self.path = path

    def below(self, prefix: str) -> "FolderFiles":
        """The files of a folder in it; ``prefix`` ends with a slash, or is empty."""
        return FolderFiles(self.path / prefix)

    def stamp(self, file: str) -> int:
        """When the file was last written, in ns; 0: there is none."""
        try:
            return os.stat(self.path / file).st_mtime_ns
        except OSError:
            return 0

    def read(self, file: str) -> bytes:
        """``MAX_BYTES + 1`` bytes at most; raises some of READ_ERRORS."""
        with open_regular(self.path / file) as stream:
            return stream.read(MAX_BYTES + 1)


class ZippedFiles:
    """Files in a zip."""

    def __init__(self, archive: ZipArchive, prefix: str = ""):
        self._archive = archive
        self._prefix = prefix

    def below(self, prefix: str) -> "ZippedFiles":
        """As for :class:`FolderFiles`."""
        return ZippedFiles(self._archive, self._prefix + prefix)

    def sizes(self) -> list[tuple[str, int]]:
        """Path and size of every file, as the zip lists them."""
        return [
            (entry.filename, entry.file_size)
            for entry in self._archive.entries()
            if not entry.is_dir() and all(map(_is_theirs, entry.filename.split("/")))
        ]

    def stamp(self, file: str) -> int:
        """The checksum of the file's content."""
        return self._archive.entry(self._prefix + file).CRC

    def read(self, file: str) -> bytes:
        """``MAX_BYTES + 1`` bytes at most; raises some of READ_ERRORS."""
        return self._archive.read(self._prefix + file, MAX_BYTES + 1)


def scan(folder: str | Path, prefix: str = "") -> Iterator[tuple[str, int]]:
    """Path below the folder and size of every file; see :func:`find_cutouts`."""
    with os.scandir(folder) as entries:
        for entry in filter(lambda entry: _is_theirs(entry.name), entries):
            if entry.is_dir(follow_symlinks=False):
                yield from scan(entry.path, f"{prefix}{entry.name}/")
            elif not (entry.is_symlink() and os.path.isdir(entry.path)):
                yield prefix + entry.name, size_of(entry.path)


def size_of(path: str | Path) -> int:
    """Bytes of a file; ``MISSING_SIZE`` if it is not there, or is no file."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):  # the latter: a NUL in the path
        return MISSING_SIZE
    return found.st_size if stat.S_ISREG(found.st_mode) else MISSING_SIZE


def _is_theirs(part: str) -> bool:
    hidden = part.startswith(".") and part not in (".", "..")
    return not hidden and part not in _SYSTEM_FILES
