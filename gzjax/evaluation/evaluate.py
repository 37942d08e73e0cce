"""Scores checkpoints on labelled galaxies, and writes their predictions."""

from pathlib import Path

import numpy as np

from gzjax.data.averaging import QUARTER_TURNS, averaging_set
from gzjax.data.geometry import place
from gzjax.data.vote_files import write_names, write_votes
from gzjax.errors import UserError
from gzjax.evaluation.score_table import print_scores
from gzjax.files import check_place, write_json
from gzjax.metrics import dead_questions, rotation_distances
from gzjax.metrics.classification import classification
from gzjax.metrics.question_scores import question_scores
from gzjax.metrics.reliability import reliability
from gzjax.progress import say
from gzjax.training import run_files as layout
from gzjax.training.open_run import TrainedRun, open_run, read_run, use_data
from gzjax.trees import Tree

SPLITS = ("train", "valid", "test", "all")
# The multiples of 15° that are no quarter turns.
BETWEEN = place(np.delete(15.0 * np.arange(24), np.s_[::6]))
MAX_15DEG = 500  # galaxies turned by them: 10,000 forward passes


def train_and_evaluate(config, workdir: str | Path, profile: str | Path | None = None):
    """Trains a run, scores it on its validation split, if any; returns the final state.

    The arguments are those of :func:`gzjax.training.loop.train`.
    """
    from gzjax.training.loop import train

    trained = train(config, workdir, profile)
    if len(trained.experiment.splits["valid"]):
        score(trained, config.averaging)
    return trained.state


def evaluate(
    workdir: str | Path,
    *,
    data: str | Path = "",
    pixel_scale: float | None = None,
    averaging: str = "",
    split: str = "valid",
    checkpoint: str = "newest",
    detections: str = "",
) -> dict:
    """Evaluates a checkpoint: writes scores and predictions, prints the scores.

    Args:
        workdir: the folder of a training run, which may still be running.
        data: a folder like the one trained on, see
            :func:`gzjax.training.open_run.use_data`; "": that one.
        pixel_scale: see ``configs/base.py``; None: as in training.
        averaging: see :func:`gzjax.data.averaging.averaging_set`; "": the config's.
        split: "train", "valid" or "test", cut as the run's config says, or "all".
        checkpoint: "newest", "best" (by validation RMSE) or a step.
        detections: the table for these images; "": named as in training.

    Returns:
        See :func:`score`.

    Raises:
        UserError: no such checkpoint, set or split, or bad data.
    """
    if averaging:
        averaging_set(averaging)  # a wrong name is said before anything is loaded
    check_split(split)
    change = use_data(workdir, str(data), pixel_scale, detections)
    saved = read_run(workdir, checkpoint)
    averaging = averaging or saved.run["config"]["averaging"]
    label = layout.label_of(split, averaging)
    check_place(layout.results_folder(saved.workdir) / layout.predictions_name(label))
    trained = open_run(saved, change)
    experiment, run = trained.experiment, trained.run
    step, other = None if checkpoint == "newest" else trained.step, ""
    if experiment.source.fingerprint != run["fingerprint"]:
        if split != "all":
            say(
                f"note: these are not the data of the run: '{split}' is cut anew from "
                "them, and may hold galaxies that were trained on"
            )
        other = experiment.source.fingerprint
    label = layout.label_of(split, averaging, step, other)
    return score(trained, averaging, split, label)


