"""Predictions in chunks: files of a fixed number of rows, each written whole.

A chunk says which prediction it belongs to. Any number of processes, on one machine or
on many that share a disk, can make chunks; one that is there is never made again.
"""

import json
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gzjax.data.ledger import check_same
from gzjax.errors import READ_ERRORS, UserError, reason
from gzjax.files import open_aside

ROWS = 512  # of a chunk; the last may have fewer


class Chunk(NamedTuple):
    """Predictions for n consecutive images.

    Attributes:
        votes: float32 ``[n a]``, or features ``[n f]``: means over the averaging set.
        spread: float32 ``[n a]``, their standard deviation; ``[n 0]`` of features.
        bad: uint8 ``[n]``, 0 or the code of a bad image, whose numbers mean nothing.
    """

    votes: np.ndarray
    spread: np.ndarray
    bad: np.ndarray


class Chunks:
    """The chunks of one run's predictions.

    Args:
        folder: holds the chunks; made when the first is written.
        num_rows: of all chunks together.
        identity: all that the numbers depend on, JSON-ready.
    """

    def __init__(self, folder: Path, num_rows: int, identity: dict):
        self.folder, self.num_rows, self._identity = folder, num_rows, identity

    def __len__(self) -> int:
        return math.ceil(self.num_rows / ROWS)

    def rows(self, number: int) -> range:
        """Returns the rows of a chunk."""
        return range(number * ROWS, min((number + 1) * ROWS, self.num_rows))

    def missing(self) -> list[int]:
        """Returns the numbers of the chunks that are yet to be made."""
        return [i for i in range(len(self)) if not self._path(i).is_file()]

    def write(self, number: int, chunk: Chunk) -> None:
        """Writes a chunk aside, then renames it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        identity = np.array(json.dumps(self._identity))
        with open_aside(self._path(number), "wb") as file:
            np.savez(file, identity=identity, **chunk._asdict())

    def read(self, number: int) -> Chunk:
        """Reads a chunk.

        Raises:
            UserError: it is missing, is damaged, or belongs to another prediction.
        """
        path = self._path(number)
        try:
            with np.load(path) as arrays:
                there = dict(json.loads(str(arrays["identity"])))
                chunk = Chunk(*(arrays[name] for name in Chunk._fields))
        except (TypeError, *READ_ERRORS) as error:
            raise UserError(
                f"{path} cannot be read: {reason(error)}; remove it, and give the "
                "command of predict again"
            ) from error
        advice = f"Remove {self.folder}, or give another --output"
        check_same(there, self._identity, path, advice)
        return chunk

    def check(self) -> None:
        """Raises a UserError if a chunk that is there is of another prediction."""
        there = set(range(len(self))).difference(self.missing())
        if there:
            self.read(min(there))

    def _path(self, number: int) -> Path:
        return self.folder / f"chunk-{number:05d}-of-{len(self):05d}.npz"
