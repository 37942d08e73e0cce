"""Chooses which checkpoints are the best, and which are kept."""

import bisect
import itertools
import json
import operator
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from gzjax.files import MAX_JSON_BYTES, read_bytes
from gzjax.training.checkpoint.digest import find_damage

RMSE = "valid/rmse"  # what a checkpoint may have as a metric
rmse_of = operator.itemgetter(RMSE)


def read_rmse(folder: Path) -> float | None:
    """Returns None if it is not measured, damaged, or removed meanwhile."""
    if find_damage(folder, "metrics/"):
        return None
    try:
        data = read_bytes(folder / "metrics" / "metrics", MAX_JSON_BYTES)
        return float(rmse_of(json.loads(data)))
    except (OSError, ValueError, TypeError, LookupError, RecursionError):
        return None


def best_steps(rmse: Mapping[int, float], num: int) -> list[int]:
    """Returns the ``num`` steps of lowest RMSE, best first; the latest of equals."""
    return sorted(rmse, key=lambda step: (rmse[step], -step))[:num]


def steps_to_keep(
    steps: Collection[int],
    rmse: Mapping[int, float],
    keep_newest: int,
    keep_best: int,
    phase_stops: Sequence[int],
) -> set[int]:
    """Returns the newest steps and each phase's best, where the next may start."""
    stops = sorted(phase_stops)
    kept = set(sorted(steps)[-keep_newest:])
    phases = itertools.groupby(sorted(rmse), lambda s: bisect.bisect_left(stops, s))
    for _, of_phase in phases:
        kept |= set(best_steps({step: rmse[step] for step in of_phase}, keep_best))
    return kept
