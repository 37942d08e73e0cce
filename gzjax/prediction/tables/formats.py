"""The kinds of table files: how each begins, and how rows are added to it.

Each is a context manager of ``(path, columns, comment)`` whose value appends chunks;
:mod:`gzjax.prediction.tables.files` checks what they are given, and when a file counts.
"""

import contextlib
import csv
import io
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gzjax.errors import UserError

TEXT, NUMBER = "string", "float64"
_DTYPES = {TEXT: np.str_, NUMBER: np.float64}
_DECIMALS = 6  # of numbers written as text


class Column(NamedTuple):
    """A column's name, type (``TEXT`` or ``NUMBER``) and description of one line."""

    name: str
    type: str
    description: str


class _Text:
    """Rows of text; a NaN is written as ``nan``, or as nothing if that is None."""

    def __init__(self, file, columns, quoting: int, nan: float | None):
        self._rows = csv.writer(file, lineterminator="\n", quoting=quoting)
        self._columns, self._nan = columns, nan

    def write(self, chunk):
        fields = (
            chunk[c.name].tolist() if c.type == TEXT else self._numbers(chunk[c.name])
            for c in self._columns
        )
        self._rows.writerows(zip(*fields, strict=True))

    def _numbers(self, values: np.ndarray) -> list:
        numbers = np.round(np.asarray(values, np.float64), _DECIMALS).astype(object)
        numbers[np.isnan(values)] = self._nan
        return numbers.tolist()


class _Parquet:
    """A row group per chunk."""

    def __init__(self, pyarrow, schema, writer):
        self._pyarrow, self._schema, self._writer = pyarrow, schema, writer

    def write(self, chunk):
        arrays = [
            self._pyarrow.array(values, kind)
            for values, kind in zip(chunk.values(), self._schema.types, strict=True)
        ]
        table = self._pyarrow.table(arrays, schema=self._schema)
        self._writer.write_table(table, row_group_size=len(table))


@contextlib.contextmanager
def _open_csv(path: Path, columns, comment: str):
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerow([c.name for c in columns])
        yield _Text(file, columns, csv.QUOTE_MINIMAL, nan=None)


@contextlib.contextmanager
def _open_ecsv(path: Path, columns, comment: str):
    with _library("astropy"):
        from astropy import table
    empty = table.Table(
        [
            table.Column(
                np.zeros(0, _DTYPES[c.type]), c.name, description=c.description
            )
            for c in columns
        ],
        meta={"comments": comment.splitlines()} if comment else {},
    )
    header = io.StringIO()
    empty.write(header, format="ascii.ecsv", delimiter=",")
    with open(path, "w", encoding="utf-8", newline="") as file:
        file.write(header.getvalue())
        # Text in quotes: a name that begins with # would be read as a comment.
        yield _Text(file, columns, csv.QUOTE_NONNUMERIC, nan=np.nan)


@contextlib.contextmanager
def _open_parquet(path: Path, columns, comment: str):
    with _library("pyarrow"):
        import pyarrow
        from pyarrow import parquet
    schema = pyarrow.schema(
        [
            pyarrow.field(
                c.name,
                pyarrow.string() if c.type == TEXT else pyarrow.float64(),
                metadata={"description": c.description},
            )
            for c in columns
        ],
        metadata={"comment": comment} if comment else None,
    )
    with parquet.ParquetWriter(path, schema) as writer:
        yield _Parquet(pyarrow, schema, writer)


FORMATS = {".csv": _open_csv, ".parquet": _open_parquet, ".ecsv": _open_ecsv}


@contextlib.contextmanager
def _library(name: str):
    try:
        yield
    except ImportError as error:
        raise UserError(
            f"this kind of table needs the library {name}, which is not installed\n"
            "What to do: pip install 'gzjax[tables]', or write a .csv file"
        ) from error
