"""Which runs predict, and with what weights: runs as they are named, or a blend."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gzjax.errors import READ_ERRORS, UserError, first_few, reason
from gzjax.files import read_text
from gzjax.training import run_files as layout


class PredictingRuns(NamedTuple):
    """The runs that predict.

    Attributes:
        names: m workdirs.
        weights: [m] or [m][a], of sum 1.
        averaging: the set that the weights were fitted for; "": each run's own.
    """

    names: tuple[str, ...]
    weights: list
    averaging: str


def find_runs(workdirs: Sequence[str | Path]) -> PredictingRuns:
    """The runs to be averaged, uniformly or as ``ensemble`` was asked to.

    Args:
        workdirs: of runs; or one folder that ``ensemble`` wrote.

    Raises:
        UserError: none is given, one is given twice, or a blend among several or of
            blends.
    """
    names = tuple(str(Path(workdir)) for workdir in workdirs)
    if not names or len(set(names)) < len(names):
        raise UserError(f"--workdirs is {','.join(names)!r}: give each run once")
    blends = [name for name in names if _reports(name)]
    if not blends:
        return PredictingRuns(names, [1 / len(names)] * len(names), "")
    reports = _reports(names[0])
    if len(names) > 1 or len(reports) > 1:
        raise UserError(
            f"{first_few(blends)}: give one output of ensemble alone, of one label"
        )
    try:
        report = json.loads(read_text(reports[0]))
        members = tuple(model["name"] for model in report["models"])
        weights = report["blends"][report["weights"]]["weights"]
        _, averaging, *_ = report["label"].split("-")
        names_fit = all(isinstance(name, str) for name in members)
        if not names_fit or np.shape(np.float64(weights))[:1] != (len(members),):
            raise ValueError("it has not a name and a weight for each model")
        if not np.isfinite(np.float64(weights)).all():
            raise ValueError("it has weights that are not finite")
    except (AttributeError, TypeError, *READ_ERRORS) as error:
        raise UserError(f"{reports[0]} cannot be read: {reason(error)}") from error
    if inner := [name for name in members if _reports(name)]:
        raise UserError(
            f"{names[0]} blends blends ({first_few(inner)}): make one of the runs"
        )
    return PredictingRuns(members, weights, averaging)


def _reports(name: str) -> list[Path]:
    return sorted(Path(name).glob(layout.ensemble_name("*")))