def score(
    trained: TrainedRun, averaging: str, split: str = "valid", label: str = ""
) -> dict:
    """Scores a state on a split; writes ``label``'s files, prints the table.

    The files are the scores, the predictions, the true fractions, and the names of
    galaxies whose ids are not their names (:mod:`gzjax.data.sources.survey`).

    ``averaging`` and ``split`` are those of :func:`evaluate`; the label "" stands for
    ``SPLIT-AVERAGING``.

    Returns:
        What the JSON file holds: see :func:`score_votes`, with ``rotation_robustness``
        (R, eq. 7 of Cao & Chen, at quarter turns of the raw image),
        ``rotation_robustness_15deg`` (R15, the same at all multiples of 15°, of
        ``galaxies_15deg`` galaxies, at most ``MAX_15DEG``, evenly spread over the
        split), ``dead_questions`` (:func:`gzjax.metrics.dead_questions`), and what was
        evaluated. Both R are of single predictions, whatever is averaged.
    """
    _, experiment, state, step, run = trained
    folder = layout.results_folder(trained.workdir)
    label = label or layout.label_of(split, averaging)
    indices = select(experiment, split)
    # For R the raw image is turned; what is averaged may be turned on the device.
    placements = averaging_set(averaging)
    both = np.concatenate([QUARTER_TURNS, placements])
    on_device = np.arange(len(both)) >= len(QUARTER_TURNS)
    predictions = experiment.predict(state, step, indices, both, on_device)
    turned, averaged = np.split(predictions, [len(QUARTER_TURNS)], axis=1)
    votes = averaged.mean(axis=1, dtype=np.float64)
    sample = evenly(np.arange(len(indices)), MAX_15DEG)
    between = experiment.predict(state, step, indices[sample], BETWEEN, on_device=False)
    everywhere = np.concatenate([turned[sample], between], axis=1)

    targets = experiment.source.targets[indices]
    result = {
        **score_votes(votes, targets, run["train_mean"], experiment.tree),
        "rotation_robustness": float(rotation_distances(turned).mean()),
        "rotation_robustness_15deg": float(rotation_distances(everywhere).mean()),
        "galaxies_15deg": len(sample),
        "dead_questions": dead_questions(votes, experiment.tree),
        "galaxies": len(indices),
        "split": split,
        "averaging": averaging,
        "maps": len(placements),
        "step": step,
        **data_of(experiment),
        "tree": experiment.tree.to_dict(),
    }
    files = {
        "scores": folder / layout.evaluation_name(label),
        "predictions": folder / layout.predictions_name(label),
    }
    if experiment.leads:
        folder.mkdir(parents=True, exist_ok=True)
        ids, columns = experiment.source.ids[indices], experiment.tree.columns
        write_votes(folder / layout.targets_name(label), ids, targets, columns)
        write_votes(files["predictions"], ids, votes, columns)
        names = experiment.source.names or experiment.source.ids.astype(str)
        names = [names[i] for i in indices]
        write_names(folder / layout.names_name(label), ids, names)
        write_json(files["scores"], result)
    print_scores(result, files)
    return result


def score_votes(
    votes: np.ndarray, targets: np.ndarray, train_mean: np.ndarray, tree: Tree
) -> dict:
    """Returns all scores that follow from ``votes`` and ``targets`` ``[n a]``.

    These are, JSON-ready, ``rmse``, ``questions`` and ``answers`` of the model
    (:func:`gzjax.metrics.scores`), ``training_mean`` (the same of always answering
    ``train_mean`` ``[a]``), ``conditional``
    (:func:`gzjax.metrics.question_scores.conditional_scores`), ``reliability`` and, of
    the first question, ``classification`` (the modules of these names in
    :mod:`gzjax.metrics`).
    """
    both = question_scores(votes, targets, train_mean, tree)
    return {
        **both.pop("model"),
        **both,
        "reliability": reliability(votes, targets, tree),
        "classification": classification(votes, targets, tree, tree.questions[0].name),
    }


def check_split(split: str) -> None:
    """Raises a UserError if there is no such split."""
    if split not in SPLITS:
        raise UserError(f"no split '{split}'; there are: {', '.join(SPLITS)}")


def data_of(experiment) -> dict:
    """Returns what identifies an experiment's data, JSON-ready."""
    data = experiment.config.data
    return {
        "data": data.dir or data.kind,
        "fingerprint": experiment.source.fingerprint,
    }


def evenly(items: np.ndarray, most: int) -> np.ndarray:
    """Returns at most ``most`` of the items ``[n ...]``, evenly spread over them."""
    last = len(items) - 1
    return items[np.linspace(0, last, min(most, len(items))).round().astype(int)]


def select(experiment, split: str) -> np.ndarray:
    """Returns the positions int64 ``[n]``, n ≥ 1, of a split.

    Raises:
        UserError: there is no such split, or no galaxy in it.
    """
    check_split(split)
    if split == "all":
        return np.arange(len(experiment.source.ids))
    indices = experiment.splits[split]
    if not len(indices):
        sizes = ", ".join(f"{k} {len(v)}" for k, v in experiment.splits.items())
        raise UserError(f"the split '{split}' is empty (galaxies: {sizes})")
    return indices
