"""Reads and checks the vote fractions of the challenge: a CSV, bare or in a zip."""

import array
import contextlib
import csv
import pathlib
import zipfile
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from gzjax.data.problems import READ_ERRORS, Problems, first_few, reason
from gzjax.trees import Tree

ID_COLUMN = "GalaxyID"
LABEL_FILES = ("training_solutions_rev1.csv", "training_solutions_rev1.zip")
SUM_TOLERANCE = 1e-5

_MAX_LINE_BYTES = 1 << 16  # a file without line ends must not end up in memory
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
    header: list[str] = []
    header_fits = False
    try:
        with _open_csv(path) as stream:
            reader = csv.reader(_text_lines(stream))
            header = next(filter(None, reader), [])
            header_fits = _check_header(header, tree, problems)
            _read_rows(reader, len(header), ids, values, problems)
    except (csv.Error, *READ_ERRORS) as error:
        problems.add_failure(f"labels: {path.name} cannot be read: {reason(error)}")
    targets = np.array(values, np.float64).reshape(len(ids), max(len(header) - 1, 0))
    order = np.argsort(np.array(ids, np.int64), kind="stable")
    id_array, targets = np.array(ids, np.int64)[order], targets[order]
    if header_fits:
        label_problems(id_array, targets, tree, problems)
    with np.errstate(over="ignore"):  # of values already noted as outside [0, 1]
        return id_array, targets.astype(np.float32)


def label_problems(
    ids: np.ndarray, targets: np.ndarray, tree: Tree, problems: Problems
) -> None:
    """Notes in ``problems`` what cannot be true of vote fractions.

    Args:
        ids: int64 [n], ascending.
        targets: float64 [n a], absolute vote fractions in the tree's column order.
        tree: every question's answers must add up to the sum of its parents, or to 1
            if everybody is asked it, within ``SUM_TOLERANCE``.
        problems: gets a line per kind.
    """
    if not len(ids):
        problems.add_failure("labels: no row that can be read")
    problems.add("labels: ids given twice", "id", np.unique(ids[1:][np.diff(ids) == 0]))
    # A NaN compares false.
    inside = ((targets >= 0) & (targets <= 1)).all(axis=1)
    voted = targets.any(axis=1)
    problems.add("labels: rows with a value outside [0, 1] or NaN", "id", ids[~inside])
    problems.add("labels: rows of nothing but zeros", "id", ids[~voted])
    ids, targets = ids[inside & voted], targets[inside & voted]
    for question, columns, parents in zip(
        tree.questions, tree.slices, tree.parents, strict=True
    ):
        asked = targets[:, parents].sum(axis=1) if parents else 1.0
        off = np.abs(targets[:, columns].sum(axis=1) - asked) > SUM_TOLERANCE
        names = tree.columns[columns]
        total = " + ".join(tree.columns[p] for p in parents) or "1"
        problems.add(
            f"labels: rows whose question '{question.name}' ({names[0]} to "
            f"{names[-1]}) does not add up to {total}",
            "id",
            ids[off],
        )


@contextlib.contextmanager
def _open_csv(path: pathlib.Path) -> Iterator[BinaryIO]:
    if path.suffix == ".zip":
        with (
            zipfile.ZipFile(path) as archive,
            archive.open(_csv_entry(archive)) as stream,
        ):
            yield stream
    else:
        with path.open("rb") as stream:
            yield stream


def _csv_entry(archive: zipfile.ZipFile) -> str:
    """The CSV in the zip: the one of the challenge's name, or else the only one."""
    names = [name for name in archive.namelist() if "__MACOSX" not in name]
    tables = [name for name in names if name.lower().endswith(".csv")]
    named = [name for name in tables if name.rsplit("/", 1)[-1] == LABEL_FILES[0]]
    if len(named or tables) != 1:
        raise zipfile.BadZipFile(
            f"it should hold one {LABEL_FILES[0]}, but holds {first_few(names) or '-'}"
        )
    return (named or tables)[0]


def _text_lines(stream: BinaryIO) -> Iterator[str]:
    """Decodes line by line, never holding more than one line of bounded length."""
    number = 0
    while line := stream.readline(_MAX_LINE_BYTES):
        number += 1
        if len(line) == _MAX_LINE_BYTES:
            raise csv.Error(f"line {number} is too long to be one of a table")
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise csv.Error(f"line {number} is not UTF-8 text") from error


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


def _read_rows(
    reader: Iterator[list[str]],
    num_fields: int,
    ids: array.array,
    values: array.array,
    problems: Problems,
) -> None:
    """Appends every good row to ``ids`` and ``values``; notes the others by line."""
    for row in filter(None, reader):  # blank lines are harmless
        kind = None
        if len(row) != num_fields:
            kind = f"rows without {num_fields} fields (a truncated file?)"
        elif (galaxy := _parse_id(row[0])) is None:
            kind = f"rows whose {ID_COLUMN} is not a whole number"
        elif (numbers := _parse_numbers(row[1:])) is None:
            kind = "rows with a value that is not a number"
        else:
            ids.append(galaxy)
            values.extend(numbers)
        if kind:
            problems.add(f"labels: {kind}", "line", [reader.line_num])


def _parse_id(text: str) -> int | None:
    digits = text.strip()
    return int(digits) if digits.isdecimal() and len(digits) <= _MAX_ID_DIGITS else None


def _parse_numbers(fields: list[str]) -> list[float] | None:
    if "_" in "".join(fields):  # which Python would read: 1_0 is 10
        return None
    try:
        return list(map(float, fields))
    except ValueError:
        return None
