"""Predictions in chunks: files of a fixed number of rows, each written whole.

A chunk says which prediction it belongs to. Any number of processes, on one machine or
on many that share a disk, can make chunks; one that is there is never made again.
"""

import json
import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gzjax.data.familiar.wrong_kinds import UNKNOWN
from gzjax.data.images.read_image import FLAGS
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
        unlike: float32 ``[n 2]``, from the calibration
            (:class:`gzjax.data.familiar.classifier.Familiarity`); ``[n 0]`` without.
    """

    votes: np.ndarray
    spread: np.ndarray
    bad: np.ndarray
    unlike: np.ndarray


class Chunks:
    """The chunks of one run's predictions.

    The ``folder`` is made when the first is written. There are ``num_rows`` in all
    chunks together. The ``identity`` is all that the numbers depend on, JSON-ready.
    """

    def __init__(self, folder: Path, num_rows: int, identity: dict):
        self.folder, self.num_rows, self._identity = folder, num_rows, identity

    def __len__(self) -> int:
        return math.ceil(self.num_rows / ROWS)

    def rows(self, number: int) -> range:
        """Returns the rows of a chunk."""
        return range(number * ROWS, min((number + 1) * ROWS, self.num_rows))

    def missing(self, share: int = 0, num_shares: int = 1) -> list[int]:
        """Returns the numbers of the chunks of a shard that are yet to be made."""
        numbers = range(share, len(self), num_shares)
        return [i for i in numbers if not self._path(i).is_file()]

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
        path, num_rows = self._path(number), len(self.rows(number))
        advice = f"Remove {self.folder}, or give another --output"
        try:
            with np.load(path) as arrays:
                there = dict(json.loads(str(arrays["identity"])))
                check_same(there, self._identity, path, advice)
                chunk = Chunk(*(arrays[name] for name in Chunk._fields))
            sizes = [(array.ndim, len(array)) for array in chunk]
            is_whole = sizes == [(d, num_rows) for d in (2, 2, 1, 2)]
            kinds = chunk.unlike[:, 1:]
            is_known = max(chunk.bad) < len(FLAGS) and kinds.max(initial=0) <= UNKNOWN
            if not is_whole or not is_known:
                raise ValueError(f"it does not hold {num_rows} predictions")
        except (TypeError, *READ_ERRORS) as error:
            raise UserError(
                f"{path} cannot be read: {reason(error)}; remove it, and give the "
                "command of predict again"
            ) from error
        return chunk

    def check(self) -> None:
        """Raises a UserError if a chunk that is there is of another prediction."""
        if there := set(range(len(self))).difference(self.missing()):
            self.read(min(there))

    def _path(self, number: int) -> Path:
        return self.folder / f"chunk-{number:05d}-of-{len(self):05d}.npz"


def parse_shard(
    text: str, environment: Mapping[str, str] = os.environ
) -> tuple[int, int]:
    """Returns which share ``--shard`` names, from 0, and how many shares there are.

    The text is ``""`` for all; ``"2/8"`` for the second of eight; ``"env"`` for what a
    SLURM array or a TPU pod sets in the environment; or ``"env/8"`` for an indexed
    Kubernetes job of 8 completions, which does not tell their number.

    Raises:
        UserError: the text is invalid, or no launcher has set a variable.
    """
    if not text:
        return 0, 1
    if match := re.fullmatch(r"(\d{1,6})/(\d{1,6})", text):
        index, count = int(match[1]) - 1, int(match[2])
    elif match := re.fullmatch(r"env(?:/(\d{1,6}))?", text):
        index, count = _from_environment(environment, int(match[1] or 0))
    else:
        raise UserError(f"--shard={text}: give I/N as in 2/8, env or env/N")
    if not 0 <= index < count:
        raise UserError(f"--shard={text}: {index + 1} is not in 1 .. {count}")
    return index, count


def _from_environment(environment, count):
    number = {k: int(v) for k, v in environment.items() if re.fullmatch(r"\d+", v)}
    if "SLURM_ARRAY_TASK_ID" in number:
        first = number.get("SLURM_ARRAY_TASK_MIN", 0)
        step = number.get("SLURM_ARRAY_TASK_STEP", 1)
        index = (number["SLURM_ARRAY_TASK_ID"] - first) // step
        count = count or number.get("SLURM_ARRAY_TASK_COUNT", 0)
    elif "JOB_COMPLETION_INDEX" in number:
        index = number["JOB_COMPLETION_INDEX"]
    elif "TPU_WORKER_ID" in number:
        index = number["TPU_WORKER_ID"]
        hosts = environment.get("TPU_WORKER_HOSTNAMES", "")
        count = count or len([host for host in hosts.split(",") if host])
    else:
        raise UserError(
            "--shard=env: none of SLURM_ARRAY_TASK_ID, JOB_COMPLETION_INDEX and "
            "TPU_WORKER_ID is set; give --shard=I/N"
        )
    if not count:
        raise UserError("--shard=env: into how many shares is not set; give env/N")
    return index, count
