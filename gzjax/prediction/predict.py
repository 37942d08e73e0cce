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

from gzjax import __version__
from gzjax.data.averaging import averaging_set
from gzjax.data.geometry import FRAME_PX
from gzjax.data.images.find_images import find_cutouts
from gzjax.data.images.stretch import DEFAULT_STRETCH, parse_stretch
from gzjax.data.prepared.manifest import is_prepared
from gzjax.errors import UserError
from gzjax.models import make_model
from gzjax.models.probes.embedding import num_features
from gzjax.prediction.check_output import check_output
from gzjax.prediction.merge import merge
from gzjax.prediction.parts import Part, Parts
from gzjax.prediction.plan import KINDS, Plan
from gzjax.prediction.runs import find_runs
from gzjax.prediction.shard import parse_shard
from gzjax.prediction.source import source_like
from gzjax.progress import Progress, say
from gzjax.training.check_config import check_config
from gzjax.training.description import read_config
from gzjax.training.open_run import TrainedRun, open_run, read_run
from gzjax.trees import Tree


def predict(
    workdirs: Sequence[str | Path],
    images: str | Path,
    output: str | Path,
    *,
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
        images: see :func:`gzjax.data.images.find_images.find_cutouts`.
        output: the file; a table's suffix says its format.
        kind: "submission", as the challenge wants it; "table", for science; or
            "embeddings", the last features (:mod:`gzjax.models.probes.embedding`) of
            one run, averaged over the averaging set.
        averaging: see :func:`gzjax.data.averaging.averaging_set`; "": each run's own.
        where: a cut on a table's rows, see :mod:`gzjax.prediction.tables.where`.
        pixel_scale: original px per px; None: each image spans the 424 px frame.
        stretch: of FITS and other images without a range of their own, see
            :func:`gzjax.data.images.stretch.parse_stretch`.
        shard: see :func:`gzjax.prediction.shard.parse_shard`; a shard is not merged.
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
    members = find_runs(workdirs)
    averaging = averaging or members.averaging
    if averaging:
        averaging_set(averaging)  # a wrong name is said before anything is loaded
    parsed_stretch = parse_stretch(stretch)
    _check_not_prepared(Path(images).expanduser())
    cutouts = find_cutouts(images)
    _check_outside(output, Path(images).expanduser())
    runs = [read_run(name, checkpoint)[1] for name in members.names]
    plan = Plan(
        images=str(cutouts.path),
        names=cutouts.stems,
        workdirs=members.names,
        identities=(),
        weights=[1.0] if kind == "embeddings" else members.weights,
        averaging=averaging or read_config(runs[0]).averaging,
        tree=runs[0]["tree"],
        train_mean=runs[0]["train_mean"],
        kind=kind,
        where=where,
        num_features=_num_features(runs[0]) if kind == "embeddings" else 0,
    )
    for name, run in zip(members.names, runs, strict=True):
        if run["tree"] != plan.tree:
            raise UserError(f"{name} and {members.names[0]} have other decision trees")
        _note_frame(name, run, pixel_scale)
    output.parent.mkdir(parents=True, exist_ok=True)
    check_output(plan, output)

    def use(config):
        config.data.num_workers = num_workers

    def find_source(run):
        return source_like(run, cutouts, pixel_scale, parsed_stretch)

    for number, name in enumerate(members.names):
        trained = open_run(name, checkpoint, use, find_source)
        set_name = averaging or trained.experiment.config.averaging
        options = {"averaging": set_name, "pixel_scale": pixel_scale,
                   "stretch": stretch, "images": cutouts.version[:16]}  # fmt: skip
        if kind == "embeddings":
            options["numbers"] = kind
        identity = _identify(trained) | options
        plan = dataclasses.replace(plan, identities=(*plan.identities, identity))
        parts = plan.parts(output)[number]
        parts.check()
        if number == 0:
            plan.replace_another(output, share.count > 1)
        todo = share.share(parts.missing())
        _predict_parts(trained, parts, todo, averaging_set(set_name), kind)
    plan.write(output)
    if share.count > 1:
        missing = sum(len(parts.missing()) for parts in plan.parts(output))
        say(
            f"shard {share.index + 1} of {share.count} is done; parts that other "
            f"shards have to make yet: {missing}. When there is none left:\n"
            f"  python -m gzjax.main merge --output={shlex.quote(str(output))}"
        )
        return 0
    return merge(output)


def _check_not_prepared(images: Path) -> None:
    if is_prepared(images):
        raise UserError(
            f"{images} is a prepared data set, for training and evaluation\n"
            "What to do: name the folder, .zip or .csv of the images"
        )


def _check_outside(output: Path, images: Path) -> None:
    # What is written there would be taken for images when the command is given again.
    if images.is_dir() and images.resolve() in output.resolve().parents:
        raise UserError(
            f"{output} lies among the images in {images}: give an --output elsewhere"
        )


def _note_frame(name: str, run: dict, pixel_scale: float | None) -> None:
    frame = run.get("frame_px", FRAME_PX)
    if pixel_scale is None and frame != FRAME_PX:
        say(
            f"note: {name} was trained on images that span {frame} px of the original "
            f"frame; here each is taken to span {FRAME_PX}: give --pixel_scale if "
            "these are such images too"
        )


def _num_features(run: dict) -> int:
    config = read_config(run)
    check_config(config)
    model = make_model(config, Tree.from_dict(run["tree"]).num_answers)
    return num_features(model, len(config.view.angles_deg))


def _identify(trained: TrainedRun) -> dict:
    """What a run's predictions depend on, JSON-ready."""
    digest = hashlib.sha256(json.dumps(trained.run["config"], sort_keys=True).encode())
    for leaf in jax.tree.leaves(trained.state.eval_variables()):
        digest.update(np.ascontiguousarray(leaf))
    return {
        "gzjax": __version__,
        "step": trained.step,
        "parameters and config": digest.hexdigest()[:16],
        "detection_threshold": trained.run.get("detection_threshold"),
    }


def _predict_parts(
    trained: TrainedRun,
    parts: Parts,
    numbers: list[int],
    placements: np.ndarray,
    kind: str,
) -> None:
    """Makes the parts of these numbers, in one stream of batches."""
    if not numbers:
        return
    experiment = trained.experiment
    batch_size = experiment.batch_size(placements)
    # Each part is filled up to whole batches: what is computed together, and so the
    # last bit of every number, does not depend on shards or interruptions.
    padded = [
        np.pad(rows, (0, -len(rows) % batch_size), mode="edge")
        for rows in map(parts.rows, numbers)
    ]
    total, done = sum(len(parts.rows(number)) for number in numbers), 0
    indices = np.concatenate(padded)
    if kind == "embeddings":
        batches = experiment.embed_batches(trained.state, indices, placements)
    else:
        batches = experiment.predict_batches(
            trained.state, trained.step, indices, placements
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
            parts.write(number, _make_part(votes[:count], bad[:count], kind))
            done += count


def _make_part(votes: np.ndarray, bad: np.ndarray, kind: str) -> Part:
    exact = np.float64(votes)
    mean, spread = exact.mean(axis=1), exact.std(axis=1)
    spread = spread[:, :0] if kind == "embeddings" else spread
    return Part(np.float32(mean), np.float32(spread), bad)
