"""The share of the work that is this process's: ``--shard``, or what launchers set."""

import os
import re
from collections.abc import Mapping

from gzjax.errors import UserError


def parse_shard(
    text: str, environment: Mapping[str, str] = os.environ
) -> tuple[int, int]:
    """Returns which share ``--shard`` names, from 0, and how many shares there are.

    Args:
        text: ``""`` for all; ``"2/8"`` for the second of eight; ``"env"`` for what a
            SLURM array or a TPU pod sets, or ``"env/8"`` for an indexed Kubernetes job
            of 8 completions, which does not tell their number.
        environment: of this process.

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
