"""The rows of a CSV as a stream; no line and no row of it can fill the memory."""

import contextlib
import csv
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from gzjax.data.images.store import is_stray, open_zip
from gzjax.errors import first_few
from gzjax.files import open_regular

LABEL_FILES = ("training_solutions_rev1.csv", "training_solutions_rev1.zip")
_MAX_LINE_BYTES = 1 << 16  # a file without line ends must not end up in memory
_MAX_ROW_BYTES = 1 << 20  # nor must a row that goes on, within quotes, line after line


def csv_rows(stream: BinaryIO, whole: bool = False) -> Iterator[tuple[int, list[str]]]:
    """Yields the number of every row's (last) line, and its fields, but no blank rows.

    Args:
        stream: UTF-8; a BOM and Windows line ends are accepted.
        whole: whether the last line must have an end, as it lacks where a file was cut
            short.

    Raises:
        csv.Error: names a line that is not text, too long, or not CSV.
    """
    num_bytes = 0  # of the row so far

    def lines() -> Iterator[str]:
        nonlocal num_bytes
        number, line = 0, b"\n"
        while following := stream.readline(_MAX_LINE_BYTES):
            number, line = number + 1, following
            num_bytes += len(line)
            if len(line) == _MAX_LINE_BYTES or num_bytes > _MAX_ROW_BYTES:
                raise csv.Error(f"line {number} is too long to be one of a table")
            try:
                yield line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise csv.Error(f"line {number} is not UTF-8 text") from error
        if whole and not line.endswith(b"\n"):
            raise csv.Error(f"line {number} has no end (truncated?)")

    reader = csv.reader(lines())
    for row in reader:
        num_bytes = 0
        if row:
            yield reader.line_num, row


@contextlib.contextmanager
def open_csv(path: Path) -> Iterator[BinaryIO]:
    """Opens a ``.csv``, or the one in a ``.zip``; raises some of READ_ERRORS."""
    if path.suffix != ".zip":
        with open_regular(path) as stream:
            yield stream
        return
    with open_zip(path) as archive:
        names = [name for name in archive.namelist() if not is_stray(name)]
        tables = [name for name in names if name.lower().endswith(".csv")]
        named = [name for name in tables if name.split("/")[-1] == LABEL_FILES[0]]
        if len(named or tables) != 1:
            raise zipfile.BadZipFile(
                f"it should hold one {LABEL_FILES[0]}, but holds "
                f"{first_few(names) or '-'}"
            )
        with archive.open((named or tables)[0]) as stream:
            yield stream
