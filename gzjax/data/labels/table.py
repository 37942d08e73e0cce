"""Reads a CSV of vote fractions as a stream, and checks the fractions."""

import array
import contextlib
import csv
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from gzjax.data.images.files import is_stray
from gzjax.data.images.zip_archive import open_zip
from gzjax.data.labels.csv_rows import csv_rows
from gzjax.errors import READ_ERRORS, Problems, first_few, reason
from gzjax.files import open_regular
from gzjax.trees import Tree

LABEL_FILES = ("training_solutions_rev1.csv", "training_solutions_rev1.zip")
MAX_ID_DIGITS = 18  # 10**18 fits into int64


class Fields(NamedTuple):
    """Which fields of a row are read.

    Attributes:
        key: the position of what says which galaxy it is.
        values: the positions of the numbers.
        fit: whether these are the tree's columns.
    """

    key: int
    values: list[int]
    fit: bool


class Labels(NamedTuple):
    """The good rows of a table: n keys, float64 [n a] values, and their fields."""

    keys: list
    values: np.ndarray
    fields: Fields | None


def read_label_table(
    path: Path,
    choose_fields: Callable[[list[str]], Fields | None],
    parse_key: Callable[[str], object],
    bad_key: str,
    problems: Problems,
) -> Labels:
    """Reads every good row; notes all others in ``problems`` by line.

    Args:
        path: a ``.csv`` (UTF-8; a BOM and Windows line ends are accepted), or a
            ``.zip`` that holds one.
        choose_fields: given the header, [] if there is none; notes what is wrong with
            it, and returns None if no row can be read.
        parse_key: given a field's text; returns None for an invalid key.
        bad_key: what the problem with such rows is called.
        problems: gets a line per kind; nothing is raised for bad contents.
    """
    keys, values, fields = [], array.array("d"), None
    try:
        with _open_csv(path) as stream:
            rows = csv_rows(stream)
            _, header = next(rows, (0, []))
            fields = choose_fields(header)
            for line, row in rows if fields else ():
                kind = None
                if len(row) != len(header):
                    kind = f"rows without {len(header)} fields (a truncated file?)"
                elif (key := parse_key(row[fields.key])) is None:
                    kind = bad_key
                elif (numbers := _parse([row[i] for i in fields.values])) is None:
                    kind = "rows with a value that is not a number"
                else:
                    keys.append(key)
                    values.extend(numbers)
                if kind:
                    problems.add(f"labels: {kind}", "line", [line])
    except (csv.Error, *READ_ERRORS) as error:
        problems.add_failure(f"labels: {path.name} cannot be read: {reason(error)}")
    num_values = len(fields.values) if fields else 0
    return Labels(keys, np.array(values).reshape(len(keys), num_values), fields)


def check_votes(
    keys: np.ndarray,
    votes: np.ndarray,
    tree: Tree,
    problems: Problems,
    unit: str,
    tolerance: float,
) -> None:
    """Notes in ``problems`` what cannot be true of vote fractions.

    Args:
        keys: [n], ascending: int64, or names as objects.
        votes: float64 [n a], absolute vote fractions in the tree's column order.
        tree: every question's answers must add up to the sum of its parents, or to 1
            if everybody is asked it.
        problems: gets a line per kind.
        unit: what the keys are, for the messages.
        tolerance: of the sums.
    """
    if not len(keys):
        problems.add_failure("labels: no row that can be read")
    twice = np.unique(keys[1:][keys[1:] == keys[:-1]])
    problems.add(f"labels: {unit}s given twice", unit, twice)
    # A NaN compares false.
    inside = ((votes >= 0) & (votes <= 1)).all(axis=1)
    voted = votes.any(axis=1)
    problems.add("labels: rows with a value outside [0, 1] or NaN", unit, keys[~inside])
    problems.add("labels: rows of nothing but zeros", unit, keys[~voted])
    keys, votes = keys[inside & voted], votes[inside & voted]
    for question, columns, parents in zip(
        tree.questions, tree.slices, tree.parents, strict=True
    ):
        asked = votes[:, parents].sum(axis=1) if parents else 1.0
        off = np.abs(votes[:, columns].sum(axis=1) - asked) > tolerance
        names = tree.columns[columns]
        total = " + ".join(tree.columns[p] for p in parents) or "1"
        problems.add(
            f"labels: rows whose question '{question.name}' ({names[0]} to "
            f"{names[-1]}) does not add up to {total}",
            unit,
            keys[off],
        )


def as_targets(values: np.ndarray) -> np.ndarray:
    """Returns ``values`` as float32."""
    with np.errstate(over="ignore"):  # of values already noted as outside [0, 1]
        return values.astype(np.float32)


@contextlib.contextmanager
def _open_csv(path: Path) -> Iterator[BinaryIO]:
    if path.suffix == ".zip":
        with open_zip(path) as archive, archive.open(_csv_entry(archive)) as stream:
            yield stream
    else:
        with open_regular(path) as stream:
            yield stream


def _csv_entry(archive: zipfile.ZipFile) -> str:
    """Returns the CSV of the challenge's name, or else the only one in the zip."""
    names = [name for name in archive.namelist() if not is_stray(name)]
    tables = [name for name in names if name.lower().endswith(".csv")]
    named = [name for name in tables if name.rsplit("/", 1)[-1] == LABEL_FILES[0]]
    if len(named or tables) != 1:
        raise zipfile.BadZipFile(
            f"it should hold one {LABEL_FILES[0]}, but holds {first_few(names) or '-'}"
        )
    return (named or tables)[0]


def _parse(fields: list[str]) -> list[float] | None:
    if "_" in "".join(fields):  # which Python would read: 1_0 is 10
        return None
    try:
        return list(map(float, fields))
    except ValueError:
        return None
