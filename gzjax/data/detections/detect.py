"""Finds the galaxies of a data set: a table, made once, by all cores, resumably."""

import contextlib
import functools
import hashlib
from collections import Counter
from pathlib import Path

import cv2
import numpy as np

from gzjax.data import data_folder
from gzjax.data.detections.find_galaxy import detect_galaxy, import_sep
from gzjax.data.detections.table import (
    COLUMNS,
    FLAGS,
    MADE_BY,
    UNREADABLE,
    Detection,
    detections_name,
    format_row,
    header,
    parse_row,
)
from gzjax.data.geometry import frame_px
from gzjax.data.images.challenge_files import IMAGE_FOLDERS, Images, find_images
from gzjax.data.images.decode_jpeg import decode
from gzjax.data.images.jpeg_check import jpeg_problem
from gzjax.data.prepared.manifest import is_prepared
from gzjax.data.prepared.source import PreparedImages
from gzjax.data.workers import map_in_processes
from gzjax.errors import READ_ERRORS, UserError, first_few, reason
from gzjax.files import MAX_TABLE_BYTES, read_bytes, write_text
from gzjax.progress import Progress, say

_CHUNK = 16


def detect(
    data: str | Path,
    threshold: float = 2.0,
    *,
    pixel_scale: float = 1.0,
    output: str | Path | None = None,
    num_workers: int | None = None,
) -> Path:
    """Writes the table of detections of all the images of a challenge folder.

    The labels are not needed. Images that cannot be read are flagged. An interrupted
    run goes on where it stopped if threshold, pixel scale and images are the same; a
    complete table is left as it is.

    Args:
        data: as for :func:`gzjax.data.sources.challenge.open_challenge`; "": that of
            GZJAX_DATA.
        threshold: > 0; the winner's two kinds are 2 and 10.
        pixel_scale: > 0, pixels of the original frame per stored pixel.
        output: the table; None: in ``data``, by its threshold.
        num_workers: processes; None: one per core; 0: none but this.

    Returns:
        The table's path.

    Raises:
        UserError: sep is not installed, there are no images, the table cannot be
            written, or a file that is no such table of these images has its name.
    """
    for name, value in {"threshold": threshold, "pixel_scale": pixel_scale}.items():
        if not (np.isfinite(value) and value > 0):
            raise UserError(f"--{name} must be a positive number, not {value}")
    import_sep()
    folder = Path(data_folder(data))
    images, sizes, pixel_scale = _open_images(folder, pixel_scale)
    table = Path(output or folder / detections_name(threshold)).expanduser()
    identity, frame = _identity(images, sizes), _frame(images, sizes, pixel_scale)
    first_line = header(float(threshold), float(pixel_scale), frame, identity)
    head, rows = _rows_of(table)
    # Beside the images it is theirs, if perhaps of before one was replaced.
    of_these = table.parent == folder or f" images={identity};" in head
    if head and not (head.startswith(MADE_BY) and of_these):
        raise UserError(
            f"{table} is there, and is no table of detections in these images\n"
            "What to do: remove it, or name another file with --output=FILE"
        )
    if head == first_line and rows.keys() == sizes.keys():
        say(f"{table}: complete for these images; nothing to do")
        return table
    if head and head != first_line:
        say(f"{table}: made with other parameters or images; making it again")
        rows = {}
    partial = table.with_name(table.name + ".partial")
    rows |= _begin(partial, first_line)
    work = functools.partial(_find_all, images, threshold, pixel_scale)
    _find_rest(work, sorted(sizes), rows, partial, num_workers)
    in_order = [rows[galaxy] for galaxy in sorted(rows)]
    write_text(table, "\n".join([first_line, COLUMNS, *in_order, ""]))
    partial.unlink()
    say(f"{table}: {_summary(in_order)}")
    return table


def _find_rest(
    work, galaxies: list[int], rows: dict[int, str], partial: Path, num_workers
) -> None:
    """Adds to ``rows``, and appends to ``partial``, what they lack of ``galaxies``."""
    todo = [galaxy for galaxy in galaxies if galaxy not in rows]
    chunks = [todo[i : i + _CHUNK] for i in range(0, len(todo), _CHUNK)]
    with (
        open(partial, "a", encoding="utf-8") as file,
        contextlib.closing(map_in_processes(work, chunks, num_workers)) as results,
        Progress("detecting galaxies", len(galaxies), len(rows)) as progress,
    ):
        for found in results:
            rows |= found
            file.writelines(f"{row}\n" for row in found.values())
            file.flush()
            progress.update(len(rows), "images")


