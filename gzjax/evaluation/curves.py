"""Reads the learning curves of a run."""

import json
from pathlib import Path

from gzjax.errors import READ_ERRORS, UserError, reason
from gzjax.files import MAX_TABLE_BYTES, read_text

Curve = list[tuple[int, float]]  # (step, value), steps ascending


def read_curves(path: Path) -> dict[str, Curve]:
    """Reads what a run wrote while it trained; ``path`` may be missing.

    A step that comes again, or a smaller one, was written by a resumed training: it
    replaces what came after. A line that a kill cut short is ignored.

    Raises:
        UserError: the file cannot be read.
    """
    try:
        lines = read_text(path, MAX_TABLE_BYTES).splitlines()
    except FileNotFoundError:
        return {}
    except READ_ERRORS as error:
        raise UserError(f"{path} cannot be read: {reason(error)}") from error
    curves: dict[str, Curve] = {}
    for line in lines:
        try:
            scalars = json.loads(line)
            step = scalars.pop("step")
        except (AttributeError, LookupError, TypeError, ValueError):
            continue
        for name, value in scalars.items():
            curve = curves.setdefault(name, [])
            while curve and curve[-1][0] >= step:
                curve.pop()
            curve.append((step, value))
    return curves
