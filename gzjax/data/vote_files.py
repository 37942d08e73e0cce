"""Reads and writes vote fractions: ``GalaxyID`` and a column per answer, as CSV.

Predictions and true fractions have this one format. If galaxies have names that are not
ids, a file beside these holds the names.
"""

import array
import contextlib
import csv
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gzjax.data.csv_rows import csv_rows
from gzjax.data.labels.table import ID_COLUMN, MAX_ID_DIGITS
from gzjax.errors import READ_ERRORS, UserError, first_few, reason
from gzjax.files import open_aside, open_regular


class VoteTable(NamedTuple):
    """The content of a file: a names, int64 [n] unique ids, float64 [n a] fractions."""

    columns: tuple[str, ...]
    ids: np.ndarray
    votes: np.ndarray

    def by_id(self) -> "VoteTable":
        """Returns the same rows by ascending id."""
        order = np.argsort(self.ids)
        return self._replace(ids=self.ids[order], votes=self.votes[order])


@contextlib.contextmanager
def open_votes(path: Path, columns: Sequence[str]):
    """Opens a file to write it a chunk of rows at a time; it is there at the end.

    Yields:
        ``write(ids, votes)`` for int64 [n] and numbers [n a]: 8 significant digits.
    """
    with open_aside(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([ID_COLUMN, *columns])

        def write(ids: np.ndarray, votes: np.ndarray) -> None:
            for galaxy_id, row in zip(ids, votes, strict=True):
                writer.writerow([galaxy_id, *(f"{x:.8g}" for x in row)])

        yield write


def write_votes(
    path: Path, ids: np.ndarray, votes: np.ndarray, columns: Sequence[str]
) -> None:
    """Writes a whole file; see :func:`open_votes`."""
    with open_votes(path, columns) as write:
        write(ids, votes)


def write_names(path: Path, ids: np.ndarray, names: Sequence[str]) -> None:
    """Writes ``GalaxyID,name`` for n galaxies; removes it if the ids are the names."""
    if [str(galaxy_id) for galaxy_id in ids] == list(names):
        path.unlink(missing_ok=True)  # of other data
        return
    with open_aside(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([(ID_COLUMN, "name"), *zip(ids, names, strict=True)])


def read_names(path: Path) -> dict[int, str]:
    """Reads what :func:`write_names` wrote, {} if nothing; raises UserError."""
    if not path.is_file():
        return {}
    with _reading(path) as rows:
        _, *named = rows
        return {int(galaxy_id): name for _, (galaxy_id, name) in named}


def read_votes(path: Path) -> VoteTable:
    """Reads a file that :func:`write_votes` wrote; rows stay in the file's order.

    Raises:
        UserError: names the file and the first line at fault.
    """
    ids, values = array.array("q"), array.array("d")
    # Cut inside its last number, a file would still read well, and be wrong.
    with _reading(path, whole=True) as rows:
        columns = _read_header(rows)
        for galaxy_id, row in _read_rows(rows, len(columns)):
            ids.append(galaxy_id)
            values.extend(row)
        if not len(ids):
            raise ValueError("it has no row after line 1")
    votes = np.array(values, np.float64).reshape(len(ids), len(columns))
    return VoteTable(columns, np.array(ids, np.int64), votes)


@contextlib.contextmanager
def _reading(path: Path, whole: bool = False):
    """Yields the rows of a file; what reading them raises becomes a UserError."""
    try:
        with open_regular(path) as stream:
            yield csv_rows(stream, whole)
    except (csv.Error, *READ_ERRORS) as error:
        raise UserError(
            f"{path} cannot be read: {reason(error)}; make the file again with "
            "evaluate, or copy it again"
        ) from error


def _read_header(rows: Iterator[tuple[int, list[str]]]) -> tuple[str, ...]:
    _, (first, *columns) = next(rows, (0, [""]))
    if first != ID_COLUMN or not columns or len(set(columns)) < len(columns):
        header = f"a header of {ID_COLUMN} and then a name per answer"
        raise ValueError(f"line 1 is not {header}")
    return tuple(columns)


def _read_rows(
    rows: Iterator[tuple[int, list[str]]], num_answers: int
) -> Iterator[tuple[int, list[float]]]:
    lines: dict[int, int] = {}
    for line, row in rows:
        here, wanted = f"line {line}", 1 + num_answers
        if len(row) != wanted:
            fields = f"{len(row)} fields, not {wanted}"
            raise ValueError(f"{here} has {fields} (a truncated file?)")
        galaxy_id, numbers = _parse(row, here)
        if first := lines.get(galaxy_id):
            raise ValueError(f"{here} has the id {galaxy_id} of line {first} again")
        lines[galaxy_id] = line
        yield galaxy_id, numbers


def _parse(row: list[str], here: str) -> tuple[int, list[float]]:
    digits, *fields = row
    if not digits.isdecimal() or len(digits) > MAX_ID_DIGITS:
        raise ValueError(
            f"{here} has a {ID_COLUMN} that is not a whole number: {digits}"
        )
    try:
        numbers = list(map(float, fields))
    except ValueError as error:
        raise ValueError(f"{here}: {error}") from error
    if not all(map(math.isfinite, numbers)):
        wrong = [x for x in numbers if not math.isfinite(x)]
        raise ValueError(f"{here} has values that are not finite: {first_few(wrong)}")
    return int(digits), numbers
