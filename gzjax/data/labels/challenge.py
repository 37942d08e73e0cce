"""Reads and checks the vote fractions of the challenge: a CSV, bare or in a zip."""

import array
import pathlib

import numpy as np

from gzjax.data.labels.table import Fields, as_targets, read_label_table
from gzjax.errors import Problems
from gzjax.trees import Tree

ID_COLUMN = "GalaxyID"
SUM_TOLERANCE = 1e-5

_MAX_ID_DIGITS = 18  # 10**18 fits into int64


def read_labels(
    path: pathlib.Path, tree: Tree, problems: Problems
) -> tuple[np.ndarray, np.ndarray]:
    """Reads ids and votes, sorted by id, and notes in ``problems`` all that is wrong.

    Args:
        path: a ``.csv`` (UTF-8; a BOM and Windows line ends are accepted), or a
            ``.zip`` that holds one. Read as a stream.
        tree: names the columns after ``GalaxyID``, and says what must add up.
        problems: gets a line per kind; nothing is raised for bad contents.

    Returns:
        ids int64 [n] and targets float32 [n a]. Once a problem is noted they serve
        only to find more: broken rows are left out, and a may not be the tree's.
    """
    ids, values = array.array("q"), array.array("d")
    num_values, header_fits = 0, False

    def choose_fields(header):
        nonlocal num_values, header_fits
        header_fits = _check_header(header, tree, problems)
        num_values = max(len(header) - 1, 0)
        return Fields(0, list(range(1, len(header)))) if header else None

    bad_id = f"rows whose {ID_COLUMN} is not a whole number"
    read_label_table(path, choose_fields, _parse_id, bad_id, ids, values, problems)
    targets = np.array(values, np.float64).reshape(len(ids), num_values)
    order = np.argsort(np.array(ids, np.int64), kind="stable")
    id_array, targets = np.array(ids, np.int64)[order], targets[order]
    if header_fits:
        label_problems(id_array, targets, tree, problems)
    return id_array, as_targets(targets)


def label_problems(
    ids: np.ndarray,
    targets: np.ndarray,
    tree: Tree,
    problems: Problems,
    unit: str = "id",
    tolerance: float = SUM_TOLERANCE,
) -> None:
    """Notes in ``problems`` what cannot be true of vote fractions.

    Args:
        ids: [n], ascending: int64, or names as objects.
        targets: float64 [n a], absolute vote fractions in the tree's column order.
        tree: every question's answers must add up to the sum of its parents, or to 1
            if everybody is asked it, within ``tolerance``.
        problems: gets a line per kind.
        unit: what the ids are, for the messages.
        tolerance: of the sums.
    """
    if not len(ids):
        problems.add_failure("labels: no row that can be read")
    twice = np.unique(ids[1:][ids[1:] == ids[:-1]])
    problems.add(f"labels: {unit}s given twice", unit, twice)
    # A NaN compares false.
    inside = ((targets >= 0) & (targets <= 1)).all(axis=1)
    voted = targets.any(axis=1)
    problems.add("labels: rows with a value outside [0, 1] or NaN", unit, ids[~inside])
    problems.add("labels: rows of nothing but zeros", unit, ids[~voted])
    ids, targets = ids[inside & voted], targets[inside & voted]
    for question, columns, parents in zip(
        tree.questions, tree.slices, tree.parents, strict=True
    ):
        asked = targets[:, parents].sum(axis=1) if parents else 1.0
        off = np.abs(targets[:, columns].sum(axis=1) - asked) > tolerance
        names = tree.columns[columns]
        total = " + ".join(tree.columns[p] for p in parents) or "1"
        problems.add(
            f"labels: rows whose question '{question.name}' ({names[0]} to "
            f"{names[-1]}) does not add up to {total}",
            unit,
            ids[off],
        )


def _check_header(header: list[str], tree: Tree, problems: Problems) -> bool:
    """Notes how the header differs from the tree's; True if it does not."""
    expected = [ID_COLUMN, *tree.columns]
    if header == expected:
        return True
    if not header:
        problems.add_failure("labels: the file is empty")
        return False
    missing = [name for name in expected if name not in header]
    unexpected = [name for name in header if name not in expected]
    repeated = [name for i, name in enumerate(header) if name in header[:i]]
    problems.add("labels: columns missing from the header", "column", missing)
    problems.add("labels: unexpected columns in the header", "column", unexpected)
    problems.add("labels: columns twice in the header", "column", repeated)
    if not missing and not unexpected and not repeated:
        at = next(i for i, name in enumerate(expected) if header[i] != name)
        problems.add_failure(
            f"labels: the header's columns are in another order: column {at + 1} is "
            f"'{header[at]}' and should be '{expected[at]}'"
        )
    return False


def _parse_id(text: str) -> int | None:
    digits = text.strip()
    return int(digits) if digits.isdecimal() and len(digits) <= _MAX_ID_DIGITS else None
