"""The Kaggle Galaxy Zoo download as a source, checked from end to end on opening."""

import hashlib
import math
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from gzjax.data.csv_rows import LABEL_FILES
from gzjax.data.images.challenge_files import (
    IMAGE_FOLDERS,
    Images,
    find_images,
    read_jpeg,
)
from gzjax.data.images.cutouts import Cutouts
from gzjax.data.images.decode_jpeg import DECODE_SCALES, decode
from gzjax.data.labels.table import IDS, read_labels
from gzjax.data.sources.base import Source, check_each
from gzjax.errors import READ_ERRORS, Problems, UserError, first_few, reason
from gzjax.trees import Tree

URL = "https://www.kaggle.com/c/galaxy-zoo-the-galaxy-challenge/data"
_JPEG_ONLY = "the challenge has JPEG only"
_WHAT_TO_DO = (
    f"What to do: download the damaged files again from {URL} (and unzip them again, "
    "or leave them zipped), or correct the rows and replace the images named above."
)


class ChallengeSource(Source):
    """Galaxies with votes and JPEGs; made by :func:`open_challenge`.

    Pickles without an open file. The fingerprint of a folder is that of its zip.
    """

    def __init__(
        self,
        images: Cutouts,
        ids: np.ndarray,
        targets: np.ndarray,
        pixel_scale: float,
        decode_scale: int,
        num_unlabelled: int,
    ):
        self._images, self._decode_scale = images, decode_scale
        self.ids, self.targets = ids, targets
        self.pixel_scale = pixel_scale * decode_scale
        self.num_unlabelled = num_unlabelled
        self.fingerprint = fingerprint(ids, targets, self.pixel_scale, images.sizes)

    def read(self, index: int) -> bytes:
        """Returns the JPEG of ``ids[index]``; safe in threads.

        Raises:
            UserError: the file has gone, become unreadable, or got another size since
                it was opened.
        """
        galaxy, size = self.ids[index], self._images.sizes[index]
        try:
            data = self._images.read(index)
            # A JPEG without its end is decoded, to grey where it is cut.
            if len(data) != size:
                raise ValueError(f"{len(data)} bytes, not {size}")
            return data
        except READ_ERRORS as error:
            raise UserError(
                f"{self._images.path}: {galaxy}.jpg cannot be read any more: "
                f"{reason(error)}\nWas it moved or changed, or is the disk gone? Put "
                "it back, then run the same command again to resume"
            ) from error

    def decode(self, index: int) -> np.ndarray:
        return decode(self.read(index), self.ids[index], self._decode_scale)


def open_challenge(
    folder: str | os.PathLike,
    tree: Tree,
    pixel_scale: float = 1.0,
    check_images: bool = True,
    progress: Callable[[int, int], None] | None = None,
    decode_scale: int = 1,
) -> ChallengeSource:
    """Opens the Galaxy Zoo challenge as downloaded, and checks all of it.

    Args:
        folder: holds ``training_solutions_rev1.csv`` or ``.zip``, and the images as
            the folder ``images_training_rev1`` (or ``images_train_rev1``) or its zip.
        tree: names the label columns.
        pixel_scale: pixels of the original 424 px frame per stored pixel.
        check_images: whether to read every image once and check its markers (see
            :func:`gzjax.data.images.decode_jpeg.jpeg_problem`); nothing is decoded.
        progress: called now and then with (images checked, images in all).
        decode_scale: see :func:`gzjax.data.images.decode_jpeg.decode`.

    Returns:
        The galaxies that have a row, by ascending id; every one has an image.

    Raises:
        UserError: files are missing; or, in one message with a line per kind, all
            that is wrong in the labels and with the images.
    """
    folder = Path(folder)
    check_scales(pixel_scale, decode_scale)
    problems = Problems()
    images, ids, targets, sizes = read_download(folder, tree, problems)
    if sizes:
        wanted = np.unique(ids).tolist()
        there = [galaxy for galaxy in wanted if galaxy in sizes]
        missing = [galaxy for galaxy in wanted if galaxy not in sizes]
        problems.add(f"images: missing from {images.path.name}", "id", missing)

        def check(galaxy):
            try:
                return read_jpeg(images, galaxy)[1]
            except OSError as error:
                return f"unreadable: {reason(error)}"

        if check_images:
            check_each(check, there, problems, "id", progress=progress)
    raise_if_unusable(folder, problems)
    return ChallengeSource(
        images.take(ids.tolist()),
        ids,
        targets,
        float(pixel_scale),
        decode_scale,
        num_unlabelled=len(sizes) - len(ids),
    )


