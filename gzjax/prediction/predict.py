"""Predictions for images without votes: in chunks, so that any of it can be redone."""

import contextlib
import dataclasses
import hashlib
import itertools
import json
import shlex
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gzjax import __version__
from gzjax.data.averaging import averaging_set
from gzjax.data.familiar.classifier import Reference
from gzjax.data.geometry import FRAME_PX
from gzjax.data.images.cutouts import Cutouts, find_cutouts
from gzjax.data.images.stretch import DEFAULT_STRETCH, parse_stretch
from gzjax.data.prepared.manifest import is_prepared
from gzjax.errors import UserError
from gzjax.evaluation.calibration.storage import find_calibration
from gzjax.files import check_place
from gzjax.prediction.chunks import Chunk, Chunks, parse_shard
from gzjax.prediction.merge import merge
from gzjax.prediction.plan import KINDS, Plan, check_output
from gzjax.prediction.runs import computing_change, find_runs, source_like
from gzjax.progress import Progress, say
from gzjax.training.identity import read_config
from gzjax.training.open_run import TrainedRun, open_run, read_run
from gzjax.training.run_files import DEFAULT


def predict(
    images: str | Path,
    output: str | Path,
    *,
    workdirs: Sequence[str | Path] = (DEFAULT,),
    kind: str = "table",
    averaging: str = "",
    pixel_scale: float | None = None,
    stretch: str = DEFAULT_STRETCH,
    shard: str = "",
    checkpoint: str = "newest",
    num_workers: int = 0,
    dtype: str = "",
) -> int:
    """Predicts the vote fractions of all images, and writes them into one file.

    The numbers are kept in chunks of fixed rows in ``OUTPUT.chunks``: an interrupted
    command resumes where it stopped, and shards on any number of machines make the
    same file, byte for byte on like machines.

    Args:
        images: see :func:`gzjax.data.images.cutouts.find_cutouts`.
        output: the file; a table's suffix says its format.
        workdirs: networks whose predictions are averaged: training runs, exports of
            weights, or names of networks of the package; or one output of ``ensemble``,
            whose runs are averaged with its weights. A run on centred galaxies finds
            them in these images too.
        kind: "table", for science; "submission", as the challenge wants it; or
            "embeddings", the last features (:mod:`gzjax.models.probes.embedding`) of
            one run, averaged over the averaging set.
        averaging: see :func:`gzjax.data.averaging.averaging_set`; "": each run's own.
        pixel_scale: original px per px; None: each image spans the 424 px frame.
        stretch: of FITS and other images without a range of their own, see
            :func:`gzjax.data.images.stretch.parse_stretch`.
        shard: see :func:`gzjax.prediction.chunks.parse_shard`; a shard is not merged.
        checkpoint: of every run: "newest", "best" or a step.
        num_workers: processes that load images; 0: threads of this one.
        dtype: "float32" or "bfloat16", of convolutions and dense layers; "": each
            run's own.

    Returns:
        The number of images without a prediction; 0 for a shard.

    Raises:
        UserError: bad arguments or files.
    """
    if kind not in KINDS:
        raise UserError(f"--kind={kind}: there are {', '.join(KINDS)}")
    output, (share, num_shares) = Path(output).expanduser(), parse_shard(shard)
    check_place(output)
    names, weights, fitted_for = find_runs(workdirs)
    averaging = averaging or fitted_for
    if averaging:
        averaging_set(averaging)  # rejects a wrong name before anything is loaded
    change = computing_change(dtype, num_workers)
    parsed_stretch = parse_stretch(stretch)
    cutouts = _find_images(Path(images).expanduser(), output)
    saved = [read_run(name, checkpoint) for name in names]
    runs = [network.run for network in saved]
    _check_runs(dict(zip(names, runs, strict=True)), pixel_scale)
    calibrations = [find_calibration(network) for network in saved]
    judge = next((i for i, found in enumerate(calibrations) if found), None)
    if kind == "embeddings":
        judge = None
    intervals = None
    if kind == "table" and len(saved) == 1 and calibrations[0]:
        intervals = calibrations[0].intervals._asdict()
    plan = Plan(
        images=str(cutouts.path),
        names=list(cutouts.stems),
        workdirs=names,
        identities=[],
        weights=[1.0] if kind == "embeddings" else weights,
        averaging=averaging or read_config(runs[0]).averaging,
        tree=runs[0]["tree"],
        train_mean=runs[0]["train_mean"],
        kind=kind,
        judge=judge,
        intervals=intervals,
    )
    output.parent.mkdir(parents=True, exist_ok=True)
    check_output(plan, output)
    say(f"{cutouts.path}: {len(cutouts):,} images; by {', '.join(names)}")

    def find_source(run):
        return source_like(run, cutouts, pixel_scale, parsed_stretch)

    for number, network in enumerate(saved):
        trained = open_run(network, change, find_source)
        set_name = averaging or trained.experiment.config.averaging
        identity = _identify(trained) | {
            "averaging": set_name,
            "pixel_scale": pixel_scale,
            "stretch": stretch,
            "images": cutouts.version[:16],
            "kind": kind,
            "weights": plan.weights,
            "calibration": calibrations[judge].digest if judge == number else "",
        }
        plan = dataclasses.replace(plan, identities=[*plan.identities, identity])
        chunks = plan.chunks(output)[number]
        chunks.check()
        plan.replace_another(output, is_shard=num_shares > 1)
        todo = chunks.missing(share, num_shares)
        reference = calibrations[judge].reference if judge == number else None
        placements = averaging_set(set_name)
        _predict_chunks(trained, chunks, todo, placements, kind, reference)
    plan.write(output)
    if num_shares > 1:
        missing = sum(len(chunks.missing()) for chunks in plan.chunks(output))
        say(
            f"shard {share + 1} of {num_shares} is done; chunks that other shards "
            f"have yet to make: {missing}. When all are made:\n"
            f"  python -m gzjax.main merge --output={shlex.quote(str(output))}"
        )
        return 0
    return merge(output)


