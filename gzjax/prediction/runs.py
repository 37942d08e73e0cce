"""The runs that predict: which, with what weights, and how they want their images."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from gzjax.data.detections.find_galaxy import import_sep
from gzjax.data.images.stretch import Stretch
from gzjax.data.sources.challenge import check_scales
from gzjax.data.sources.unlabelled import UnlabelledSource
from gzjax.errors import UserError, first_few
from gzjax.evaluation.labels import check_workdirs
from gzjax.files import read_json
from gzjax.training import run_files as layout
from gzjax.training.identity import read_config


def find_runs(workdirs: Sequence[str | Path]) -> tuple[list[str], list, str]:
    """Returns the runs to be averaged, uniformly or as ``ensemble`` was asked to.

    ``workdirs`` are those of runs, or one folder that ``ensemble`` wrote.

    Returns:
        m workdirs; their weights ``[m]`` or ``[m][a]``, of sum 1; and the averaging set
        that the weights were fitted for, or "" for each run's own.

    Raises:
        UserError: a run is given twice, or a blend is among several or of blends.
    """
    names = [str(folder) for folder in check_workdirs(workdirs)]
    blends = [name for name in names if _reports(name)]
    if not blends:
        return names, [1 / len(names)] * len(names), ""
    reports = _reports(names[0])
    if len(names) > 1 or len(reports) > 1:
        raise UserError(
            f"{first_few(blends)}: give one output of ensemble alone, of one label"
        )
    members = read_json(reports[0], "make it again with ensemble", _members)
    if inner := [name for name in members[0] if _reports(name)]:
        raise UserError(
            f"{names[0]} blends blends ({first_few(inner)}): make one of the runs"
        )
    return members


def _reports(name: str) -> list[Path]:
    return sorted(Path(name).glob(layout.ensemble_name("*")))


def _members(report: dict) -> tuple[list[str], list, str]:
    names = [model["name"] for model in report["models"]]
    weights = report["blends"][report["weights"]]["weights"]
    _, averaging, *_ = layout.parse_label(report["label"])
    are_names = all(isinstance(name, str) for name in names)
    if not are_names or np.shape(np.float64(weights))[:1] != (len(names),):
        raise ValueError("it has not a name and a weight for each model")
    if not np.isfinite(np.float64(weights)).all():
        raise ValueError("it has weights that are not finite")
    return names, weights, averaging


def computing_change(dtype: str, num_workers: int = 0) -> Callable:
    """Returns a function that sets a config's type of computation and its loaders.

    It is a ``change`` for :func:`gzjax.training.open_run.open_run`.

    Args:
        dtype: "float32" or "bfloat16", of convolutions and dense layers; "": the run's
            own.
        num_workers: processes that load images; 0: threads of this one.

    Raises:
        UserError: an argument is invalid.
    """

    if dtype not in ("", "float32", "bfloat16"):
        raise UserError(f"dtype is '{dtype}'; there are: float32, bfloat16")
    if num_workers < 0:
        raise UserError(f"num_workers is {num_workers}. Give 0 or more")

    def change(config):
        config.data.num_workers = num_workers
        config.compute_dtype = dtype or config.compute_dtype

    return change


def source_like(
    run: dict,
    images,
    pixel_scale: float | None,
    stretch: Stretch,
    make: Callable[..., UnlabelledSource] = UnlabelledSource,
) -> UnlabelledSource:
    """Returns ``make``'s source of images, sampled and centred like the run's own.

    Args:
        run: from :func:`gzjax.training.identity.describe_run`; untrusted.
        images: what ``make`` reads.
        pixel_scale: original px per px; None if each image spans the 424 px frame.
        stretch: how values become pixels in images without a range of their own.

    Raises:
        UserError: sep is not installed, or the run has an invalid scale or threshold.
    """
    data, threshold = read_config(run).data, None
    if data.detections:
        import_sep()
        threshold = run.get("detection_threshold")
        if threshold is None:
            raise UserError("the run on centred galaxies has no detection_threshold")
    trained_scale = data.pixel_scale or 1.0  # 0: of a survey, whose images span it
    check_scales(trained_scale, data.decode_scale)
    return make(
        images, pixel_scale, stretch, threshold, data.decode_scale, trained_scale
    )