def check_scales(pixel_scale: float, decode_scale: int) -> None:
    """Raises a UserError for invalid scales."""
    if not (math.isfinite(pixel_scale) and pixel_scale > 0):
        raise UserError(f"pixel_scale must be a positive number, not {pixel_scale}")
    if decode_scale not in DECODE_SCALES:
        scales = ", ".join(map(str, DECODE_SCALES))
        raise UserError(f"decode_scale is {decode_scale}; there are: {scales}")


def read_download(
    folder: Path, tree: Tree, problems: Problems
) -> tuple[Images, np.ndarray, np.ndarray, dict[int, int]]:
    """Finds the files of a challenge folder, reads the labels, and lists the images.

    Notes in ``problems`` what is wrong with them.

    Returns:
        All images; ids int64 [n], ascending, of the galaxies with a row; targets
        float32 [n a]; and the bytes of every image by id, with a row or without.

    Raises:
        UserError: files are missing.
    """
    labels, images = _find_files(folder)
    ids, targets, _ = read_labels(labels, tree, IDS, problems)
    sizes, problem = {}, f"holds no {IMAGE_FOLDERS[0]}/<GalaxyID>.jpg ({_JPEG_ONLY})"
    try:
        sizes = images.sizes()
    except READ_ERRORS as error:
        problem = f"cannot be read: {reason(error)}"
    if not sizes:
        problems.add_failure(f"images: {images.path.name} {problem}")
    return images, ids, targets, sizes


def raise_if_unusable(folder: Path, problems: Problems) -> None:
    """Raises one UserError that says all of ``problems``, if there are any."""
    problems.raise_if_any(f"{folder}: the Galaxy Zoo data is not usable", _WHAT_TO_DO)


def _find_files(folder: Path) -> tuple[Path, Images]:
    """Returns the labels and the images; raises UserError unless both are there."""
    try:
        there = sorted(os.listdir(folder))
        labels = [folder / n for n in LABEL_FILES if (folder / n).is_file()]
        images = list(find_images(folder))
    except OSError as error:
        raise UserError(
            f"{error.filename or folder}: the data cannot be read: {reason(error)}\n"
            f"What to do: name the folder that holds the files downloaded from {URL}"
        ) from error
    problems = Problems()
    if not labels:
        problems.add_failure(f"no labels: looked for {' and '.join(LABEL_FILES)}")
    if not images:
        names = [name for n in IMAGE_FOLDERS for name in (f"{n}/", f"{n}.zip")]
        problems.add_failure(
            f"no images: looked for {', '.join(names)} with <GalaxyID>.jpg in it "
            f"({_JPEG_ONLY})"
        )
    problems.raise_if_any(
        f"{folder}: not the Galaxy Zoo challenge as downloaded",
        f"There is: {first_few(there, 10) or 'nothing, the folder is empty'}\n"
        f"What to do: download what is missing from {URL} into this folder, zipped or "
        "unzipped, or name another folder.",
    )
    return labels[0], images[0]


def fingerprint(
    ids: np.ndarray, targets: np.ndarray, pixel_scale: float, sizes: np.ndarray
) -> str:
    """Returns the hexadecimal SHA-256 of a data set.

    Args:
        ids: int ``[n]``.
        targets: float ``[n a]``.
        pixel_scale: original px per decoded px.
        sizes: int ``[n]``, of the images' files in bytes.
    """
    digest = hashlib.sha256()
    digest.update(np.ascontiguousarray(ids, "<i8"))
    digest.update(np.ascontiguousarray(targets, "<f4"))
    digest.update(np.array([pixel_scale], "<f8"))
    digest.update(np.ascontiguousarray(sizes, "<i8"))
    return digest.hexdigest()
