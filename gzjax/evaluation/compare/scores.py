"""What one run and one system of a comparison scored, from the files of the runs."""

import json
import math
import statistics
from collections.abc import Sequence
from pathlib import Path

from gzjax.data.vote_files import read_votes
from gzjax.errors import READ_ERRORS, UserError, reason
from gzjax.metrics.robustness import bootstrap_rmse
from gzjax.training import run_files as layout

NO_AVERAGING = "none"
# The numbers of a run. The first two have an interval over galaxies besides.
RMSE, RMSE_AVERAGED, ROBUSTNESS, RATE = (
    "rmse",
    "rmse_averaged",
    "rotation_robustness",
    "img_per_sec",
)


def label_of(averaging: str) -> str:
    """Of the evaluations that are compared; see :mod:`gzjax.training.run_files`."""
    return f"valid-{averaging}"


def is_evaluated(workdir: Path, averaging: str, num_steps: int) -> bool:
    """Whether the state after ``num_steps`` was scored, and all files are there."""
    label = label_of(averaging)
    names = layout.evaluation_name, layout.predictions_name, layout.targets_name
    if not all((workdir / name(label)).is_file() for name in names):
        return False
    return _read_evaluation(workdir, label)["step"] == num_steps


def run_scores(workdir: Path, averaging: str) -> dict:
    """The scores of a trained and evaluated run.

    Args:
        workdir: of the run.
        averaging: the second evaluation; "none": there is only the first.

    Returns:
        JSON-ready: ``rmse`` and, with averaging, ``rmse_averaged``, as ``{"value",
        "low", "high"}`` (a 95 % bootstrap interval over galaxies);
        ``rotation_robustness`` (R) and ``img_per_sec``; and ``training_mean``, the RMSE
        of always answering it.

    Raises:
        UserError: a file is missing or broken, or holds numbers that are not finite.
    """
    plain = _read_evaluation(workdir, label_of(NO_AVERAGING))
    scores = {
        RMSE: _with_interval(workdir, NO_AVERAGING, plain),
        ROBUSTNESS: plain["rotation_robustness"],
        RATE: img_per_sec(workdir),
        "training_mean": plain["training_mean"]["rmse"],
    }
    if averaging != NO_AVERAGING:
        averaged = _read_evaluation(workdir, label_of(averaging))
        scores[RMSE_AVERAGED] = _with_interval(workdir, averaging, averaged)
    if not all(math.isfinite(scores[key]) for key in (ROBUSTNESS, RATE)):
        raise UserError(f"{workdir}: its scores are not finite")
    return scores


def img_per_sec(workdir: Path) -> float:
    """Training images a second: the median over what the run logged.

    What was logged up to the end of the head's warm-up, and first after it, is left
    out: the program of each head is compiled in that time. Of a run too short for that
    it is the last number.
    """
    config = _read_json(workdir / layout.CONFIG)
    warmup = config["head_warmup_steps"] if config["head"] == "divisive" else 0
    path = workdir / layout.METRICS
    try:
        lines = map(json.loads, path.read_text(encoding="utf-8").splitlines())
        logged = [(line["step"], line[RATE]) for line in lines if RATE in line]
        after = [rate for step, rate in logged if step > warmup][1:]
        return statistics.median(after or [logged[-1][1]])
    except (*READ_ERRORS, TypeError) as error:
        raise UserError(f"{path} cannot be read: {reason(error)}") from error


def summary(runs: Sequence[dict]) -> dict:
    """What several seeds, at least one, say together.

    Args:
        runs: of :func:`run_scores`, one per seed.

    Returns:
        For each number ``{"value", "seeds"}``, the mean over seeds; with several seeds
        ``"sd"`` (their standard deviation, ddof 1), with one ``"low"`` and ``"high"``
        where the run has them.
    """
    result = {}
    for key in (RMSE, RMSE_AVERAGED, ROBUSTNESS, RATE):
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


def _with_interval(workdir, averaging, evaluation) -> dict:
    label = label_of(averaging)
    predictions, targets = (
        read_votes(workdir / name(label)).by_id().votes
        for name in (layout.predictions_name, layout.targets_name)
    )
    _, low, high = bootstrap_rmse(predictions, targets)
    return {"value": evaluation["rmse"], "low": low, "high": high}


def _read_evaluation(workdir, label) -> dict:
    return _read_json(workdir / layout.evaluation_name(label))


def _read_json(path: Path) -> dict:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except READ_ERRORS as error:
        raise UserError(
            f"{path} cannot be read: {reason(error)}; delete {path.parent}, and the "
            "same command makes it again"
        ) from error
