"""The table of detected galaxies, and the placement that it gives to each of them.

Its lengths are pixels of the original 424 px frame, so that one table serves the
original images and smaller copies alike.
"""

import math
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gzjax.data.geometry import FRAME_PX, place
from gzjax.errors import Problems, UserError, first_few, reason
from gzjax.files import MAX_TABLE_BYTES, read_text
from gzjax.progress import say

OK, NO_DETECTION, NO_RADIUS = "ok", "no detection", "no radius"
UNREADABLE = "unreadable"
FLAGS = (OK, NO_DETECTION, NO_RADIUS, UNREADABLE)
COLUMNS = "GalaxyID,offset_x_px,offset_y_px,radius_px,flag"
_NUMBER = r"(\d+\.?\d*(?:e[+-]?\d+)?)"
_DEFAULT_NAME = rf"detections-{_NUMBER}\.csv"
MADE_BY = "# gzjax detect:"  # what every table begins with

# The winner's: a galaxy of this radius in px is shown as it is, others by at most
# 1.5 times smaller or larger.
_TYPICAL_RADIUS_PX, _MAX_SCALE = 160.0, 1.5


class Detection(NamedTuple):
    """A galaxy in its image; lengths in px of the original frame."""

    offset_x_px: float  # to the right of the image's centre
    offset_y_px: float  # below the image's centre
    radius_px: float  # Petrosian, along the major axis, > 0; NaN if it was not found
    flag: str  # one of FLAGS


def detections_name(threshold: float) -> str:
    """Returns the table's file name: ``detections-2.csv`` for a threshold of 2."""
    return f"detections-{threshold:g}.csv"


def header(threshold: float, pixel_scale: float, frame_px: int, images: str) -> str:
    """Returns the table's first line; ``images`` is their folder's name and digest."""
    return (
        f"{MADE_BY} threshold={threshold!r} pixel_scale={pixel_scale!r} "
        f"frame={frame_px} images={images}; lengths in px of the original frame"
    )


def format_row(galaxy: int, found: Detection) -> str:
    """Returns one line of the table."""
    return f"{galaxy}," + ",".join(f"{v:.3f}" for v in found[:3]) + f",{found.flag}"


def parse_row(line: str) -> tuple[int, Detection]:
    """Reads what :func:`format_row` wrote; raises ValueError for anything else."""
    galaxy, x, y, radius, flag = line.split(",")
    found = Detection(float(x), float(y), float(radius), flag)
    has_radius = math.isfinite(found.radius_px) and found.radius_px > 0
    is_placed = all(map(math.isfinite, found[:2]))
    is_sound = flag in FLAGS and is_placed and has_radius == (flag == OK)
    if not galaxy.isdecimal() or not is_sound:
        raise ValueError(line)
    return int(galaxy), found


def scale_of(radius_px: np.ndarray | float) -> np.ndarray:
    """Returns how much to enlarge galaxies: as published, 160 / radius.

    ``radius_px [...]`` is > 0, or NaN, which gives 1. The result, float64 ``[...]``, is
    in [1 / 1.5, 1.5].
    """
    scale = _TYPICAL_RADIUS_PX / np.asarray(radius_px, np.float64)
    return np.clip(np.nan_to_num(scale, nan=1.0), 1 / _MAX_SCALE, _MAX_SCALE)


def placement_of(lengths: Sequence | np.ndarray) -> np.ndarray:
    """Returns float64 ``[... 2 3]``: the placement that centres and rescales galaxies.

    ``lengths [... 3]`` are the first three fields of their detections.
    """
    lengths = np.asarray(lengths, np.float64)
    return place(zoom=scale_of(lengths[..., 2]), shift_px=lengths[..., :2])


