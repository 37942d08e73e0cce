"""The files of a prepared data set: their names, their order, and how they are read.

* ``manifest.json``, written last: without it a folder is no prepared data set;
* ``galaxies.npy``: ids, votes, sizes, and where each image is; see ``galaxies_dtype``;
* ``images-00003-of-00016.array_record``: the JPEGs as they were, in ascending order of
  ids; or ``pixels.npy``: uint8 RGB ``[rows h w 3]``;
* ``left_out.csv``: ids and reasons, if images were left out.
"""

import io
import os
import re
import threading
import weakref
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from array_record.python.array_record_module import ArrayRecordReader

MANIFEST = "manifest.json"
GALAXIES = "galaxies.npy"
PIXELS = "pixels.npy"
LEFT_OUT = "left_out.csv"
JOURNAL = "progress.jsonl"  # while it is made
FORMAT = 1  # of all these files together
JPEG, PIXEL = "jpeg", "pixels"
KINDS = (JPEG, PIXEL)

# Records are read one by one, in random order, by threads that are there already.
_READ_OPTIONS = "readahead_buffer_size:0,max_parallelism:0"


def shard_name(number: int, num_shards: int) -> str:
    """The file of shard ``number`` of ``num_shards``."""
    return f"images-{number:05}-of-{num_shards:05}.array_record"


def is_part_name(name: object) -> bool:
    """Whether a manifest may call a file of images so: by no path, above all."""
    pattern = r"images-\d{5}-of-\d{5}\.array_record|" + re.escape(PIXELS)
    return isinstance(name, str) and bool(re.fullmatch(pattern, name))


def galaxies_dtype(num_answers: int) -> np.dtype:
    """A row of ``galaxies.npy``, little-endian.

    ``id``; ``votes`` [a], absolute fractions; ``jpeg_bytes``, of the original file;
    ``row``: the image's position among all records of the shards, or in ``pixels.npy``.
    """
    return np.dtype(
        [
            ("id", "<i8"),
            ("votes", "<f4", (num_answers,)),
            ("jpeg_bytes", "<i8"),
            ("row", "<i8"),
        ]
    )


def npy_header(shape: Sequence[int]) -> bytes:
    """What a ``.npy`` file of uint8 ``shape`` begins with."""
    stream = io.BytesIO()
    header = {"descr": "|u1", "fortran_order": False, "shape": tuple(shape)}
    np.lib.format.write_array_header_1_0(stream, header)
    return stream.getvalue()


class JpegShards:
    """Records by position, over all shards; pickles without open files.

    Safe in threads; a forked or spawned process opens the shards for itself.

    Args:
        paths: of the shards.
        counts: how many records each has.
    """

    def __init__(self, paths: Sequence[Path], counts: Sequence[int]):
        self.paths, self._counts = paths, counts
        self._ends = np.cumsum(counts)
        self._lock = threading.Lock()
        self._readers: dict[int, ArrayRecordReader] = {}
        self._process = 0

    def __reduce__(self):
        return JpegShards, (self.paths, self._counts)

    def shard_of(self, row: int) -> int:
        """Which of the shards holds record ``row``."""
        return int(np.searchsorted(self._ends, row, side="right"))

    def path_of(self, row: int) -> Path:
        """The file that holds record ``row``."""
        return self.paths[self.shard_of(row)]

    def read(self, row: int) -> bytes:
        """One record; raises RuntimeError or LookupError if it cannot be had."""
        shard = self.shard_of(row)
        start = int(self._ends[shard]) - self._counts[shard]
        return self._reader(shard).read([row - start])[0]

    def _reader(self, shard: int) -> ArrayRecordReader:
        if self._process == os.getpid() and shard in self._readers:
            return self._readers[shard]
        with self._lock:
            if self._process != os.getpid():
                self._readers, self._process = {}, os.getpid()
            if shard not in self._readers:
                path = str(self.paths[shard])
                self._readers[shard] = ArrayRecordReader(path, options=_READ_OPTIONS)
            return self._readers[shard]


class PixelRows:
    """The rows of ``pixels.npy``; pickles without an open file, safe in threads.

    Rows are read, not mapped into memory: as fast, a lost disk is an error and not the
    end of the process, and a thread that waits for the disk lets the others run.

    Args:
        path: of the file.
        shape: (rows, h, w, 3).
    """

    def __init__(self, path: Path, shape: Sequence[int]):
        self.path, self.shape = path, tuple(shape)
        self._start = len(npy_header(shape))
        self._row_bytes = int(np.prod(shape[1:]))
        self._lock = threading.Lock()
        self._file: int | None = None

    def __reduce__(self):
        return PixelRows, (self.path, self.shape)

    def path_of(self, row: int) -> Path:
        """The file, which holds them all."""
        del row
        return self.path

    def read(self, row: int) -> np.ndarray:
        """uint8 ``[h w 3]``, read-only; raises OSError or EOFError."""
        if self._file is None:
            self._open()
        start = self._start + row * self._row_bytes
        data = os.pread(self._file, self._row_bytes, start)
        if len(data) < self._row_bytes:
            raise EOFError
        return np.frombuffer(data, np.uint8).reshape(self.shape[1:])

    def _open(self) -> None:
        with self._lock:
            if self._file is None:  # no position is shared: a forked child may use it
                file = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
                weakref.finalize(self, os.close, file)
                self._file = file
