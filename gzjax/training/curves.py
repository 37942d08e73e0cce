"""Reads ``metrics.jsonl``: what a run wrote while it trained."""

import json
import math
from pathlib import Path

from gzjax.errors import READ_ERRORS, UserError, reason
from gzjax.files import MAX_TABLE_BYTES, read_bytes

Curve = list[tuple[int, float]]  # (step, value), steps ascending


def read_rows(path: Path) -> list[dict]:
    """Reads all rows, ``{"step": ..., "train/loss": ...}``; ``path`` may be missing.

    A line that is not such a row, for example one that a kill cut short, is ignored.

    Raises:
        UserError: the file cannot be read.
    """
    try:
        lines = read_bytes(path, MAX_TABLE_BYTES).splitlines()
    except FileNotFoundError:
        return []
    except READ_ERRORS as error:
        raise UserError(f"{path} cannot be read: {reason(error)}") from error
    return [row for row in map(_parse, lines) if row]


def read_curves(path: Path) -> dict[str, Curve]:
    """Returns the curve of each number in :func:`read_rows`.

    A step that comes again, or a smaller one, was written by a resumed training: it
    replaces what came after.
    """
    curves: dict[str, Curve] = {}
    for row in read_rows(path):
        step = row.pop("step")
        for name, value in row.items():
            curve = curves.setdefault(name, [])
            while curve and curve[-1][0] >= step:
                curve.pop()
            curve.append((step, value))
    return curves


def _parse(line: bytes) -> dict | None:
    try:
        row = json.loads(line)
        is_row = type(row["step"]) is int and all(map(math.isfinite, row.values()))
    except (AttributeError, TypeError, *READ_ERRORS):
        return None
    return row if is_row else None