def _find_images(images: Path, output: Path) -> Cutouts:
    if is_prepared(images):
        raise UserError(
            f"{images} is a prepared data set, for training and evaluation\n"
            "What to do: name the folder, .zip or .csv of the images"
        )
    cutouts = find_cutouts(images)
    # What is written there would be taken for images when the command is given again.
    if images.is_dir() and images.resolve() in output.resolve().parents:
        raise UserError(
            f"{output} lies among the images in {images}: give an --output elsewhere"
        )
    return cutouts


def _check_runs(runs: dict[str, dict], pixel_scale: float | None) -> None:
    first = next(iter(runs))
    for name, run in runs.items():
        if run["tree"] != runs[first]["tree"]:
            raise UserError(f"{name} and {first} have other decision trees")
        frame_px = run.get("frame_px", FRAME_PX)
        if pixel_scale is None and frame_px != FRAME_PX:
            say(
                f"note: {name} was trained on images that span {frame_px} px of the "
                f"original frame; here each is taken to span {FRAME_PX}: give "
                "--pixel_scale if these are such images too"
            )


def _identify(trained: TrainedRun) -> dict:
    """Returns what a run's predictions depend on, JSON-ready."""
    import jax

    config = trained.experiment.config
    digest = hashlib.sha256(json.dumps(trained.run["config"], sort_keys=True).encode())
    for leaf in jax.tree.leaves(trained.state.eval_variables()):
        digest.update(np.ascontiguousarray(leaf))
    return {
        "gzjax": __version__,
        "step": trained.step,
        "dtype": config.compute_dtype or config.dtype,
        "parameters and config": digest.hexdigest()[:16],
        "detection_threshold": trained.run.get("detection_threshold"),
    }


def _predict_chunks(
    trained: TrainedRun,
    chunks: Chunks,
    numbers: list[int],
    placements: np.ndarray,
    kind: str,
    reference: Reference | None,
) -> None:
    """Makes the chunks of these numbers, in one stream of batches."""
    if not numbers:
        return
    experiment = trained.experiment
    batch_size = experiment.batch_size(placements)
    # Each chunk is filled up to whole batches: what is computed together, and so the
    # last bit of every number, does not depend on shards or interruptions.
    padded = [
        np.pad(rows, (0, -len(rows) % batch_size), mode="edge")
        for rows in map(chunks.rows, numbers)
    ]
    total, done = sum(len(chunks.rows(number)) for number in numbers), 0
    state, indices = trained.state, np.concatenate(padded)
    program = experiment.programs.predict_step(trained.step)
    if kind == "embeddings":
        program = experiment.programs.embed_step
    batches = experiment.predict_batches(program, state, indices, placements, reference)
    title = f"predicting by {trained.workdir}"
    with (
        contextlib.closing(batches),
        Progress(title, total, before="starting") as progress,
    ):
        for number, rows in zip(numbers, padded, strict=True):
            made, count = [], len(chunks.rows(number))
            for batch in itertools.islice(batches, len(rows) // batch_size):
                made.append(batch)
                progress.update(min(done + len(made) * batch_size, total), "images")
            parts = [np.concatenate(x)[:count] for x in zip(*made, strict=True)]
            chunks.write(number, _make_chunk(*parts, kind))
            done += count


def _make_chunk(
    votes: np.ndarray, bad: np.ndarray, unlike: np.ndarray, kind: str
) -> Chunk:
    exact = np.float64(votes)
    spread = exact[..., :0] if kind == "embeddings" else exact
    unlike = unlike if len(unlike) else np.zeros((len(bad), 0), np.float32)
    mean, deviation = np.float32(exact.mean(axis=1)), np.float32(spread.std(axis=1))
    return Chunk(mean, deviation, bad, unlike)
