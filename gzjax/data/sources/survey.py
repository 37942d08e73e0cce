"""Your own survey as a source: a table of vote fractions, and images of any kind."""

import functools
import hashlib
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from gzjax.data.images.cutouts import Cutouts, find_cutouts, without_suffix
from gzjax.data.images.decode_jpeg import BadImageError
from gzjax.data.images.read_image import read_cutout
from gzjax.data.images.stretch import Stretch
from gzjax.data.labels.name_match import AMBIGUOUS, MISSING, NameMatch
from gzjax.data.labels.table import MAX_ID_DIGITS, NAMES, Labels, read_labels
from gzjax.data.sources.base import check_each
from gzjax.data.sources.unlabelled import UnlabelledSource
from gzjax.errors import Problems, UserError
from gzjax.trees import Tree

_WHAT_TO_DO = (
    "What to do: correct these rows and images, or take the rows out. Values are "
    "fractions of all volunteers: the answers to a question that everybody is asked "
    "add up to 1, those to another one to the answers that lead to it, both to within "
    f"{NAMES.tolerance:g}. Shares of those who were asked are to be multiplied by the "
    "answers that lead to the question."
)


class SurveySource(UnlabelledSource):
    """Galaxies with votes and images of any kind; made by :func:`open_survey`.

    Pickles without an open file. ``ids`` are the names themselves (without an image's
    suffix) if all of them are whole numbers below 10^18; else their positions in the
    order of the names' characters.
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
        super().__init__(images.take(order), pixel_scale or None, Stretch())
        self.names = tuple(names[i] for i in order)
        self.ids = np.array(
            [numbers[i] for i in order] if numbers else range(len(names)), np.int64
        )
        self.targets = targets[order]
        self.num_unlabelled = num_unlabelled
        self._given_scale = pixel_scale

    @functools.cached_property
    def fingerprint(self) -> str:
        """Returns the SHA-256 of names, votes, pixel scale and the images' sizes."""
        digest = hashlib.sha256()
        for name in self.names:
            digest.update(f"{name}\n".encode("utf-8", "surrogatepass"))
        digest.update(np.ascontiguousarray(self.targets, "<f4"))
        digest.update(np.array([self._given_scale], "<f8"))
        digest.update(np.ascontiguousarray(self.cutouts.sizes, "<i8"))
        return digest.hexdigest()

    def decode(self, index: int) -> np.ndarray:
        try:
            return super().decode(index)
        except BadImageError as error:
            raise BadImageError(
                f"{self.cutouts.path}: {error}; replace the image, or remove the row "
                f"'{self.names[index]}'",
                error.code,
            ) from error


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
        images: see :func:`gzjax.data.images.cutouts.find_cutouts`. How rows find
            theirs: :class:`gzjax.data.labels.name_match.NameMatch`.
        pixel_scale: pixels of the original 424 px frame per pixel of the images; 0:
            the longer side of each image spans that frame.
        name_column: of the table; "": the first of
            :data:`gzjax.data.labels.table.NAMES`.
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

    def check(row: int) -> str | None:
        image, flag = read_cutout(cutouts, row, Stretch())
        return flag if image is None else None

    labels, problems = Path(labels).expanduser(), Problems()
    table = read_labels(labels, tree, NAMES, problems, name_column)
    try:
        cutouts = find_cutouts(images)
    except UserError as error:
        problems.add_failure("images: " + str(error).replace("\n", "\n    "))
    else:
        rows = _match(table, cutouts, problems)
        if check_images:
            found = np.unique(rows[rows >= 0]).tolist()
            name = cutouts.names.__getitem__
            check_each(check, found, problems, "name", name, progress)
    problems.raise_if_any(f"{labels}: the survey is not usable", _WHAT_TO_DO)
    return SurveySource(
        table.keys.tolist(),
        table.targets,
        cutouts.take(rows),
        pixel_scale,
        num_unlabelled=len(cutouts) - len(rows),
    )


def _match(table: Labels, cutouts: Cutouts, problems: Problems) -> np.ndarray:
    """Returns int64 [n]: the position of each row's image; negative without one."""
    names = table.keys.tolist()
    find = NameMatch(cutouts.names).find
    rows = np.array([find(name) for name in names], np.int64)
    found = rows >= 0
    rows[found] = np.where(cutouts.sizes[rows[found]] < 0, MISSING, rows[found])
    where = f"{cutouts.path}, by the column '{table.key_column}'"
    reasons = {MISSING: "missing from", AMBIGUOUS: "that may be several in"}
    for code, what in reasons.items():
        lacking = [names[i] for i in np.flatnonzero(rows == code)]
        problems.add(f"images: {what} {where}", "name", lacking)
    first: dict[int, str] = {}
    shared = [
        f"{first[row]} and {name}"
        for row, name in zip(rows.tolist(), names, strict=True)
        if row >= 0 and first.setdefault(row, name) != name
    ]
    problems.add("labels: rows of one image", "name", shared)
    return rows


def _numbers(names: Sequence[str]) -> list[int] | None:
    """Returns the names as different whole numbers, or None if they are not."""
    stems = list(map(without_suffix, names))
    if not all(
        stem.isascii() and stem.isdecimal() and len(stem) <= MAX_ID_DIGITS
        for stem in stems
    ):
        return None
    numbers = list(map(int, stems))
    return numbers if len(set(numbers)) == len(numbers) else None