def _open_images(
    folder: Path, pixel_scale: float
) -> tuple[Images | PreparedImages, dict[int, int], float]:
    """The images, their sizes, and their pixel scale when they are decoded.

    Raises:
        UserError: there are none.
    """
    if is_prepared(folder):
        images = PreparedImages(folder, pixel_scale)
        return images, images.sizes(), images.source.pixel_scale
    problem = "no images" if folder.is_dir() else "there is no such folder"
    try:
        for images in find_images(folder):
            if sizes := images.sizes():
                return images, sizes, pixel_scale
    except READ_ERRORS as error:
        problem = f"the images cannot be read: {reason(error)}"
    raise UserError(
        f"{folder}: {problem}\nWhat to do: name the folder of the Galaxy Zoo "
        f"challenge, which holds {IMAGE_FOLDERS[0]} (or {IMAGE_FOLDERS[0]}.zip) with "
        "<GalaxyID>.jpg in it"
    )


def _identity(images: Images | PreparedImages, sizes: dict[int, int]) -> str:
    """Name and digest; the same for a folder, its zip, and wherever they are moved."""
    digest = hashlib.sha256(repr(sorted(sizes.items())).encode()).hexdigest()
    return f"{images.path.name.removesuffix('.zip')}:{digest[:16]}"


def _frame(
    images: Images | PreparedImages, sizes: dict[int, int], pixel_scale: float
) -> int:
    """Original pixels that the first image that can be read spans; 0: none can."""
    decoded = (_decode(images, galaxy) for galaxy in sorted(sizes))
    image = next((image for image in decoded if image is not None), None)
    return 0 if image is None else frame_px(image, pixel_scale)


def _rows_of(path: Path) -> tuple[str, dict[int, str]]:
    """First line and sound rows of a table, be it torn; nothing if it is not there."""
    try:
        text = read_bytes(path, MAX_TABLE_BYTES).decode("utf-8", "replace")
    except FileNotFoundError:
        return "", {}
    except OSError as error:
        raise _unusable(path, error) from error
    first_line, *lines = text.split("\n")
    rows = {}
    for line in lines[:-1]:  # what follows the last line's end is a torn line
        with contextlib.suppress(ValueError):
            rows[parse_row(line)[0]] = line
    return first_line, rows


def _begin(partial: Path, first_line: str) -> dict[int, str]:
    """Makes ``partial`` ready for more rows; returns those that it has, by id."""
    head, rows = _rows_of(partial)
    if head and head != first_line:
        say(f"{partial}: made with other parameters or images; starting over")
        rows = {}
    elif rows:
        say(f"{partial}: going on after {len(rows):,} images")
    try:
        write_text(partial, "\n".join([first_line, *rows.values(), ""]))
    except OSError as error:
        raise _unusable(partial, error) from error
    return rows


def _unusable(path: Path, error: OSError) -> UserError:
    return UserError(
        f"{path}: cannot be read or written: {reason(error)}\n"
        "What to do: give --output=FILE in a folder of yours, and then train with "
        "--config.data.detections=FILE"
    )


def _find_all(
    images: Images | PreparedImages,
    threshold: float,
    pixel_scale: float,
    galaxies: list[int],
) -> dict[int, str]:
    """Rows of the table by id."""
    rows = {}
    for galaxy in galaxies:
        image = _decode(images, galaxy)
        if image is None:
            found = Detection(0.0, 0.0, np.nan, UNREADABLE)
        else:
            found = detect_galaxy(image, threshold, pixel_scale)
        rows[galaxy] = format_row(galaxy, found)
    return rows


def _decode(images: Images | PreparedImages, galaxy: int) -> np.ndarray | None:
    """uint8 RGB ``[h w 3]``, or None."""
    try:
        if isinstance(images, PreparedImages):
            return images.decode(galaxy)
        data = images.read(galaxy)
        return None if jpeg_problem(data) else decode(data, galaxy)
    except (*READ_ERRORS, UserError, cv2.error):
        return None


def _summary(rows: list[str]) -> str:
    """How many galaxies, and how many of each flag; names the unreadable."""
    flags = {galaxy: found.flag for galaxy, found in map(parse_row, rows)}
    of_flag = Counter(flags.values())
    counts = [f"{of_flag[flag]:,} {flag}" for flag in FLAGS if of_flag[flag]]
    unreadable = [galaxy for galaxy, flag in flags.items() if flag == UNREADABLE]
    ids = f" (ids {first_few(unreadable)})" if unreadable else ""
    return f"{len(rows):,} galaxies: {', '.join(counts)}{ids}"
