"""Predictions in parts: files of a fixed number of rows, each written whole.

A part says what it is part of. Any number of processes, on one machine or on many that
share a disk, can make them; one that is there is never made again.
"""

import json
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gzjax.errors import READ_ERRORS, UserError, reason
from gzjax.files import open_aside

ROWS = 512  # of a part, but for the last


class Part(NamedTuple):
    """Predictions for consecutive images.

    Attributes:
        votes: float32 [n a], the mean over the averaging set; of embeddings
            [n f], that of the features.
        spread: float32 [n a], the standard deviation over them; of embeddings [n 0].
        bad: uint8 [n], 0 or the code of a bad image, whose numbers mean nothing.
    """

    votes: np.ndarray
    spread: np.ndarray
    bad: np.ndarray


class Parts:
    """The parts of one run's predictions.

    Args:
        folder: where they lie; made when the first is written.
        num_rows: of all parts together.
        identity: JSON-ready: all that the numbers depend on.
    """

    def __init__(self, folder: Path, num_rows: int, identity: dict):
        self.folder = folder
        self.num_rows = num_rows
        self._identity = json.dumps(identity, sort_keys=True)

    def __len__(self) -> int:
        return math.ceil(self.num_rows / ROWS)

    def rows(self, number: int) -> range:
        """The rows of a part."""
        return range(number * ROWS, min((number + 1) * ROWS, self.num_rows))

    def missing(self) -> list[int]:
        """Numbers of the parts that are not there."""
        return [i for i in range(len(self)) if not self._path(i).is_file()]

    def write(self, number: int, part: Part) -> None:
        """Writes a part aside, then renames it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with open_aside(self._path(number), "wb") as file:
            np.savez(file, identity=np.array(self._identity), **part._asdict())

    def read(self, number: int) -> Part:
        """Reads a part.

        Raises:
            UserError: it is missing or broken, or part of something else.
        """
        path = self._path(number)
        try:
            with np.load(path) as arrays:
                identity = str(arrays["identity"])
                part = Part(*(arrays[name] for name in Part._fields))
        except READ_ERRORS as error:
            raise UserError(
                f"{path} cannot be read: {reason(error)}; remove it, and give the "
                "command of predict again"
            ) from error
        self._check(path, identity)
        return part

    def check(self) -> None:
        """Raises a UserError if a part that is there is part of something else."""
        there = sorted(set(range(len(self))) - set(self.missing()))
        for number in there[:1]:
            self.read(number)

    def _path(self, number: int) -> Path:
        return self.folder / f"part-{number:05d}-of-{len(self):05d}.npz"

    def _check(self, path, identity):
        if identity == self._identity:
            return
        there, here = json.loads(identity), json.loads(self._identity)
        differing = [
            f"  {key}: {there.get(key)!r} there, {here.get(key)!r} here"
            for key in sorted(there.keys() | here.keys())
            if there.get(key) != here.get(key)
        ]
        raise UserError(
            f"{path} is part of other predictions:\n" + "\n".join(differing) + "\n"
            f"Remove {self.folder}, or give another --output"
        )
