"""The formats of table files: how each begins, and how rows are added to it.

Each is a context manager of ``(path, columns, comment)`` whose value appends a chunk of
rows. :mod:`gzjax.prediction.tables.files` checks what they are given.
"""

import contextlib
import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gzjax.errors import UserError
from gzjax.files import open_aside

_DECIMALS = 6  # of numbers written as text


class Column(NamedTuple):
    """A column's name, type (str or float) and description of one line."""

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
