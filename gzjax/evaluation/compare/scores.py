"""Reads what one run of a comparison scored, and sums up those of a system."""

import math
import statistics
from collections.abc import Sequence
from pathlib import Path

from gzjax.data.vote_files import read_votes
from gzjax.errors import UserError
from gzjax.files import read_json
from gzjax.metrics.robustness import bootstrap_rmse
from gzjax.training import run_files as layout
from gzjax.training.curves import read_curves

NO_AVERAGING = "none"
# The numbers of a run. The first two have an interval over galaxies besides; runs
# evaluated by an older gzjax have no R15.
RMSE, RMSE_AVERAGED = "rmse", "rmse_averaged"
ROBUSTNESS, ROBUSTNESS_15 = "rotation_robustness", "rotation_robustness_15deg"
RATE = "img_per_sec"


def is_evaluated(workdir: Path, averaging: str, num_steps: int) -> bool:
    """Returns whether the state after ``num_steps`` was scored, with all its files."""
    names = layout.evaluation_name, layout.predictions_name, layout.targets_name
    paths = [workdir / name(layout.label_of("valid", averaging)) for name in names]
    if not all(path.is_file() for path in paths):
        return False
    return _read(paths[0])["step"] == num_steps


def run_scores(workdir: Path, averaging: str) -> dict:
    """Returns the scores of a trained and evaluated run.

    These are, JSON-ready, ``rmse`` and, unless ``averaging`` is "none",
    ``rmse_averaged``, as ``{"value", "low", "high"}`` (a 95 % bootstrap interval over
    galaxies); ``rotation_robustness`` (R), ``rotation_robustness_15deg`` (R15) and
    ``img_per_sec``; and ``training_mean``, the RMSE of always answering it.

    Raises:
        UserError: a file is missing or broken, or holds numbers that are not finite.
    """
    label = layout.label_of("valid", NO_AVERAGING)
    plain = _read(workdir / layout.evaluation_name(label))
    scores = {
        RMSE: _rmse(workdir, NO_AVERAGING),
        ROBUSTNESS: plain[ROBUSTNESS],
        RATE: img_per_sec(workdir),
        "training_mean": plain["training_mean"]["rmse"],
    }
    if ROBUSTNESS_15 in plain:
        scores[ROBUSTNESS_15] = plain[ROBUSTNESS_15]
    if averaging != NO_AVERAGING:
        scores[RMSE_AVERAGED] = _rmse(workdir, averaging)
    numbers = [x for x in scores.values() if not isinstance(x, dict)]
    if not all(map(math.isfinite, numbers)):
        raise UserError(f"{workdir}: its scores are not finite")
    return scores


def img_per_sec(workdir: Path) -> float:
    """Returns training images a second: the median over what the run logged.

    What was logged up to the end of the head's warm-up, and first after it, is left
    out: the program of each head is compiled in that time. If nothing is left, this is
    the last number.
    """
    config = _read(workdir / layout.CONFIG)
    warmup = config["head_warmup_steps"] if config["head"] == "divisive" else 0
    logged = read_curves(workdir / layout.METRICS).get(RATE)
    if not logged:
        raise UserError(f"{workdir / layout.METRICS} has no {RATE}; {_again(workdir)}")
    after = [rate for step, rate in logged if step > warmup][1:]
    return statistics.median(after or [logged[-1][1]])


def summary(runs: Sequence[dict]) -> dict:
    """Returns the scores of a system from those of its runs (:func:`run_scores`).

    For each number that is ``{"value", "seeds"}``, the mean over seeds; with several
    seeds ``"sd"`` (their standard deviation, ddof 1), with one ``"low"`` and ``"high"``
    if the run has them.
    """
    result = {}
    for key in (RMSE, RMSE_AVERAGED, ROBUSTNESS, ROBUSTNESS_15, RATE):
        found = [run[key] for run in runs if key in run]
        if not found:
            continue
        values = [x["value"] if isinstance(x, dict) else x for x in found]
        entry = {"value": statistics.mean(values), "seeds": len(values)}
        if len(values) > 1:
            entry["sd"] = statistics.stdev(values)
        elif isinstance(found[0], dict):
            entry |= found[0]
        result[key] = entry
    return result


def _rmse(workdir, averaging) -> dict:
    label = layout.label_of("valid", averaging)
    predictions, targets = (
        read_votes(workdir / name(label)).by_id().votes
        for name in (layout.predictions_name, layout.targets_name)
    )
    _, low, high = bootstrap_rmse(predictions, targets)
    rmse = _read(workdir / layout.evaluation_name(label))["rmse"]
    return {"value": rmse, "low": low, "high": high}


def _read(path: Path) -> dict:
    return read_json(path, _again(path.parent))


def _again(workdir: Path) -> str:
    return f"delete {workdir}, and run the same command again to make it anew"
