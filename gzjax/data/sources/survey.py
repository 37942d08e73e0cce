"""Your own survey as a source: a table of vote fractions, and images of any kind."""

import concurrent.futures
import functools
import hashlib
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from gzjax.data.images.decode_jpeg import BadImageError
from gzjax.data.images.find_images import Cutouts, find_cutouts, without_suffix
from gzjax.data.images.read_image import read_cutout
from gzjax.data.images.stretch import DEFAULT_STRETCH, parse_stretch
from gzjax.data.labels.name_match import AMBIGUOUS, MISSING, NameMatch
from gzjax.data.labels.survey import (
    SURVEY_TOLERANCE,
    SurveyLabels,
    read_survey_labels,
)
from gzjax.data.labels.table import as_targets
from gzjax.data.sources.unlabelled import UnlabelledSource
from gzjax.errors import Problems, UserError
from gzjax.trees import Tree

_MAX_ID_DIGITS = 18  # 10**18 fits into int64
_NUM_THREADS = 8
_CHUNK = 64
_WHAT_TO_DO = (
    "What to do: correct these rows and images, or take the rows out. Values are "
    "fractions of all volunteers: the answers to a question that everybody is asked "
    "add up to 1, those to another one to the answers that lead to it, both to within "
    f"{SURVEY_TOLERANCE:g}. Shares of those who were asked are to be multiplied by the "
    "answers that lead to the question."
)


class SurveySource:
    """Galaxies with votes and images, as a :class:`gzjax.data.sources.base.Source`.

    Pickles without an open file; made by :func:`open_survey`.

    Attributes:
        names: n, as the table has them, in the order of ``ids``.
        ids: int64 [n], ascending, unique: the names themselves (without an image's
            suffix) if all of them are whole numbers below 10^18; else their positions
            in the order of the names' characters.
        targets: float32 [n a], absolute vote fractions in [0, 1].
        pixel_scale: pixels of the original 424 px frame per pixel of what
            :meth:`decode` returns; None: the longer side of each image spans the frame.
        fingerprint: hexadecimal SHA-256 of names, votes, pixel scale, and the sizes of
            the images in bytes.
        num_unlabelled: how many images have no row; they are not part of the source.
    """

    def __init__(
        self,
        names: Sequence[str],
        targets: np.ndarray,
        images: Cutouts,
        pixel_scale: float,
        num_unlabelled: int,
    ):
        numbers = _numbers(names)
        order = sorted(range(len(names)), key=(numbers or names).__getitem__)
        self.names = tuple(names[i] for i in order)
        self.ids = np.array(
            [numbers[i] for i in order] if numbers else range(len(names)), np.int64
        )
        self.targets = targets[order]
        self.num_unlabelled = num_unlabelled
        stretch = parse_stretch(DEFAULT_STRETCH)
        cutouts = images.take(order)
        self._images = UnlabelledSource(cutouts, pixel_scale or None, stretch)
        self.pixel_scale = self._images.pixel_scale
        self.fingerprint = _fingerprint(self, pixel_scale, cutouts.sizes)

    def __len__(self) -> int:
        return len(self.ids)

    def decode(self, index: int) -> np.ndarray:
        """uint8 RGB ``[h w 3]``, the image of ``ids[index]``; safe in threads.

        Raises:
            BadImageError: it is none; names it.
        """
        try:
            return self._images.decode(index)
        except BadImageError as error:
            raise BadImageError(
                f"{self._images.cutouts.path}: {error}; replace the image, or remove "
                f"the row '{self.names[index]}'",
                error.code,
            ) from error

    def placement(self, index: int, image: np.ndarray) -> None:
        """None: galaxies are taken as they lie."""
        del index, image


