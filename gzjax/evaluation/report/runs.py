"""Reads what ``train`` and ``evaluate`` left in a run's folder, for the page."""

import dataclasses
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gzjax.data.vote_files import VoteTable, read_names, read_votes
from gzjax.errors import UserError
from gzjax.evaluation.labels import evaluate_command
from gzjax.files import read_json
from gzjax.training import run_files as layout
from gzjax.training.curves import Curve, read_curves
from gzjax.trees import Tree

_KINDS = dict.fromkeys(("rmse", "rotation_robustness"), float)
_KINDS |= dict.fromkeys(("questions", "answers", "training_mean", "conditional"), dict)
_KINDS |= dict.fromkeys(("reliability", "classification", "tree"), dict)
_KINDS |= dict.fromkeys(("galaxies", "maps", "step"), int)
_KINDS |= dict.fromkeys(("split", "averaging", "data", "fingerprint"), str)


NO_MAPS = "none"  # as --cam_layer


class ActivationMap(NamedTuple):
    """Which places speak for an answer, as heat over the crop."""

    answer: str  # "question.answer"
    score: float  # its vote fraction, from this one placement
    picture: np.ndarray  # uint8 [h w 3]
    cold: bool  # whether no place speaks for the answer


@dataclasses.dataclass(frozen=True)
class RunReport:
    """One run on the page. The last fields need its checkpoint, or its images.

    Attributes:
        name: what the page calls it; unique.
        scores: see :func:`gzjax.evaluation.evaluate.evaluate`.
        predictions: the galaxies evaluated, by ascending id, as ``targets``.
        command: evaluates it again.
        names: {id: name} of galaxies whose ids are not their names.
        run: see :func:`gzjax.training.identity.describe_run`; None if unknown.
        crops: {id: uint8 ``[h w 3]``}, what the network sees of a galaxy.
        cam_layer: the layer of the maps; "" without maps.
        notes: what could not be shown, and why.
    """

    name: str
    folder: Path
    tree: Tree
    scores: dict
    predictions: VoteTable
    targets: VoteTable
    curves: dict[str, Curve]
    command: str
    names: dict[int, str] = dataclasses.field(default_factory=dict)
    run: dict | None = None
    num_params: int | None = None
    crops: dict[int, np.ndarray] = dataclasses.field(default_factory=dict)
    maps: dict[int, list[ActivationMap]] = dataclasses.field(default_factory=dict)
    cam_layer: str = ""
    notes: tuple[str, ...] = ()

    def call(self, galaxy: int) -> str:
        """Returns what the page calls the galaxy of this id."""
        return f"Galaxy {self.names.get(galaxy, galaxy)}"


def read_run_report(folder: Path, label: str, name: str) -> RunReport:
    """Reads a run that has the files of ``label``, without checkpoint and images.

    Raises:
        UserError: a file is broken, or lacks a score.
    """
    command = evaluate_command(folder, label)
    again = f"make it again with\n  {command}"
    files = layout.results_folder(folder)
    path = files / layout.evaluation_name(label)
    scores, tree = read_json(path, again, _parse_scores)
    predictions = read_votes(files / layout.predictions_name(label)).by_id()
    targets = read_votes(files / layout.targets_name(label)).by_id()
    if not np.array_equal(predictions.ids, targets.ids):
        raise UserError(
            f"{folder}: the files of '{label}' hold different galaxies; {again}"
        )
    if predictions.columns != tree.columns:
        raise UserError(
            f"{folder}: the predictions of '{label}' have other columns than the "
            f"decision tree in {path.name}; {again}"
        )
    return RunReport(
        name=name,
        folder=folder,
        tree=tree,
        scores=scores,
        predictions=predictions,
        targets=targets,
        curves=read_curves(folder / layout.METRICS),
        command=command,
        names=read_names(files / layout.names_name(label)),
    )


def _parse_scores(scores: dict) -> tuple[dict, Tree]:
    for key, kind in _KINDS.items():
        if key not in scores:
            raise ValueError(f"it has no '{key}'")
        if not isinstance(scores[key], kind):
            raise ValueError(f"its '{key}' is {scores[key]!r:.60}")
    return scores, Tree.from_dict(scores["tree"])
