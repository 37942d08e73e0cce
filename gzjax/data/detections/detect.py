"""Finds the galaxies of a data set: a table, made once, by all cores, resumably."""

import contextlib
import functools
import hashlib
from collections import Counter
from collections.abc import Set
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
from gzjax.data.images.challenge_files import (
    IMAGE_FOLDERS,
    Images,
    find_images,
    read_jpeg,
)
from gzjax.data.images.decode_jpeg import decode
from gzjax.data.ledger import Ledger, alone_in, read_done
from gzjax.data.prepared.manifest import LEDGER, is_prepared
from gzjax.data.prepared.source import PreparedSource, open_prepared
from gzjax.errors import READ_ERRORS, UserError, first_few, reason
from gzjax.files import MAX_TABLE_BYTES, read_bytes, write_text
from gzjax.progress import say

_CHUNK = 16


def detect(
    data: str | Path,
    threshold: float = 2.0,
    *,
    pixel_scale: float = 1.0,
    output: str | Path | None = None,
    num_workers: int | None = None,
) -> Path:
    """Writes the table of detections in all the images of a challenge folder.

    The labels are not needed. Images that cannot be read are flagged. An interrupted
    run is resumed if threshold, pixel scale and images are the same; a complete table
    is left as it is. Returns the table's path.

    Args:
        data: the folder of images, or a prepared data set; GZJAX_DATA if "".
        threshold: > 0; the winner's two kinds are 2 and 10.
        pixel_scale: > 0, pixels of the original frame per stored pixel.
        output: the table; if None, in ``data``, named by its threshold.
        num_workers: processes; one per core if None, only this one if 0.

    Raises:
        UserError: sep is not installed, there are no images, the table cannot be
            written, another file has its name, or an interrupted run was another.
    """
    for name, value in {"threshold": threshold, "pixel_scale": pixel_scale}.items():
        if not 0 < value < np.inf:
            raise UserError(f"--{name} must be a positive number, not {value}")
    import_sep()
    folder = Path(data_folder(data))
    images, sizes, name = _open_images(folder, pixel_scale)
    if isinstance(images, PreparedSource):
        pixel_scale = images.pixel_scale
    digest = hashlib.sha256(repr(sorted(sizes.items())).encode()).hexdigest()
    made = {
        "threshold": float(threshold),
        "pixel_scale": float(pixel_scale),
        "frame_px": _frame_px(images, sorted(sizes), pixel_scale),
        "images": f"{name}:{digest[:16]}",  # of a folder and its zip, wherever they are
    }
    table = Path(output or folder / detections_name(threshold)).expanduser()
    work = functools.partial(_find_all, images, threshold, pixel_scale)
    try:
        if _is_complete(table, made, sizes.keys(), is_beside=table.parent == folder):
            say(f"{table}: complete for these images; nothing to do")
            return table
        partial = table.with_name(table.name + ".partial")
        if partial.is_file():
            raise UserError(f"{partial} is of an older gzjax: remove it")
        with alone_in(partial):
            path = partial / LEDGER  # in a folder, which can be locked
            ledger = _find_rest(work, sorted(sizes), path, made, num_workers)
            rows = [ledger.done[galaxy] for galaxy in sorted(sizes)]
            write_text(table, "\n".join([header(**made), COLUMNS, *rows, ""]))
            ledger.remove()
            partial.rmdir()
    except OSError as error:
        raise UserError(
            f"{error.filename or table}: cannot be read or written: {reason(error)}\n"
            "What to do: give --output=FILE in a folder of yours, and then train with "
            "--config.data.detections=FILE"
        ) from error
    say(f"{table}: {_summary(rows)}")
    return table


def _open_images(
    folder: Path, pixel_scale: float
) -> tuple[Images | PreparedSource, dict[int, int], str]:
    """Returns the images, their sizes by id, and the name of their folder."""
    if is_prepared(folder):
        source = open_prepared(folder, None, pixel_scale)
        sizes = dict(zip(source.ids.tolist(), source.sizes.tolist(), strict=True))
        return source, sizes, IMAGE_FOLDERS[0]
    problem = "no images" if folder.is_dir() else "there is no such folder"
    try:
        for images in find_images(folder):
            if sizes := images.sizes():
                return images, sizes, images.path.name.removesuffix(".zip")
    except READ_ERRORS as error:
        problem = f"the images cannot be read: {reason(error)}"
    raise UserError(
        f"{folder}: {problem}\nWhat to do: name the folder of the Galaxy Zoo "
        f"challenge, which holds {IMAGE_FOLDERS[0]} (or {IMAGE_FOLDERS[0]}.zip) with "
        "<GalaxyID>.jpg in it"
    )


