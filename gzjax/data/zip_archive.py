"""A zip in random access, for threads and for processes that were forked or spawned."""

import os
import threading
import zipfile
from pathlib import Path


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
        with self._lock, self._open().open(name) as stream:
            return stream.read(limit)

    def _open(self) -> zipfile.ZipFile:
        # A forked child shares its parent's file position: it needs its own handle.
        if self._archive is None or self._process != os.getpid():
            self._archive = zipfile.ZipFile(self.path)
            self._process = os.getpid()
        return self._archive
