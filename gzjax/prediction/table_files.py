"""Writes tables chunk by chunk: CSV, Parquet and ECSV, chosen by the file's suffix.

Each format is a context manager of ``(path, columns, comment)`` whose value appends a
chunk of rows.
"""

import contextlib
import csv
import io
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gzjax.errors import UserError
from gzjax.files import open_aside

_DECIMALS = 6  # of numbers written as text


class Column(NamedTuple):
    """A column's name, type (str, float or bool) and description of one line."""

    name: str
    type: type
    description: str


@contextlib.contextmanager
def _open_csv(path: Path, columns: Sequence[Column], comment: str):
    header = io.StringIO()
    csv.writer(header, lineterminator="\n").writerow([c.name for c in columns])
    yield from _write_text(path, header.getvalue(), csv.QUOTE_MINIMAL, nan=None)


@contextlib.contextmanager
def _open_ecsv(path: Path, columns: Sequence[Column], comment: str):
    with _library("astropy"):
        from astropy import table
    empty = table.Table(
        [
            table.Column(None, c.name, c.type, description=c.description)
            for c in columns
        ],
        meta={"comments": comment.splitlines()} if comment else {},
    )
    header = io.StringIO()
    empty.write(header, format="ascii.ecsv", delimiter=",")
    # Text in quotes: a name that begins with # would be read as a comment.
    yield from _write_text(path, header.getvalue(), csv.QUOTE_NONNUMERIC, nan=math.nan)


def _write_text(path: Path, header: str, quoting: int, nan: float | None):
    """Writes a NaN as ``nan``, or as nothing if that is None."""

    def fields(values: np.ndarray) -> list:
        if values.dtype.kind != "f":
            return values.tolist()
        numbers = np.round(np.float64(values), _DECIMALS).astype(object)
        numbers[np.isnan(values)] = nan
        return numbers.tolist()

    with open_aside(path) as file:
        file.write(header)
        rows = csv.writer(file, lineterminator="\n", quoting=quoting)
        yield lambda chunk: rows.writerows(
            zip(*map(fields, chunk.values()), strict=True)
        )


@contextlib.contextmanager
def _open_parquet(path: Path, columns: Sequence[Column], comment: str):
    with _library("pyarrow"):
        import pyarrow
        from pyarrow import parquet
    schema = pyarrow.schema(
        [
            pyarrow.field(
                c.name,
                pyarrow.from_numpy_dtype(c.type),
                metadata={"description": c.description},
            )
            for c in columns
        ],
        metadata={"comment": comment} if comment else None,
    )

    def write_rows(chunk) -> None:
        table = pyarrow.table(dict(chunk), schema=schema)
        writer.write_table(table, row_group_size=len(table))

    with open_aside(path, "wb") as file, parquet.ParquetWriter(file, schema) as writer:
        yield write_rows


@contextlib.contextmanager
def _library(name: str):
    try:
        yield
    except ImportError as error:
        raise UserError(
            f"this kind of table needs the library {name}, which is not installed\n"
            "What to do: pip install 'gzjax[tables]', or write a .csv file"
        ) from error


FORMATS = {".csv": _open_csv, ".parquet": _open_parquet, ".ecsv": _open_ecsv}


@contextlib.contextmanager
def open_table(
    path: Path, columns: Sequence[Column], comment: str = ""
) -> Iterator[Callable[[Mapping[str, np.ndarray]], None]]:
    """Opens a table for writing; it replaces the file of that name at the end.

    If the block raises, nothing is left behind, and an older file stays as it was.

    CSV has a header line of names, at most 6 decimals, and nothing where a number is
    NaN; it holds neither ``comment`` nor descriptions. Parquet has a row group per
    chunk; the comment is the schema's metadata ``comment``, and descriptions are the
    fields' metadata ``description``. ECSV has the decimals of CSV and ``nan``; astropy
    reads the comment's lines as ``meta["comments"]``, and empty text as masked.

    Args:
        path: ends in ``.csv``, ``.parquet`` or ``.ecsv``.
        columns: each of another name.
        comment: any number of lines.

    Yields:
        ``write(chunk)``, which appends n ≥ 1 rows: for every column, in order, its name
        and an array ``[n]`` of its type.

    Raises:
        UserError: on entering, for another suffix or a missing library.
        OSError: the file cannot be written, for example because the disk is full.
    """
    make = FORMATS.get(path.suffix.lower())
    if make is None:
        raise UserError(
            f"{path}: a table is written as {', '.join(FORMATS)}, by the suffix of its "
            f"name, not as '{path.suffix}'"
        )
    names = [column.name for column in columns]
    with make(path, columns, comment) as write_rows:

        def write(chunk: Mapping[str, np.ndarray]) -> None:
            if list(chunk) != names:
                raise ValueError(f"{path}: these are not its columns: {list(chunk)}")
            write_rows(chunk)

        yield write
