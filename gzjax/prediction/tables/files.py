"""Writes tables chunk by chunk: CSV, Parquet and ECSV, chosen by the file's suffix."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from gzjax.errors import UserError
from gzjax.prediction.tables.formats import FORMATS, Column


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
        columns: of the table, each of another name.
        comment: any number of lines.

    Yields:
        ``write(chunk)``, which appends n ≥ 1 rows: for every column, in order, its name
        and an array ``[n]`` of str or float.

    Raises:
        UserError: on entering, for another suffix, a folder, or a missing library.
        OSError: the file cannot be written, for example because the disk is full.
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
    names = [column.name for column in columns]
    with make(path, columns, comment) as write_rows:

        def write(chunk: Mapping[str, np.ndarray]) -> None:
            if list(chunk) != names:
                raise ValueError(f"{path}: these are not its columns: {list(chunk)}")
            write_rows(chunk)

        yield write
