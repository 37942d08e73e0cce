"""Writes tables chunk by chunk: CSV, Parquet and ECSV, chosen by the file's suffix.

A table is written aside and renamed when it is complete, so that the file of its name
is always a whole one.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from gzjax.errors import UserError, reason
from gzjax.files import aside_of
from gzjax.prediction.tables.formats import FORMATS, Column


class TableWriter(Protocol):
    """An open table."""

    def write(self, chunk: Mapping[str, np.ndarray]) -> None:
        """Appends rows.

        Args:
            chunk: an array ``[n]`` for every column, str or float; n may differ between
                chunks and be 0.

        Raises:
            ValueError: the columns are not those of the table, or differ in length.
            UserError: the file cannot be written, for example because the disk is full.
        """


@contextlib.contextmanager
def open_table(
    path: Path, columns: Sequence[Column], comment: str = ""
) -> Iterator[TableWriter]:
    """Opens a table for writing; it replaces the file of that name at the end.

    If the block raises, nothing is left behind, and an older file stays as it was.

    CSV has a header line of names, at most 6 decimals, and nothing where a number is
    NaN; it holds neither ``comment`` nor descriptions. Parquet has a row group per
    chunk; the comment is the schema's metadata ``comment``, and descriptions are the
    fields' metadata ``description``. ECSV has the decimals of CSV and ``nan``; astropy
    reads the comment's lines as ``meta["comments"]``, and empty text as masked.

    Args:
        path: ends in ``.csv``, ``.parquet`` or ``.ecsv``.
        columns: one or more; their names differ.
        comment: what the table is and how it was made; any number of lines.

    Raises:
        UserError: on entering, already, for another suffix, a library that is not
            installed, a folder that is not there; later if the disk is full.
    """
    path = Path(path).expanduser()
    make = FORMATS.get(path.suffix.lower())
    if make is None:
        raise UserError(
            f"{path}: a table is written as {', '.join(FORMATS)}, by the suffix of its "
            f"name, not as '{path.suffix}'"
        )
    if path.is_dir():
        raise UserError(f"{path} is a folder: name a file that can be written")
    aside = aside_of(path)
    stack = contextlib.ExitStack()
    try:
        with _naming(path):
            writer = stack.enter_context(make(aside, tuple(columns), comment))
        yield _Checked(writer, path, columns)
        with _naming(path):
            stack.close()
            os.replace(aside, path)
    finally:
        # What fails here has failed, and been told, above.
        with contextlib.suppress(OSError):
            stack.close()
        with contextlib.suppress(OSError):
            aside.unlink()


class _Checked:
    """What all kinds have in common: checks a chunk, and says which file failed."""

    def __init__(self, writer: TableWriter, path: Path, columns: Sequence[Column]):
        self._writer, self._path = writer, path
        self._names = [column.name for column in columns]

    def write(self, chunk: Mapping[str, np.ndarray]) -> None:
        if list(chunk) != self._names:
            raise ValueError(f"{self._path}: these are not its columns: {list(chunk)}")
        lengths = {len(values) for values in chunk.values()}
        if len(lengths) > 1:
            raise ValueError(f"{self._path}: columns of different lengths: {lengths}")
        if lengths != {0}:
            with _naming(self._path):
                self._writer.write(chunk)


@contextlib.contextmanager
def _naming(path: Path):
    try:
        yield
    except OSError as error:
        raise UserError(f"{path} cannot be written: {reason(error)}") from error
