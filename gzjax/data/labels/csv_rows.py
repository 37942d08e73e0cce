"""The rows of a CSV as a stream; no line and no row of it can fill the memory."""

import csv
from collections.abc import Iterator
from typing import BinaryIO

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
    lines = _Lines(stream, whole)
    reader = csv.reader(lines)
    for row in reader:
        lines.num_bytes = 0
        if row:
            yield reader.line_num, row


class _Lines:
    """Decoded lines of bounded length; ``num_bytes`` are those of the row so far."""

    def __init__(self, stream: BinaryIO, whole: bool):
        self._stream, self._whole = stream, whole
        self._number = self.num_bytes = 0
        self._ended = True

    def __iter__(self):
        return self

    def __next__(self) -> str:
        line = self._stream.readline(_MAX_LINE_BYTES)
        if not line:
            if self._whole and not self._ended:
                raise csv.Error(f"line {self._number} has no end (truncated?)")
            raise StopIteration
        self._number, self._ended = self._number + 1, line.endswith(b"\n")
        self.num_bytes += len(line)
        if len(line) == _MAX_LINE_BYTES or self.num_bytes > _MAX_ROW_BYTES:
            raise csv.Error(f"line {self._number} is too long to be one of a table")
        try:
            return line.decode("utf-8-sig" if self._number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise csv.Error(f"line {self._number} is not UTF-8 text") from error
