"""Reads the learning curves of a run."""

import json
from pathlib import Path

from gzjax.files import MAX_TABLE_BYTES, read_text

Curve = list[tuple[int, float]]  # (step, value), steps ascending


def read_curves(path: Path) -> dict[str, Curve]:
    """Reads what a run wrote while it trained; ``path`` may be missing.

    A step that comes again, or a smaller one, was written by a resumed training: it
    replaces what came after. A line that a kill cut short is ignored.
    """
    curves: dict[str, Curve] = {}
    lines = read_text(path, MAX_TABLE_BYTES).splitlines() if path.is_file() else []
    for line in lines:
        try:
            scalars = json.loads(line)
            step = scalars.pop("step")
        except (json.JSONDecodeError, KeyError):
            continue
        for name, value in scalars.items():
            curve = curves.setdefault(name, [])
            while curve and curve[-1][0] >= step:
                curve.pop()
            curve.append((step, value))
    return curves
