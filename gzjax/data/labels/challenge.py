"""Reads and checks the vote fractions of the challenge: a CSV, bare or in a zip."""

from pathlib import Path

import numpy as np

from gzjax.data.labels.table import (
    MAX_ID_DIGITS,
    Fields,
    as_targets,
    check_votes,
    read_label_table,
)
from gzjax.errors import Problems
from gzjax.trees import Tree

ID_COLUMN = "GalaxyID"
SUM_TOLERANCE = 1e-5


def read_labels(
    path: Path, tree: Tree, problems: Problems
) -> tuple[np.ndarray, np.ndarray]:
    """Reads ids and votes, sorted by id, and notes in ``problems`` all that is wrong.

    Args:
        path: see :func:`gzjax.data.labels.table.read_label_table`.
        tree: names the columns after ``GalaxyID``, and says what must add up.
        problems: gets a line per kind; nothing is raised for bad contents.

    Returns:
        ids int64 [n] and targets float32 [n a]. Once a problem is noted they serve
        only to find more: broken rows are left out, and a may not be the tree's.
    """

    def choose_fields(header):
        fits = _check_header(header, tree, problems)
        return Fields(0, list(range(1, len(header))), fits) if header else None

    bad_id = f"rows whose {ID_COLUMN} is not a whole number"
    table = read_label_table(path, choose_fields, _parse_id, bad_id, problems)
    ids = np.array(table.keys, np.int64)
    order = np.argsort(ids, kind="stable")
    ids, votes = ids[order], table.values[order]
    if table.fields and table.fields.fit:
        check_votes(ids, votes, tree, problems, "id", SUM_TOLERANCE)
    return ids, as_targets(votes)


def _check_header(header: list[str], tree: Tree, problems: Problems) -> bool:
    """Notes how the header differs from the tree's; returns True if it does not."""
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
    return int(digits) if digits.isdecimal() and len(digits) <= MAX_ID_DIGITS else None
