"""Reads the members of an ensemble: predictions of runs for the same galaxies."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gzjax.data.vote_files import VoteTable, read_votes
from gzjax.errors import Problems, UserError
from gzjax.evaluation.labels import check_label, check_workdirs, missing_message
from gzjax.training import run_files as layout

TARGET_TOLERANCE = 1e-6  # files have 8 digits, and labels were float32


@dataclasses.dataclass(frozen=True)
class Members:
    """Predictions of m runs for the same n galaxies and a answers.

    Attributes:
        names: m workdirs, as given.
        columns: a names of answers.
        ids: int64 [n], ascending.
        votes: float64 [m n a].
        targets: float64 [n a], or None.
    """

    names: tuple[str, ...]
    columns: tuple[str, ...]
    ids: np.ndarray
    votes: np.ndarray
    targets: np.ndarray | None


def read_predictions(
    workdirs: Sequence[str | Path], label: str, need_targets: bool = True
) -> Members:
    """Reads what ``evaluate`` wrote about ``label`` into each workdir.

    ``workdirs`` are at least two, of runs or of blends. Targets may be missing unless
    ``need_targets``.

    Raises:
        UserError: fewer than two workdirs, or one twice; a file missing (with the
            command that makes it) or broken; or files of other galaxies, other columns
            or other targets.
    """
    check_label(label)
    folders = check_workdirs(workdirs, at_least=2)
    places = [layout.results_folder(folder) for folder in folders]
    paths = [place / layout.predictions_name(label) for place in places]
    truths = [place / layout.targets_name(label) for place in places]
    know_targets = need_targets or all(path.is_file() for path in truths)
    tables = {}
    for number, path in enumerate([*paths, *(truths if know_targets else [])]):
        if not path.is_file():
            folder = folders[number % len(folders)]
            raise UserError(missing_message(folder, path.name, label))
        tables[path] = read_votes(path).by_id()
    _check_alike(tables, truths)
    return Members(
        names=tuple(map(str, folders)),
        columns=tables[paths[0]].columns,
        ids=tables[paths[0]].ids,
        votes=np.stack([tables[path].votes for path in paths]),
        targets=tables[truths[0]].votes if know_targets else None,
    )


def _check_alike(tables: dict[Path, VoteTable], truths: list[Path]) -> None:
    first, reference = next(iter(tables.items()))
    problems, truth = Problems(), None
    for path, table in tables.items():
        if table.columns != reference.columns:
            problems.add_failure(f"{path}: another decision tree than in {first}")
        elif not np.array_equal(table.ids, reference.ids):
            lacks = np.setdiff1d(reference.ids, table.ids)
            more = np.setdiff1d(table.ids, reference.ids)
            problems.add(f"{path}: galaxies of {first} missing", "id", lacks)
            problems.add(f"{path}: galaxies not in {first}", "id", more)
        elif path in truths:
            truth = truth or table
            off = np.abs(table.votes - truth.votes).max(axis=1) > TARGET_TOLERANCE
            kind = f"{path}: galaxies with other targets than in {truths[0]}"
            problems.add(kind, "id", table.ids[off])
    problems.raise_if_any(
        "only predictions of the same answers for the same galaxies can be averaged",
        "evaluate all workdirs on the same labels and split (config.split), or leave "
        "out those that differ",
    )
