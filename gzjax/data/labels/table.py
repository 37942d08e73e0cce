"""Reads a table of vote fractions, the challenge's or a survey's, and checks it."""

import array
import csv
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gzjax.data.csv_rows import csv_rows, open_csv
from gzjax.data.images.path_list import NAME_COLUMNS, PATH_COLUMNS
from gzjax.errors import READ_ERRORS, Problems, first_few, nearest, reason
from gzjax.trees import Tree

ID_COLUMN = "GalaxyID"
MAX_ID_DIGITS = 18  # 10**18 fits into int64


class Keys(NamedTuple):
    """How the rows of a kind of table say which galaxy they are of."""

    unit: str  # what a key is, for the messages
    columns: tuple[str, ...]  # the first that the header has counts, whatever its case
    parse: Callable[[str], int | str | None]  # returns None for an invalid key
    bad: str  # what rows with invalid keys are called
    dtype: type
    tolerance: float  # of the sums of a question's answers
    advice: str = ""  # what to do if no column has the keys


class Labels(NamedTuple):
    """The rows of a table, by ascending key.

    Once a problem is noted they serve only to find more: broken rows are left out, and
    a may not be the tree's.
    """

    keys: np.ndarray  # [n], int64 or objects
    targets: np.ndarray  # float32 [n a], absolute vote fractions
    key_column: str  # where the keys are, or "" if no column has them


def _parse_id(text: str) -> int | None:
    digits = text.strip()
    return int(digits) if digits.isdecimal() and len(digits) <= MAX_ID_DIGITS else None


def _parse_name(text: str) -> str | None:
    name = text.strip()
    return name if name and name.isprintable() else None


IDS = Keys(
    "id",
    (ID_COLUMN,),
    _parse_id,
    f"rows whose {ID_COLUMN} is not a whole number",
    np.int64,
    1e-5,
)
NAMES = Keys(
    "name",
    tuple(dict.fromkeys(("name", *NAME_COLUMNS, "filename", *PATH_COLUMNS))),
    _parse_name,
    "rows without a name that can be printed",
    object,
    0.02,  # tables are rounded, some to two decimals
    "; say which with config.data.name_column",
)


def read_labels(
    path: Path, tree: Tree, keys: Keys, problems: Problems, key_column: str = ""
) -> Labels:
    """Reads keys and votes, and notes in ``problems`` all that is wrong.

    Args:
        path: a ``.csv`` (UTF-8; a BOM and Windows line ends are accepted), or a
            ``.zip`` that holds one.
        tree: its columns are found by their names; others are ignored.
        problems: gets a line per kind; nothing is raised.
        key_column: takes the place of ``keys.columns``.
    """
    found, values, header, at, columns = [], array.array("d"), [], None, []
    try:
        with open_csv(path) as stream:
            rows = csv_rows(stream)
            header = [column.strip() for column in next(rows, (0, []))[1]]
            at, columns = _find_columns(header, tree, keys, key_column, problems)
            for line, row in rows if at is not None else ():
                try:
                    key, numbers = _parse_row(row, len(header), keys, at, columns)
                except ValueError as error:
                    problems.add(f"labels: {error}", "line", [line])
                else:
                    found.append(key)
                    values.extend(numbers)
    except (csv.Error, *READ_ERRORS) as error:
        problems.add_failure(f"labels: {path.name} cannot be read: {reason(error)}")
    ordered = np.array(found, keys.dtype)
    order = np.argsort(ordered, kind="stable")
    ordered = ordered[order]
    votes = np.array(values).reshape(len(found), len(columns))[order]
    if at is not None and len(columns) == tree.num_answers:
        _check_votes(ordered, votes, tree, keys, problems)
    with np.errstate(over="ignore"):  # of values already noted as outside [0, 1]
        targets = votes.astype(np.float32)
    return Labels(ordered, targets, "" if at is None else header[at])


def _find_columns(
    header: list[str], tree: Tree, keys: Keys, key_column: str, problems: Problems
) -> tuple[int | None, list[int]]:
    """Finds the keys and the tree's columns, and notes those that are missing."""
    if not header:
        problems.add_failure("labels: the file is empty")
        return None, []
    if len(header) == 1 and ";" in header[0]:
        problems.add_failure("labels: columns are separated by ';': make it ','")
        return None, []
    others = [c for c in header if c not in tree.columns]
    missing = [f"'{c}'{_hint(c, others)}" for c in tree.columns if c not in header]
    problems.add("labels: columns missing from the header", "column", missing)
    repeated = [c for c in tree.columns if header.count(c) > 1]
    problems.add("labels: columns twice in the header", "column", repeated)
    there, wanted = header, [key_column]
    if not key_column:
        there = ["" if c in tree.columns else c.lower() for c in header]
        wanted = [c.lower() for c in keys.columns]
    at = next((there.index(c) for c in wanted if c in there), None)
    if at is None:
        looked_for = f"any of {', '.join(keys.columns)}"
        if key_column:
            looked_for = f"'{key_column}'{_hint(key_column, header)}"
        problems.add_failure(
            f"labels: no column of {keys.unit}s: looked for {looked_for}; the header "
            f"has {first_few(header, 10)}{keys.advice}"
        )
    elif there.count(there[at]) > 1:
        problems.add("labels: columns twice in the header", "column", [header[at]])
    return at, [header.index(c) for c in tree.columns if c in header]


def _hint(name: str, header: list[str]) -> str:
    near = nearest(name, header)
    return f" ({near})" if near.startswith("nearest") else ""


def _parse_row(
    row: list[str], num_fields: int, keys: Keys, at: int, columns: list[int]
) -> tuple[int | str, list[float]]:
    """Returns a row's key and numbers; raises a ValueError that says its kind."""
    if len(row) != num_fields:
        raise ValueError(f"rows without {num_fields} fields (a truncated file?)")
    key, fields = keys.parse(row[at]), [row[i] for i in columns]
    if key is None:
        raise ValueError(keys.bad)
    try:
        if "_" in "".join(fields):  # which Python would read: 1_0 is 10
            raise ValueError
        return key, list(map(float, fields))
    except ValueError as error:
        raise ValueError("rows with a value that is not a number") from error


def _check_votes(
    found: np.ndarray, votes: np.ndarray, tree: Tree, keys: Keys, problems: Problems
) -> None:
    """Notes what cannot be true of fractions ``[n a]`` of ascending keys ``[n]``."""
    unit = keys.unit
    if not len(found):
        problems.add_failure("labels: no row that can be read")
    twice = np.unique(found[1:][found[1:] == found[:-1]])
    problems.add(f"labels: {unit}s given twice", unit, twice)
    # A NaN compares false.
    inside = ((votes >= 0) & (votes <= 1)).all(axis=1)
    voted = votes.any(axis=1)
    problems.add(
        "labels: rows with a value outside [0, 1] or NaN", unit, found[~inside]
    )
    problems.add("labels: rows of nothing but zeros", unit, found[~voted])
    found, votes = found[inside & voted], votes[inside & voted]
    for question, columns, parents in zip(
        tree.questions, tree.slices, tree.parents, strict=True
    ):
        asked = votes[:, parents].sum(axis=1) if parents else 1.0
        off = np.abs(votes[:, columns].sum(axis=1) - asked) > keys.tolerance
        names = tree.columns[columns]
        total = " + ".join(tree.columns[p] for p in parents) or "1"
        problems.add(
            f"labels: rows whose question '{question.name}' ({names[0]} to "
            f"{names[-1]}) does not add up to {total}",
            unit,
            found[off],
        )
