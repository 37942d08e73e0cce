"""What a page tells of one run: what ``train`` and ``evaluate`` left in its folder."""

import dataclasses
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gzjax.data.vote_files import VoteTable, read_names, read_votes
from gzjax.errors import READ_ERRORS, UserError, reason
from gzjax.files import MAX_TABLE_BYTES, read_text
from gzjax.training import run_files as layout
from gzjax.trees import TREES, Tree

Curve = list[tuple[int, float]]  # (step, value), steps ascending

_NEEDED = ("rmse", "questions", "answers", "training_mean", "conditional",
           "reliability", "classification", "rotation_robustness", "galaxies", "split",
           "averaging", "maps", "step", "data", "fingerprint")  # fmt: skip


class ActivationMap(NamedTuple):
    """Which places speak for an answer: heat over the crop.

    Attributes:
        answer: as ``"question.answer"``.
        score: its vote fraction, of this one placement.
        picture: uint8 ``[h w 3]``.
        cold: whether no place speaks for the answer.
    """

    answer: str
    score: float
    picture: np.ndarray
    cold: bool


@dataclasses.dataclass(frozen=True)
class RunReport:
    """One run. The last fields need its checkpoint, or its images.

    Attributes:
        name: how the page calls it; unique.
        folder: the workdir.
        tree: of the answers.
        scores: what :func:`gzjax.evaluation.evaluate.evaluate` returned.
        predictions: of the galaxies evaluated, by ascending id.
        targets: of the same galaxies.
        curves: {"train/loss": points, ...}, see :func:`read_curves`.
        command: evaluates it again.
        names: {id: name} of galaxies whose ids are not their names.
        run: of :func:`gzjax.training.description.describe_run`; None: not known.
        num_params: of the network; None: not known.
        crops: {id: uint8 ``[h w 3]``}, what the network sees of a galaxy.
        maps: {id: activation maps}.
        cam_layer: of the maps; "": there are none.
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
        """What the page calls the galaxy of this id."""
        return f"Galaxy {self.names.get(galaxy, galaxy)}"


def read_run(folder: Path, label: str, name: str, command: str) -> RunReport:
    """Reads what is there of a run that was evaluated.

    Args:
        folder: the workdir; the three files of ``label`` are there.
        label: of the evaluation, for example ``valid-none``.
        name: how to call it.
        command: that evaluates it again; told where a file is of no use.

    Raises:
        UserError: a file is broken, or of an older gzjax.
    """
    path = folder / layout.evaluation_name(label)
    again = f"make it again with\n  {command}"
    try:
        scores = json.loads(read_text(path))
        lacks = [key for key in _NEEDED if key not in scores]
    except (*READ_ERRORS, TypeError) as error:
        raise UserError(f"{path} cannot be read: {reason(error)}; {again}") from error
    if lacks:
        raise UserError(f"{path} has no '{lacks[0]}': an older gzjax wrote it; {again}")
    predictions = read_votes(folder / layout.predictions_name(label)).by_id()
    targets = read_votes(folder / layout.targets_name(label)).by_id()
    if not np.array_equal(predictions.ids, targets.ids):
        raise UserError(
            f"{folder}: the files of '{label}' hold different galaxies; {again}"
        )
    return RunReport(
        name=name,
        folder=folder,
        tree=_find_tree(scores, predictions.columns, folder),
        scores=scores,
        predictions=predictions,
        targets=targets,
        curves=read_curves(folder / layout.METRICS),
        command=command,
        names=read_names(folder / layout.names_name(label)),
    )


def read_curves(path: Path) -> dict[str, Curve]:
    """What a run wrote while it trained.

    A step that stands there again, or a smaller one, is of a training that was resumed:
    it replaces what came after. A line that a kill cut short is passed over.

    Args:
        path: of ``metrics.jsonl``; may be missing.
    """
    curves: dict[str, Curve] = {}
    lines = read_text(path, MAX_TABLE_BYTES).splitlines() if path.is_file() else []
    for line in lines:
        try:
            scalars = json.loads(line)
            step = scalars.pop("step")
        except (json.JSONDecodeError, KeyError):
            continue
        for name, value in scalars.items():
            curve = curves.setdefault(name, [])
            while curve and curve[-1][0] >= step:
                curve.pop()
            curve.append((step, value))
    return curves


def _find_tree(scores: dict, columns: tuple[str, ...], folder: Path) -> Tree:
    # Files of before trees were recorded are of a tree that gzjax knows.
    recorded = [Tree.from_dict(scores["tree"])] if "tree" in scores else TREES.values()
    for tree in recorded:
        if tree.columns == columns:
            return tree
    raise UserError(
        f"{folder}: the columns of its predictions are of no decision tree that gzjax "
        f"knows; there are: {', '.join(TREES)}"
    )