def read_placements(
    path: str | Path,
    ids: np.ndarray,
    data_dir: str = "DIR",
    pixel_scale: float = 1.0,
    frame_px: int = FRAME_PX,
) -> tuple[np.ndarray, float]:
    """Reads the placement that centres and rescales each galaxy; to be applied last.

    As published, ``in = (p - centre) / scale + (x, y)``. A galaxy that was not
    detected stays as it is; one without a radius is centred only.

    Args:
        path: the table.
        ids: int [n], the galaxies wanted; the table may hold others.
        data_dir: the folder of the images, for the command in messages.
        pixel_scale: original px per px of the images, for the command too.
        frame_px: original pixels that the images span. If the table's span others, one
            of the two pixel scales is wrong, and a note says so.

    Returns:
        float64 ``[n 2 3]``, for :func:`gzjax.data.geometry.compose`; and the threshold
        of the detections.

    Raises:
        UserError: the table is missing or damaged, or lacks galaxies.
    """
    path = Path(path)
    command = _command(path, str(data_dir), pixel_scale)
    threshold, tables_px, rows = _read_table(
        path, f"What to do: remove it and make it again:\n  {command}"
    )
    named = re.fullmatch(_DEFAULT_NAME, path.name)
    if named and float(named[1]) != threshold:
        raise UserError(
            f"{path}: made with --threshold={threshold:g}, unlike its name says\n"
            f"What to do: remove or rename it, and then\n  {command}"
        )
    if tables_px != frame_px:
        say(
            f"note: the galaxies of {path} lie in frames of {tables_px} px, these "
            f"images span {frame_px}: was it made with their pixel_scale, "
            f"{pixel_scale:g}?"
        )
    wanted = np.asarray(ids).tolist()
    if missing := [i for i in wanted if i not in rows]:
        raise UserError(
            f"{path}: no row for {len(missing):,} of {len(wanted):,} galaxies "
            f"({first_few(missing)})\nWhat to do: make one of these images, and name "
            "it by config.data.detections (evaluate: --detections):\n"
            f"  {command}"
        )
    return placement_of([rows[i][:3] for i in wanted]), threshold


def _read_table(path: Path, what_to_do: str) -> tuple[float, int, dict[int, Detection]]:
    """Returns the threshold, the frame in px, and the rows by id."""
    try:
        lines = read_text(path, MAX_TABLE_BYTES).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"{path}: the detections cannot be read: {reason(error)}\n{what_to_do}"
        ) from error
    problems, rows = Problems(), {}
    how = rf"{MADE_BY} threshold={_NUMBER} .* frame=(\d{{1,9}}) "
    made = re.match(how, lines[0] if lines else "")
    if len(lines) < 2 or not made or lines[1] != COLUMNS:
        problems.add_failure(f"it does not begin with '{MADE_BY} ...' and {COLUMNS}")
        lines = []
    for number, line in enumerate(lines[2:], start=3):
        try:
            galaxy, found = parse_row(line)
        except ValueError:
            problems.add("rows that make no sense", "line", [number])
            continue
        if galaxy in rows:
            problems.add("ids given twice", "id", [galaxy])
        rows[galaxy] = found
    problems.raise_if_any(f"{path}: not a sound table of detections", what_to_do)
    return float(made[1]), int(made[2]), rows


def find_detections(name: str, folder: str | Path, pixel_scale: float = 1.0) -> Path:
    """Returns the path of the table that ``config.data.detections`` names.

    ``name`` is a file in ``folder``, the folder of the images; or a path.

    Raises:
        UserError: the table is missing: says the command that makes it.
    """
    path = Path(name).expanduser()
    if path.name == name:
        path = Path(folder, name)
    if path.is_file():
        return path
    if not Path(folder).is_dir():
        raise UserError(f"{folder}: there is no such folder of images")
    raise UserError(
        f"{path}: there is no such table of detections\n"
        "What to do: make it, once (elsewhere by --output=FILE, if you also give "
        "--config.data.detections=FILE):\n"
        f"  {_command(path, str(folder), pixel_scale)}"
    )


def _command(path: Path, data_dir: str, pixel_scale: float) -> str:
    """Returns the command that makes the table at ``path``."""
    match = re.fullmatch(_DEFAULT_NAME, path.name)
    # A table that is there, but elsewhere, is of other images: it is not replaced.
    is_default = path.is_file() or (match and path.parent == Path(data_dir))
    parts = [
        f"python -m gzjax.main detect --data={shlex.quote(data_dir)}",
        f"--threshold={match[1] if match else 2}",
        f"--pixel_scale={pixel_scale:.12g}" if pixel_scale != 1 else "",
        "" if is_default else f"--output={shlex.quote(str(path))}",
    ]
    return " ".join(part for part in parts if part)
