"""Predictions for images without votes: in parts, so that any of it can be redone."""

import contextlib
import dataclasses
import hashlib
import itertools
import json
import shlex
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np

from gzjax import workdir as layout
from gzjax.averaging import averaging_set
from gzjax.data.cutouts import find_cutouts
from gzjax.data.find_galaxy import import_sep
from gzjax.data.problems import first_few
from gzjax.data.stretch import parse_stretch
from gzjax.data.unlabelled import UnlabelledSource
from gzjax.errors import UserError
from gzjax.merge import check_output, merge
from gzjax.parts import Part, Parts
from gzjax.prediction_plan import KINDS, Plan
from gzjax.progress import Progress, say
from gzjax.shard import parse_shard
from gzjax.trained import TrainedRun, open_run

DEFAULT_STRETCH = "asinh"


def predict_images(
    workdirs: Sequence[str | Path],
    images: str | Path,
    output: str | Path,
    kind: str = "submission",
    averaging: str = "",
    where: str = "",
    pixel_scale: float | None = None,
    stretch: str = DEFAULT_STRETCH,
    shard: str = "",
    checkpoint: str = "newest",
    num_workers: int = 0,
) -> int:
    """Predicts the vote fractions of all images, and writes them into one file.

    The numbers are kept in parts of fixed rows in ``OUTPUT.parts``: an interrupted
    command goes on where it stopped, and shards on any number of machines make the
    same file, byte for byte on like machines.

    Args:
        workdirs: of training runs, whose predictions are averaged; or one output of
            ``ensemble``, whose runs are averaged with its weights. A run that was
            trained on centred galaxies finds them in these images likewise.
        images: see :func:`gzjax.data.cutouts.find_cutouts`.
        output: the file; a table's suffix says its format.
        kind: "submission", as the challenge wants it, or "table", for science.
        averaging: see :func:`gzjax.averaging.averaging_set`; "": each run's own.
        where: a cut on a table's rows, see :mod:`gzjax.tables.where`.
        pixel_scale: original px per px; None: each image spans the 424 px frame.
        stretch: of FITS and other images without a range of their own, see
            :func:`gzjax.data.stretch.parse_stretch`.
        shard: see :func:`gzjax.shard.parse_shard`; a shard is not merged.
        checkpoint: of every run: "newest", "best" or a step.
        num_workers: processes that load images; 0: threads of this one.

    Returns:
        The number of images without a prediction; 0 for a shard.

    Raises:
        UserError: bad arguments or files.
    """
    if kind not in KINDS:
        raise UserError(f"--kind={kind}: there are {', '.join(KINDS)}")
    output, share = Path(output).expanduser(), parse_shard(shard)
    cutouts = find_cutouts(images)
    parsed_stretch = parse_stretch(stretch)
    names, weights = find_members(workdirs)
    if averaging:
        averaging_set(averaging)  # a wrong name is said before anything is loaded

    def use(config):
        config.data.num_workers = num_workers

    def find_source(run):
        threshold = run["detection_threshold"]
        if threshold is not None:
            import_sep()
        return UnlabelledSource(cutouts, pixel_scale, parsed_stretch, threshold)

    plan = None
    for number, name in enumerate(names):
        trained = open_run(name, checkpoint, use, find_source)
        set_name = averaging or trained.experiment.config.averaging
        maps = averaging_set(set_name)
        options = {"averaging": set_name, "pixel_scale": pixel_scale,
                   "stretch": stretch}  # fmt: skip
        identity = _identify(trained, cutouts.fingerprint, options)
        if plan is None:
            plan = Plan(str(cutouts.path), cutouts.stems, tuple(names), (), weights,
                        len(maps), trained.run["tree"], trained.run["train_mean"],
                        kind, where)  # fmt: skip
            check_output(plan, output)
        if trained.run["tree"] != plan.tree:
            raise UserError(f"{name} and {names[0]} have different decision trees")
        plan = dataclasses.replace(plan, identities=(*plan.identities, identity))
        parts = plan.parts(output)[number]
        parts.check()
        _predict_parts(trained, parts, share.share(parts.missing()), maps)
    plan.write(output)
    if share.count > 1:
        missing = sum(len(parts.missing()) for parts in plan.parts(output))
        say(
            f"shard {share.index + 1} of {share.count} is done; {missing} parts are "
            "missing yet. When none is:\n"
            f"  python -m gzjax.main merge --output={shlex.quote(str(output))}"
        )
        return 0
    return merge(output)


def find_members(workdirs: Sequence[str | Path]) -> tuple[list[str], list]:
    """The runs that predict, and their weights ``[m]`` or ``[m][a]``, of sum 1.

    Args:
        workdirs: of runs, which are averaged uniformly; or one folder that ``ensemble``
            wrote: its runs and the weights that it was asked for.

    Raises:
        UserError: none is given, one is given twice, or a blend among several.
    """
    names = [str(Path(workdir)) for workdir in workdirs]
    if not names or len(set(names)) < len(names):
        raise UserError(f"--workdirs is {','.join(names)!r}: give each run once")
    blends = {
        name: sorted(Path(name).glob(layout.ensemble_name("*"))) for name in names
    }
    if not any(blends.values()):
        return names, [1 / len(names)] * len(names)
    if len(names) > 1 or len(blends[names[0]]) > 1:
        raise UserError(
            f"{first_few([name for name in names if blends[name]])}: give one output "
            "of ensemble alone, of one label"
        )
    report = json.loads(blends[names[0]][0].read_text(encoding="utf-8"))
    members = [model["name"] for model in report["models"]]
    return members, report["blends"][report["weights"]]["weights"]


def _identify(trained: TrainedRun, images: str, options: dict) -> dict:
    """What a run's predictions depend on, JSON-ready."""
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(trained.state.eval_variables()):
        digest.update(np.ascontiguousarray(leaf))
    return {
        "step": trained.step,
        "parameters": digest.hexdigest()[:16],
        "view": json.dumps(trained.run["config"]["view"], sort_keys=True),
        "images": images[:16],
        **options,
    }


def _predict_parts(
    trained: TrainedRun, parts: Parts, numbers: list[int], maps: np.ndarray
) -> None:
    """Makes the parts of these numbers, in one stream of batches."""
    if not numbers:
        return
    experiment = trained.experiment
    batch_size = experiment.batch_size(maps)
    # Each part is filled up to whole batches: what is computed together, and so the
    # last bit of every number, does not depend on shards or interruptions.
    padded = [
        np.pad(rows, (0, -len(rows) % batch_size), mode="edge")
        for rows in map(parts.rows, numbers)
    ]
    total, done = sum(len(parts.rows(number)) for number in numbers), 0
    batches = experiment.predict_batches(
        trained.state, trained.step, np.concatenate(padded), maps
    )
    with (
        contextlib.closing(batches),
        Progress(f"predicting by {trained.workdir}", total) as progress,
    ):
        for number, rows in zip(numbers, padded, strict=True):
            of_part = []
            for batch in itertools.islice(batches, len(rows) // batch_size):
                of_part.append(batch)
                progress.update(min(done + len(of_part) * batch_size, total), "images")
            votes, bad = map(np.concatenate, zip(*of_part, strict=True))
            count = len(parts.rows(number))
            parts.write(number, _make_part(votes[:count], bad[:count]))
            done += count


def _make_part(votes: np.ndarray, bad: np.ndarray) -> Part:
    exact = np.float64(votes)
    mean, spread = exact.mean(axis=1), exact.std(axis=1)
    return Part(np.float32(mean), np.float32(spread), bad)
