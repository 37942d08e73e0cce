"""A trained run, opened from its checkpoint, to evaluate or to predict with."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from gzjax.data.images.decode_jpeg import DECODE_SCALES
from gzjax.data.sources.base import Source
from gzjax.errors import UserError
from gzjax.steps.state import TrainState
from gzjax.training import run_files as layout
from gzjax.training.checkpoint import Checkpoints
from gzjax.training.experiment import Experiment
from gzjax.training.identity import check_run, read_config
from gzjax.trees import Tree


class TrainedRun(NamedTuple):
    """A run opened from its checkpoint; ``run`` is its description."""

    workdir: Path
    experiment: Experiment
    state: TrainState
    step: int
    run: dict


def open_run(
    workdir: str | Path,
    checkpoint: str = "newest",
    change: Callable = lambda config: None,
    find_source: Callable[[dict], Source] | None = None,
) -> TrainedRun:
    """Opens a run folder, which another process may be training.

    Args:
        checkpoint: "newest", "best" (by validation RMSE) or a step.
        change: called with the run's config, to change it in place.
        find_source: called with the run's description, for images instead of those
            that the config names.

    Raises:
        UserError: no such checkpoint, or bad data.
    """
    workdir = Path(workdir)
    with open_checkpoints(workdir) as checkpoints:
        step, run = _describe(checkpoints, checkpoint, workdir)
        config = read_config(run)
        change(config)
        source = find_source(run) if find_source else None
        experiment = Experiment(config, Tree.from_dict(run["tree"]), source)
        state = checkpoints.restore(step, experiment.programs.abstract_state(step))
    return TrainedRun(workdir, experiment, state, step, run)


def read_run(workdir: str | Path, checkpoint: str = "newest") -> tuple[int, dict]:
    """Returns a checkpoint's step and its run's description, without its state."""
    with open_checkpoints(Path(workdir)) as checkpoints:
        return _describe(checkpoints, checkpoint, Path(workdir))


def open_checkpoints(workdir: Path) -> Checkpoints:
    """Opens the checkpoints of a run to read; raises a UserError if there is no run."""
    folder = workdir / layout.CHECKPOINTS
    if not folder.is_dir():
        raise UserError(f"{workdir} holds no checkpoint; {_advice(workdir)}")
    return Checkpoints(folder, read_only=True)


def check_intact(checkpoints: Checkpoints, step: int, workdir: Path) -> None:
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
    """

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
    """Keeps decoded pixels, where they were made smaller, from spanning more."""
    span = data.pixel_scale * data.decode_scale
    smaller = [scale for scale in DECODE_SCALES if scale <= data.decode_scale]
    fitting = [scale for scale in smaller if scale * pixel_scale <= span]
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
    if (workdir / layout.MODEL_WEIGHTS).exists():
        return (
            "it is an export of weights, which gzjax.load in Python, export and "
            "config.init_from take: give the run that it is of, or use those"
        )
    if inside := _runs_in(workdir):
        return f"runs in it: {inside}"
    if (workdir / layout.CONFIG).exists():
        return (
            f"there is a {layout.CONFIG}, but neither {layout.CHECKPOINTS}/ of a run "
            f"nor {layout.MODEL_WEIGHTS} of an export: copy them too"
        )
    what = "there is no such folder"
    if workdir.is_dir():
        what = f"train with --workdir={workdir}"
    runs = _runs_in(workdir.parent)
    return f"{what}. Runs beside it: {runs}" if runs else what


def _runs_in(folder: Path) -> str:
    runs = sorted(path.parent for path in folder.glob(f"*/{layout.CHECKPOINTS}"))
    return ", ".join(map(str, runs[:5]))


def _describe(checkpoints, which: str, workdir: Path) -> tuple[int, dict]:
    """Finds an intact checkpoint, and checks its description of the run."""
    named = {"newest": checkpoints.newest_step, "best": checkpoints.best_step()}
    step = named.get(which, int(which) if which.isdecimal() else None)
    if step is None or step not in checkpoints.steps:
        kept = ", ".join(map(str, checkpoints.steps)) or "none"
        raise UserError(
            f"{workdir} has no checkpoint '{which}'; give newest, best or a step. "
            f"Steps kept: {kept}"
        )
    check_intact(checkpoints, step, workdir)
    run = checkpoints.read_description(step)
    check_run(run, workdir)
    return step, run