def _decode(images: Images | PreparedSource, galaxy: int) -> np.ndarray | None:
    """Returns uint8 RGB ``[h w 3]``, or None if the image cannot be read."""
    try:
        if isinstance(images, PreparedSource):
            return images.decode(int(np.searchsorted(images.ids, galaxy)))
        data, problem = read_jpeg(images, galaxy)
        return None if problem else decode(data, galaxy)
    except (*READ_ERRORS, UserError, cv2.error):
        return None


def _frame_px(images, galaxies: list[int], pixel_scale: float) -> int:
    """Returns the original pixels that the first readable image spans, 0 if none is."""
    decoded = (_decode(images, galaxy) for galaxy in galaxies)
    image = next((image for image in decoded if image is not None), None)
    return 0 if image is None else frame_px(image, pixel_scale)


def _is_complete(table: Path, made: dict, galaxies: Set[int], is_beside: bool) -> bool:
    """Returns whether the table is complete; UserError if another file has its name."""
    try:
        text = read_bytes(table, MAX_TABLE_BYTES).decode("utf-8", "replace")
    except FileNotFoundError:
        return False
    (head, *lines), found = text.split("\n"), set()
    # Only beside these images a table of others is replaced: perhaps an image was.
    of_these = is_beside or f" images={made['images']};" in head
    if head and not (head.startswith(MADE_BY) and of_these):
        raise UserError(
            f"{table} is there, and is no table of detections in these images\n"
            "What to do: remove it, or name another file with --output=FILE"
        )
    with contextlib.suppress(ValueError):
        found = {parse_row(line)[0] for line in lines[1:-1]}
    if head == header(**made) and found == galaxies:
        return True
    say(f"{table}: incomplete, or of other parameters or images; making it again")
    return False


def _find_rest(work, galaxies: list[int], path: Path, made, num_workers) -> Ledger:
    """Returns the ledger at ``path``, made or resumed, with a row for each galaxy."""
    what_to_do = "What to do: remove it, or give the command that it was made by"
    done = read_done(path, made, what_to_do)
    if done := {galaxy: row for galaxy, row in done.items() if _is_row(galaxy, row)}:
        say(f"{path}: resuming after {len(done):,} images")
    ledger = Ledger(path, made, done)
    todo = [galaxy for galaxy in galaxies if galaxy not in done]
    chunks = [todo[i : i + _CHUNK] for i in range(0, len(todo), _CHUNK)]
    ledger.finish("detecting galaxies", len(galaxies), work, chunks, num_workers)
    return ledger


def _is_row(galaxy, row) -> bool:
    """Checks a result of a ledger, which may be damaged."""
    with contextlib.suppress(ValueError, AttributeError):
        return parse_row(row)[0] == galaxy
    return False


def _find_all(images, threshold, pixel_scale, galaxies: list[int]) -> dict[int, str]:
    """Returns rows of the table by id."""
    rows = {}
    for galaxy in galaxies:
        image, found = _decode(images, galaxy), Detection(0.0, 0.0, np.nan, UNREADABLE)
        if image is not None:
            found = detect_galaxy(image, threshold, pixel_scale)
        rows[galaxy] = format_row(galaxy, found)
    return rows


def _summary(rows: list[str]) -> str:
    """Returns how many galaxies have each flag, and names the unreadable."""
    flags = {galaxy: found.flag for galaxy, found in map(parse_row, rows)}
    of_flag = Counter(flags.values())
    counts = [f"{of_flag[flag]:,} {flag}" for flag in FLAGS if of_flag[flag]]
    unreadable = [galaxy for galaxy, flag in flags.items() if flag == UNREADABLE]
    ids = f" (ids {first_few(unreadable)})" if unreadable else ""
    return f"{len(rows):,} galaxies: {', '.join(counts)}{ids}"
