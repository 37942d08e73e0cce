"""Shares of the work: given, or set by launchers."""

import numpy as np
import pytest

from gzjax.errors import UserError
from gzjax.prediction.chunks import Chunk, Chunks, parse_shard

SLURM = {"ID": "14", "MIN": "10", "STEP": "2", "COUNT": "5"}
SLURM = {f"SLURM_ARRAY_TASK_{key}": value for key, value in SLURM.items()}
TPU = {"TPU_WORKER_ID": "3", "TPU_WORKER_HOSTNAMES": "a,b,c,d"}


@pytest.mark.parametrize(
    ("text", "environment", "expected"),
    [
        ("", SLURM, (0, 1)),
        ("1/1", {}, (0, 1)),
        ("8/8", {}, (7, 8)),
        ("env", SLURM, (2, 5)),
        ("env", TPU, (3, 4)),
        ("env/6", {"JOB_COMPLETION_INDEX": "0"}, (0, 6)),
    ],
)
def test_share(text, environment, expected):
    assert parse_shard(text, environment) == expected


@pytest.mark.parametrize(
    ("text", "environment", "message"),
    [
        ("0/4", {}, "0 is not in 1 .. 4"),
        ("5/4", {}, "5 is not in 1 .. 4"),
        ("two", {}, "give I/N as in 2/8"),
        ("env", {}, "none of SLURM_ARRAY_TASK_ID"),
        ("env", {"JOB_COMPLETION_INDEX": "1"}, "is not set; give env/N"),
        ("env/4", {"JOB_COMPLETION_INDEX": "4"}, "5 is not in 1 .. 4"),
    ],
)
def test_what_cannot_be_is_one_message(text, environment, message):
    with pytest.raises(UserError, match=message):
        parse_shard(text, environment)


@pytest.mark.parametrize("count", [1, 3, 7, 20])
def test_shares_are_all_and_do_not_overlap(count, tmp_path, monkeypatch):
    monkeypatch.setattr("gzjax.prediction.chunks.ROWS", 2)
    chunks = Chunks(tmp_path, 19, {})
    for done in (1, 4):
        chunks.write(done, Chunk(*np.zeros((2, 2, 1)), np.zeros(2), np.zeros((2, 0))))
    shares = [chunks.missing(i, count) for i in range(count)]
    assert sorted(number for share in shares for number in share) == chunks.missing()
    assert chunks.missing() == [0, 2, 3, 5, 6, 7, 8, 9]
