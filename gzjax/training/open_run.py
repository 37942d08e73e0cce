"""A trained run, opened from its checkpoint, to evaluate or to predict with.

What can be wrong with a run and its data is checked before JAX is imported.
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from gzjax.data import check_there
from gzjax.data.images.decode_jpeg import DECODE_SCALES
from gzjax.data.sources.base import Source
from gzjax.errors import UserError
from gzjax.training import run_files as layout
from gzjax.training.checkpoint.saved import SavedCheckpoints
from gzjax.training.identity import check_run, read_config
from gzjax.trees import Tree

if TYPE_CHECKING:
    from gzjax.steps.state import TrainState
    from gzjax.training.experiment import Experiment


class SavedRun(NamedTuple):
    """A network in a folder, found by :func:`read_run`.

    ``run`` is the description. ``tensors`` are the weights by path if the folder is an
    export of weights; None if it is a run, whose checkpoint has them.
    """

    workdir: Path
    step: int
    run: dict
    tensors: dict | None = None


class TrainedRun(NamedTuple):
    """A run opened from its checkpoint; ``run`` is its description."""

    workdir: Path
    experiment: "Experiment"
    state: "TrainState"
    step: int
    run: dict


def read_run(workdir: str | Path, checkpoint: str = "newest") -> SavedRun:
    """Finds a checkpoint of a run, which another process may be training.

    Args:
        workdir: the folder of a run, or of an export of weights, or the name of a
            network of the package (:func:`gzjax.training.run_files.shipped`).
        checkpoint: of a run: "newest", "best" (by validation RMSE) or a step.

    Raises:
        UserError: no such run or checkpoint, or it is damaged.
    """
    workdir = layout.find_folder(workdir)
    if layout.is_model_folder(workdir):
        return _read_export(workdir, checkpoint)
    saved = open_checkpoints(workdir)
    named = {"newest": saved.newest_step, "best": saved.best_step()}
    step = named.get(checkpoint, int(checkpoint) if checkpoint.isdecimal() else None)
    if step is None or step not in saved.steps:
        kept = ", ".join(map(str, saved.steps)) or "none"
        raise UserError(
            f"{workdir} has no checkpoint '{checkpoint}'; give newest, best or a step. "
            f"Steps kept: {kept}"
        )
    check_intact(saved, step, workdir)
    run = saved.read_description(step)
    check_run(run, workdir)
    return SavedRun(workdir, step, run)


def _read_export(folder: Path, checkpoint: str) -> SavedRun:
    from gzjax.training.weights.model_folder import read_model_folder

    run, step, tensors = read_model_folder(folder)
    if checkpoint not in ("newest", "best", str(step)):
        raise UserError(
            f"{folder} holds the weights of step {step} alone, not '{checkpoint}': "
            "leave out --checkpoint"
        )
    return SavedRun(folder, step, run, tensors)


def open_run(
    saved: SavedRun,
    change: Callable = lambda config: None,
    find_source: Callable[[dict], Source] | None = None,
) -> TrainedRun:
    """Opens a run that :func:`read_run` has found.

    Args:
        change: called with the run's config, to change it in place.
        find_source: called with the run's description, for images instead of those
            that the config names.

    Raises:
        UserError: bad data, or weights that cannot be read.
    """
    config, tree = read_config(saved.run), Tree.from_dict(saved.run["tree"])
    change(config)
    source = find_source(saved.run) if find_source else None
    if source is None:
        check_there(config, tree)

    from gzjax.training.experiment import Experiment

    experiment = Experiment(config, tree, source)
    abstract = experiment.programs.abstract_state(saved.step)
    if saved.tensors is None:
        state = open_checkpoints(saved.workdir).restore(saved.step, abstract)
    else:
        state = _fill(abstract, saved)
    return TrainedRun(saved.workdir, experiment, state, saved.step, saved.run)


def _fill(abstract: "TrainState", saved: SavedRun) -> "TrainState":
    """Returns a state to predict with, but not to train on: it has no momentum."""
    from gzjax.training.weights.model_folder import fill

    variables = fill(abstract.eval_variables(), saved.tensors, saved.workdir)
    return abstract.replace(
        step=saved.step, opt_state=None, ema_params=None, **variables
    )


def open_checkpoints(workdir: Path) -> SavedCheckpoints:
    """Opens the checkpoints of a run to read; raises a UserError if there is no run."""
    folder = workdir / layout.CHECKPOINTS
    if not folder.is_dir():
        raise UserError(f"{workdir} holds no checkpoint; {_advice(workdir)}")
    return SavedCheckpoints(folder)


def check_intact(checkpoints: SavedCheckpoints, step: int, workdir: Path) -> None:
    """Raises a UserError if a checkpoint is damaged, which names those that are not."""
    damage = checkpoints.damage(step)
    if not damage:
        return
    others = "No other is intact"
    if intact := [s for s in checkpoints.steps[::-1] if not checkpoints.damage(s)]:
        others = f"Intact: {', '.join(map(str, intact))} (--checkpoint={intact[0]})"
    raise UserError(
        f"{workdir}: the checkpoint of step {step} is damaged ({damage}). {others}. "
        "The command that trained it sets the damaged ones aside and repeats the steps"
    )


def use_data(
    workdir: str | Path, data_dir: str, pixel_scale: float | None, detections: str
):
    """Returns a ``change`` for :func:`open_run`: galaxies other than in training.

    Args:
        data_dir: a folder like the one trained on, or "" for that one. Labels and
            images of a survey are looked for in it by the names that they had.
        pixel_scale: original px per px of the images there; None: as in training.
        detections: the table for these images; "": named as in training.

    Raises:
        UserError: ``pixel_scale`` is not above 0; or detections for a run that has none
            (when ``change`` is called).
    """
    if pixel_scale is not None and not 0 < pixel_scale < math.inf:
        raise UserError(f"--pixel_scale={pixel_scale:g}: give a number above 0")

    def change(config):
        if data_dir and config.data.kind == "survey":
            _move_survey(config.data, data_dir)
        elif data_dir:
            config.data.kind, config.data.dir = "challenge", data_dir
        if pixel_scale is not None:
            _rescale(config.data, pixel_scale)
        if detections:
            if not config.data.detections:
                raise UserError(
                    f"{workdir} was trained on galaxies that are not centred: leave "
                    "out --detections"
                )
            config.data.detections = detections

    return change


def _rescale(data, pixel_scale: float) -> None:
    """Lets decoded pixels span what they did in training, or less."""
    span = data.pixel_scale * data.decode_scale
    fitting = [scale for scale in DECODE_SCALES if scale * pixel_scale <= span]
    data.decode_scale = max(fitting, default=1)
    data.pixel_scale = pixel_scale


def _move_survey(data, folder: str) -> None:
    """Names the labels and images of another folder."""
    if folder == data.dir:
        return
    for key in ("labels", "images"):
        # A path from elsewhere would still lead there.
        if not data.dir or Path(data[key]).expanduser().is_absolute():
            data[key] = Path(data[key]).name
    data.dir = folder


def _advice(workdir: Path) -> str:
    if any(workdir.glob(layout.ensemble_name("*"))):
        return "it is a blend, of whose predictions ensemble wrote the scores"
    if workdir.is_file():
        return "it is a file: give the folder of a run"
    if inside := _runs_in(workdir):
        return f"runs in it: {inside}"
    if (workdir / layout.CONFIG).exists():
        return (
            f"there is a {layout.CONFIG}, but neither {layout.CHECKPOINTS}/ of a run "
            f"nor {layout.MODEL_WEIGHTS} of an export: copy them too"
        )
    what = "there is no such folder: give the folder of a trained run"
    if workdir.is_dir():
        what = f"train with --workdir={workdir}"
    runs = _runs_in(workdir.parent)
    return f"{what}. Runs beside it: {runs}" if runs else what


def _runs_in(folder: Path) -> str:
    runs = sorted(path.parent for path in folder.glob(f"*/{layout.CHECKPOINTS}"))
    return ", ".join(map(str, runs[:5]))
