"""Reads a CSV of vote fractions as a stream: a key per row, and numbers."""

import contextlib
import csv
import pathlib
import zipfile
from collections.abc import Callable, Iterator, MutableSequence
from typing import BinaryIO, NamedTuple

import numpy as np

from gzjax.data.images.zip_archive import open_zip
from gzjax.data.labels.csv_rows import csv_rows
from gzjax.errors import READ_ERRORS, Problems, first_few, reason
from gzjax.files import open_regular

LABEL_FILES = ("training_solutions_rev1.csv", "training_solutions_rev1.zip")


class Fields(NamedTuple):
    """Which fields of a row are read.

    Attributes:
        key: the position of what says which galaxy it is.
        values: those of the numbers.
    """

    key: int
    values: list[int]


def read_label_table(
    path: pathlib.Path,
    choose_fields: Callable[[list[str]], Fields | None],
    parse_key: Callable[[str], object],
    bad_key: str,
    keys: MutableSequence,
    values: MutableSequence[float],
    problems: Problems,
) -> None:
    """Appends every good row to ``keys`` and ``values``; notes all others by line.

    Args:
        path: a ``.csv`` (UTF-8; a BOM and Windows line ends are accepted), or a
            ``.zip`` that holds one.
        choose_fields: given the header, [] if there is none; notes what is wrong with
            it. None: no row can be read.
        parse_key: given a field's text; None: it is no key.
        bad_key: the kind of problem of such rows.
        keys: one is added for each row.
        values: as many are added for each row as ``Fields`` has.
        problems: gets a line per kind; nothing is raised for bad contents.
    """
    try:
        with _open_csv(path) as stream:
            rows = csv_rows(stream)
            _, header = next(rows, (0, []))
            fields = choose_fields(header)
            if fields is None:
                return
            for line, row in rows:
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


def as_targets(values: np.ndarray) -> np.ndarray:
    """``values`` as float32."""
    with np.errstate(over="ignore"):  # of values already noted as outside [0, 1]
        return values.astype(np.float32)


@contextlib.contextmanager
def _open_csv(path: pathlib.Path) -> Iterator[BinaryIO]:
    if path.suffix == ".zip":
        with (
            open_zip(path) as archive,
            archive.open(_csv_entry(archive)) as stream,
        ):
            yield stream
    else:
        with open_regular(path) as stream:
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


def _parse(fields: list[str]) -> list[float] | None:
    if "_" in "".join(fields):  # which Python would read: 1_0 is 10
        return None
    try:
        return list(map(float, fields))
    except ValueError:
        return None
