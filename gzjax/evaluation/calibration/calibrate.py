"""Measures what a run knows: which images are unlike, how far its answers are off."""

from pathlib import Path

import numpy as np

from gzjax import __version__
from gzjax.data.averaging import averaging_set
from gzjax.errors import UserError
from gzjax.evaluation.calibration.storage import (
    Calibration,
    network_id,
    write_calibration,
)
from gzjax.evaluation.evaluate import select
from gzjax.files import check_place
from gzjax.metrics.intervals import COVERAGE, cross_coverage, fit_intervals
from gzjax.progress import say
from gzjax.training import run_files as layout
from gzjax.training.open_run import open_run, read_run, use_data

_SPLITS = ("valid", "test")
_MAX_GALAXIES = 8000  # that the classifier learns from
_MAX_HELD_OUT = 1500  # that it is tested on
_DRAWN, _DRAWN_HELD_OUT = 1000, 300  # images of each kind that needs no galaxy


def calibrate(
    workdir: str | Path,
    *,
    data: str | Path = "",
    pixel_scale: float | None = None,
    split: str = "valid",
    checkpoint: str = "newest",
    detections: str = "",
    seed: int = 0,
) -> dict:
    """Writes ``calibration.safetensors`` into the run's folder, and prints the rates.

    A small classifier learns to tell the galaxies outside of ``split`` from images that
    are wrong in the known ways (:mod:`gzjax.data.familiar`). Those of ``split`` decide
    what is flagged, and their residuals how wide the intervals of the answers are.
    ``predict`` and ``gzjax.load`` find the file.

    Args:
        split: "valid" or "test", which the run was not trained on.
        seed: of what is drawn.

    For the other arguments see :func:`gzjax.evaluation.evaluate.evaluate`.

    Returns:
        What the file says of itself (:class:`Calibration`).

    Raises:
        UserError: no such checkpoint or split, or bad data.
    """
    if split not in _SPLITS:
        raise UserError(
            f"--split={split}: give {' or '.join(_SPLITS)}, the galaxies that the run "
            "was not trained on"
        )
    change = use_data(workdir, str(data), pixel_scale, detections)
    saved = read_run(workdir, checkpoint)
    folder = layout.results_folder(saved.workdir)
    check_place(folder / layout.CALIBRATION)
    trained = open_run(saved, change)
    experiment, source = trained.experiment, trained.experiment.source
    indices = select(experiment, split)
    votes = _predict(trained, indices)
    targets = source.targets[indices]
    coverage = cross_coverage(votes, targets)

    from gzjax.evaluation.calibration.examples import make_examples
    from gzjax.evaluation.calibration.fit_reference import fit_reference, flagged_shares

    others = np.setdiff1d(np.arange(len(source)), indices)
    examples = make_examples(source, _some(others, _MAX_GALAXIES), _DRAWN, seed)
    some = _some(indices, _MAX_HELD_OUT)
    held_out = make_examples(source, some, _DRAWN_HELD_OUT, seed + 1)
    reference = fit_reference(examples, held_out, seed)
    flagged = flagged_shares(reference, held_out)
    about = {
        "gzjax": __version__,
        "network": network_id(trained.run, trained.step),
        "step": trained.step,
        "fingerprint": source.fingerprint,
        "split": split,
        "galaxies": len(indices),
        "flagged": flagged,
        "coverage": None if coverage is None else coverage.tolist(),
        "seed": seed,
    }
    _report(about, experiment.tree.answer_names)
    path = write_calibration(
        Calibration(reference, fit_intervals(votes, targets), about), folder
    )
    say(f"{path}: used by predict and gzjax.load")
    return about


def _predict(trained, indices: np.ndarray) -> np.ndarray:
    """Returns float64 ``[n a]``, by the run's own averaging set."""
    placements = averaging_set(trained.experiment.config.averaging)
    votes = trained.experiment.predict(trained.state, trained.step, indices, placements)
    return votes.mean(axis=1, dtype=np.float64)


def _some(indices: np.ndarray, limit: int) -> np.ndarray:
    if len(indices) <= limit:
        return indices
    return indices[np.linspace(0, len(indices) - 1, limit).round().astype(int)]


def _report(about: dict, answers: tuple[str, ...]) -> None:
    print(f"flagged as unlike the training galaxies (step {about['step']}):")
    for kind, share in about["flagged"].items():
        print(f"  {kind:<24}{share:7.1%}")
    if about["coverage"] is None:
        print("too few galaxies to say how many true fractions the intervals hold")
        return
    shares = np.array(about["coverage"])
    least, most = (answers[i] for i in (shares.argmin(), shares.argmax()))
    print(
        f"true fractions within the {COVERAGE:.0%} intervals of other galaxies: "
        f"{shares.mean():.1%} ({least} {shares.min():.1%} to {most} {shares.max():.1%})"
    )
