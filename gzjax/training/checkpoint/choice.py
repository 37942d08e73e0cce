"""Which checkpoints are the best, and which are kept."""

import bisect
import itertools
from collections.abc import Collection, Mapping, Sequence


def best_steps(rmse: Mapping[int, float], num: int) -> list[int]:
    """The ``num`` steps of lowest ``rmse``, best first; of equals the latest."""
    return sorted(rmse, key=lambda step: (rmse[step], -step))[:num]


def steps_to_keep(
    steps: Collection[int],
    rmse: Mapping[int, float],
    keep_newest: int,
    keep_best: int,
    phase_stops: Sequence[int],
) -> set[int]:
    """The newest steps, and the best of each phase: the next may start there.

    Args:
        steps: of all checkpoints.
        rmse: validation RMSE of those that were evaluated.
        keep_newest: how many, at least 1.
        keep_best: how many of each phase.
        phase_stops: the last step of each phase.
    """
    stops = sorted(phase_stops)
    kept = set(sorted(steps)[-keep_newest:])
    phases = itertools.groupby(sorted(rmse), lambda s: bisect.bisect_left(stops, s))
    for _, of_phase in phases:
        kept |= set(best_steps({step: rmse[step] for step in of_phase}, keep_best))
    return kept
