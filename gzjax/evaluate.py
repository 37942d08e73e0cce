"""Evaluation from a checkpoint alone: scores, rotation robustness, predictions."""

from pathlib import Path

import jax
import numpy as np

from gzjax import workdir as layout
from gzjax.averaging import AVERAGING_SETS, QUARTER_TURNS
from gzjax.checkpoint import Checkpoints
from gzjax.errors import UserError
from gzjax.experiment import Experiment
from gzjax.metrics import baseline, rotation_distances, scores
from gzjax.progress import console, say
from gzjax.run_info import read_config
from gzjax.train_state import TrainState
from gzjax.trees import Tree
from gzjax.vote_files import write_votes

SPLITS = ("train", "valid", "test", "all")


def evaluate(
    workdir: str | Path,
    data_dir: str = "",
    pixel_scale: float | None = None,
    averaging: str = "none",
    split: str = "valid",
    checkpoint: str = "newest",
    detections: str = "",
) -> dict:
    """Evaluates a checkpoint: writes scores and predictions, prints the scores.

    Args:
        workdir: of a training run, which may be going on.
        data_dir: a folder like the challenge download; "": the one trained on.
        pixel_scale: of the images there; None: as in training.
        averaging: name of an averaging set.
        split: "train", "valid" or "test", cut as the run's config says, or "all".
        checkpoint: "newest", "best" (by validation RMSE) or a step.
        detections: the table for these images; "": named as in training.

    Returns:
        See :func:`score`.

    Raises:
        UserError: no such checkpoint, set or split, or bad data.
    """
    workdir = Path(workdir)
    if averaging not in AVERAGING_SETS:
        raise UserError(
            f"no averaging set '{averaging}'; there are: {', '.join(AVERAGING_SETS)}"
        )
    folder = workdir / layout.CHECKPOINTS
    if not folder.is_dir():
        raise UserError(
            f"{workdir} holds no checkpoint; train with --workdir={workdir}"
        )
    with Checkpoints(folder, read_only=True) as checkpoints:
        step = _find_step(checkpoints, checkpoint, workdir)
        run = checkpoints.read_run(step)
        config = read_config(run)
        if data_dir:
            config.data.kind, config.data.dir = "challenge", data_dir
        if pixel_scale is not None:
            config.data.pixel_scale = pixel_scale
        if detections:
            if not config.data.detections:
                raise UserError(
                    f"{workdir} was trained on galaxies as they lie: leave out "
                    "--detections"
                )
            config.data.detections = detections
        experiment = Experiment(config, Tree.from_dict(run["tree"]))
        state = checkpoints.restore(step, experiment.abstract_state())
    label = [split, averaging]
    if checkpoint != "newest":
        label.append(f"step{step}")
    if experiment.source.fingerprint != run["fingerprint"]:
        if split != "all":
            say(
                f"note: these are not the data of the run: '{split}' is cut anew from "
                "them, and may hold galaxies that were trained on"
            )
        label.append(f"data{experiment.source.fingerprint[:8]}")
    return score(experiment, state, run, workdir, averaging, split, "-".join(label))


def score(
    experiment: Experiment,
    state: TrainState,
    run: dict,
    workdir: Path,
    averaging: str = "none",
    split: str = "valid",
    label: str = "valid-none",
) -> dict:
    """Scores a state on a split; writes ``label``'s three files, prints the table.

    Returns:
        What the JSON file holds: see :func:`gzjax.metrics.scores`, with ``baseline``
        (RMSE of always answering the training mean), ``rotation_robustness`` (R, eq. 7
        of Cao & Chen, at quarter turns of the raw image), and what was evaluated.
    """
    indices = _select(experiment, split)
    # The quarter turns for R and the averaging set overlap: predict each map once.
    both = np.concatenate([QUARTER_TURNS, AVERAGING_SETS[averaging]])
    maps, position = np.unique(both, axis=0, return_inverse=True)
    step = int(state.step)
    predictions = experiment.predict(state, step, indices, maps)[:, position.ravel()]
    turned, averaged = np.split(predictions, [len(QUARTER_TURNS)], axis=1)
    votes = averaged.mean(axis=1, dtype=np.float64)

    targets = experiment.source.targets[indices]
    result = {
        **scores(votes, targets, experiment.tree),
        "baseline": baseline(run["train_mean"], targets),
        "rotation_robustness": float(rotation_distances(turned).mean()),
        "galaxies": len(indices),
        "split": split,
        "averaging": averaging,
        "maps": len(AVERAGING_SETS[averaging]),
        "step": step,
        "data": experiment.config.data.dir or experiment.config.data.kind,
        "fingerprint": experiment.source.fingerprint,
    }
    files = {
        "scores": workdir / layout.evaluation_name(label),
        "predictions": workdir / layout.predictions_name(label),
    }
    truth = workdir / layout.targets_name(label)
    if jax.process_index() == 0:
        ids, columns = experiment.source.ids[indices], experiment.tree.columns
        write_votes(truth, ids, targets, columns)
        write_votes(files["predictions"], ids, votes, columns)
        layout.write_json(files["scores"], result)
    _say_scores(result, files)
    return result


def _find_step(checkpoints, which, workdir):
    named = {"newest": checkpoints.newest_step, "best": checkpoints.best_step}
    step = named.get(which, int(which) if which.isdecimal() else None)
    if step is None or step not in checkpoints.steps:
        kept = ", ".join(map(str, checkpoints.steps)) or "none"
        raise UserError(
            f"{workdir} has no checkpoint '{which}'; give newest, best or a step. "
            f"Steps kept: {kept}"
        )
    return step


def _select(experiment, split):
    if split == "all":
        return np.arange(len(experiment.source.ids))
    if split not in SPLITS:
        raise UserError(f"no split '{split}'; there are: {', '.join(SPLITS)}")
    indices = experiment.splits[split]
    if not len(indices):
        sizes = ", ".join(f"{k} {len(v)}" for k, v in experiment.splits.items())
        raise UserError(f"the split '{split}' is empty (galaxies: {sizes})")
    return indices


def _say_scores(result, files):
    rmse, mean, r = (result[k] for k in ("rmse", "baseline", "rotation_robustness"))
    rows = [
        ("galaxies", f"{result['galaxies']} ({result['split']})"),
        ("checkpoint", f"step {result['step']}"),
        ("maps averaged", f"{result['maps']} ({result['averaging']})"),
        *((f"RMSE {name}", f"{x:.5f}") for name, x in result["questions"].items()),
        ("RMSE", f"{rmse:.5f}"),
        ("RMSE of the training mean", f"{mean:.5f}"),
        ("ratio", f"{rmse / mean:.3f}"),
        ("R at quarter turns", f"{r:.2e}"),
        *((name, str(path)) for name, path in files.items()),
    ]
    width = max(len(name) for name, _ in rows)
    if not console.quiet:
        for name, value in rows:
            print(f"{name:<{width}}  {value}")
