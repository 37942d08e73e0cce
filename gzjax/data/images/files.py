"""The files of a folder: listed without stray ones, and read up to a limit."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from gzjax.files import open_regular

MAX_BYTES = 1 << 26  # of an image file that is read; 64 MiB
MISSING_SIZE = -1
NUM_THREADS = 8  # that read files at a time

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