def open_survey(
    labels: str | os.PathLike,
    images: str | os.PathLike,
    tree: Tree,
    pixel_scale: float = 0.0,
    name_column: str = "",
    check_images: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> SurveySource:
    """Opens a table of vote fractions with the images of its rows, and checks both.

    Args:
        labels: a ``.csv`` (or a ``.zip`` that holds one) with a header and a row per
            galaxy: a name, and the tree's columns; in any order, with any others.
        images: see :func:`gzjax.data.images.find_images.find_cutouts`. How rows find
            theirs: :class:`gzjax.data.labels.name_match.NameMatch`.
        tree: names the columns.
        pixel_scale: pixels of the original 424 px frame per pixel of the images; 0:
            the longer side of each image spans that frame.
        name_column: of the table; "": see
            :func:`gzjax.data.labels.survey.read_survey_labels`.
        check_images: whether to decode every image once: some 1.5 ms of one core for
            a JPEG of 424 px, longer for other formats; all cores take part.
        progress: called now and then with (images checked, images in all).

    Raises:
        UserError: in one message with a line per kind, all that is wrong in the table
            and with the images.
    """
    if not (math.isfinite(pixel_scale) and pixel_scale >= 0):
        raise UserError(
            f"config.data.pixel_scale is {pixel_scale}: give a positive number; or 0, "
            "for images that span 424 px of the original frame each"
        )
    labels, problems = Path(labels).expanduser(), Problems()
    table = read_survey_labels(labels, tree, name_column, problems)
    try:
        cutouts = find_cutouts(images)
    except UserError as error:
        problems.add_failure("images: " + str(error).replace("\n", "\n    "))
    else:
        rows = _match(table, cutouts, problems)
        if check_images:
            _check_images(cutouts, np.unique(rows[rows >= 0]), problems, progress)
    problems.raise_if_any(f"{labels}: the survey is not usable", _WHAT_TO_DO)
    return SurveySource(
        table.names,
        as_targets(table.votes),
        cutouts.take(rows),
        pixel_scale,
        num_unlabelled=len(cutouts) - len(rows),
    )


def _match(table: SurveyLabels, cutouts: Cutouts, problems: Problems) -> np.ndarray:
    """int64 [n]: the position of each row's image; negative without one."""
    names = table.names
    find = NameMatch(cutouts.names).find
    rows = np.array([find(name) for name in names], np.int64)
    found = rows >= 0
    rows[found] = np.where(cutouts.sizes[rows[found]] < 0, MISSING, rows[found])
    for code, what in (
        (MISSING, "missing from"),
        (AMBIGUOUS, "that may be several in"),
    ):
        lacking = [names[i] for i in np.flatnonzero(rows == code)]
        where = f"{cutouts.path}, by the column '{table.name_column}'"
        problems.add(f"images: {what} {where}", "name", lacking)
    first: dict[int, str] = {}
    shared = [
        f"{first[row]} and {name}"
        for row, name in zip(rows.tolist(), names, strict=True)
        if row >= 0 and first.setdefault(row, name) != name
    ]
    problems.add("labels: rows of one image", "name", shared)
    return rows


def _check_images(
    cutouts: Cutouts,
    rows: np.ndarray,
    problems: Problems,
    progress: Callable[[int, int], None] | None,
) -> None:
    """Decodes every image once and notes the bad ones, kind by kind."""
    chunks = [rows[i : i + _CHUNK].tolist() for i in range(0, len(rows), _CHUNK)]
    check, done = functools.partial(_check_chunk, cutouts), 0
    with concurrent.futures.ThreadPoolExecutor(_NUM_THREADS) as pool:
        for chunk, flags in zip(chunks, pool.map(check, chunks), strict=True):
            for row, flag in zip(chunk, flags, strict=True):
                if flag:
                    problems.add(f"images: {flag}", "name", [cutouts.names[row]])
            done += len(chunk)
            if progress is not None:
                progress(done, len(rows))


def _check_chunk(cutouts: Cutouts, chunk: list[int]) -> list[str]:
    stretch = parse_stretch(DEFAULT_STRETCH)
    read = (read_cutout(cutouts, row, stretch) for row in chunk)
    return ["" if image is not None else flag for image, flag in read]


def _numbers(names: Sequence[str]) -> list[int] | None:
    """The names as different whole numbers; None: they are not."""
    stems = list(map(without_suffix, names))
    if not all(
        stem.isascii() and stem.isdecimal() and len(stem) <= _MAX_ID_DIGITS
        for stem in stems
    ):
        return None
    numbers = list(map(int, stems))
    return numbers if len(set(numbers)) == len(numbers) else None


def _fingerprint(source: SurveySource, pixel_scale: float, sizes: np.ndarray) -> str:
    digest = hashlib.sha256()
    for name in source.names:
        digest.update(f"{name}\n".encode("utf-8", "surrogatepass"))
    digest.update(np.ascontiguousarray(source.targets, "<f4"))
    digest.update(np.array([pixel_scale], "<f8"))
    digest.update(np.ascontiguousarray(sizes, "<i8"))
    return digest.hexdigest()
