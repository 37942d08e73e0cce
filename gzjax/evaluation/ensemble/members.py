"""The members of an ensemble: predictions of several runs for the same galaxies."""

import dataclasses
import re
import shlex
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gzjax.data.averaging import averaging_set
from gzjax.data.vote_files import VoteTable, read_votes
from gzjax.errors import Problems, UserError
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
        targets: float64 [n a]; None if they are not known.
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

    Args:
        workdirs: at least two, of runs or of blends.
        label: for example ``valid-none``: which predictions.
        need_targets: False: without the truth it will do too.

    Raises:
        UserError: fewer than two workdirs, or one twice; a file missing (with the
            command that makes it) or broken; or files of other galaxies, other columns
            or other targets.
    """
    check_label(label)
    folders = _check_folders(workdirs)
    paths = [folder / layout.predictions_name(label) for folder in folders]
    truths = [folder / layout.targets_name(label) for folder in folders]
    know_targets = need_targets or all(path.is_file() for path in truths)
    tables = {}
    for path in [*paths, *(truths if know_targets else [])]:
        if not path.is_file():
            raise UserError(missing_message(path, label))
        tables[path] = read_votes(path).by_id()
    _check_same_rows(tables)
    if know_targets:
        _check_same_targets({path: tables[path] for path in truths})
    return Members(
        names=tuple(map(str, folders)),
        columns=tables[paths[0]].columns,
        ids=tables[paths[0]].ids,
        votes=np.stack([tables[path].votes for path in paths]),
        targets=tables[truths[0]].votes if know_targets else None,
    )


def check_label(label: str) -> None:
    """Raises a UserError unless ``label`` can be a part of a file's name."""
    if not re.fullmatch(r"[\w.,-]+", label):
        raise UserError(f"'{label}' is no label; give one like valid-none or all-d4")


def _check_folders(workdirs: Sequence[str | Path]) -> list[Path]:
    folders = list(map(Path, workdirs))
    seen: dict[Path, Path] = {}
    for folder in folders:
        if not folder.is_dir():
            raise UserError(
                f"{folder} is no folder; give --workdirs=A,B,... of runs that were "
                "trained and evaluated"
            )
        first = seen.setdefault(folder.resolve(), folder)
        if first is not folder:
            raise UserError(f"the workdir {folder} is given twice; give it once")
    if len(folders) < 2:
        raise UserError(
            f"an ensemble needs at least two workdirs, and {len(folders)} is given: "
            "--workdirs=A,B,..."
        )
    return folders


def _check_same_rows(tables: dict[Path, VoteTable]) -> None:
    first, reference = next(iter(tables.items()))
    problems = Problems()
    for path, table in tables.items():
        if table.columns != reference.columns:
            problems.add_failure(
                f"{path}: its columns are those of another decision tree than in "
                f"{first}"
            )
        lacks = np.setdiff1d(reference.ids, table.ids)
        more = np.setdiff1d(table.ids, reference.ids)
        problems.add(f"{path}: galaxies of {first} missing", "id", lacks)
        problems.add(f"{path}: galaxies not in {first}", "id", more)
    problems.raise_if_any(
        "only predictions of the same answers for the same galaxies can be averaged",
        "evaluate all workdirs on the same data and split (config.split), or leave out "
        "those that differ",
    )


def _check_same_targets(tables: dict[Path, VoteTable]) -> None:
    first, reference = next(iter(tables.items()))
    problems = Problems()
    for path, table in tables.items():
        off = np.abs(table.votes - reference.votes) > TARGET_TOLERANCE
        problems.add(
            f"{path}: galaxies with other targets than in {first}",
            "id",
            reference.ids[off.any(axis=1)],
        )
    problems.raise_if_any(
        "the workdirs do not agree about the true vote fractions",
        "evaluate all of them with the same labels",
    )


def missing_message(path: Path, label: str) -> str:
    """What to tell of a file of ``label`` that is not there: how to make it."""
    folder = path.parent
    if any(folder.glob("ensemble-*.json")):
        how = f"it is a blend: make it again, with --apply={label}"
    else:
        how = f"make it with\n  {evaluate_command(folder, label)}"
    found = sorted(folder.glob(layout.predictions_name("*")))
    labels = ", ".join(p.stem.partition("-")[2] for p in found) or "none"
    return f"{folder} has no {path.name}; {how}\nLabels of predictions there: {labels}"


def evaluate_command(folder: Path, label: str) -> str:
    """The command that makes the files of ``label``: ``evaluate``'s naming undone."""
    parts = re.fullmatch(r"(\w+)-([\w.,]+)(?:-step(\d+))?(-data\w+)?", label)
    split, averaging, step, data = parts.groups() if parts else ("SPLIT", "", "", "")
    try:
        averaging_set(averaging)
    except UserError:
        averaging = "SET"
    command = ["python", "-m", "gzjax.main", "evaluate", f"--workdir={folder}"]
    command += [f"--split={split}", f"--averaging={averaging}"]
    command += [f"--checkpoint={step}"] if step else []
    command += ["--data=FOLDER"] if data else []
    return shlex.join(command)
