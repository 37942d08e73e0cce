"""The Kaggle Galaxy Zoo download as a source, checked from end to end on opening."""

import hashlib
import math
import os
import pathlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from gzjax.data.images.challenge_files import (
    IMAGE_FOLDERS,
    Images,
    check_image_files,
    find_images,
)
from gzjax.data.images.decode_jpeg import DECODE_SCALES, decode
from gzjax.data.labels.challenge import read_labels
from gzjax.data.labels.table import LABEL_FILES
from gzjax.errors import READ_ERRORS, Problems, UserError, first_few, reason
from gzjax.trees import Tree

URL = "https://www.kaggle.com/c/galaxy-zoo-the-galaxy-challenge/data"
_WHAT_TO_DO = (
    f"What to do: download the damaged files again from {URL} (and unzip them again, "
    "or leave them zipped), or correct the rows and replace the images named above."
)


class ChallengeSource:
    """Galaxies with votes and images, as a :class:`gzjax.data.sources.base.Source`.

    Pickles without an open file; made by :func:`open_challenge`.

    Attributes:
        ids: int64 [n], ascending, unique.
        targets: float32 [n a], absolute vote fractions in [0, 1].
        pixel_scale: pixels of the original 424 px frame per decoded pixel.
        fingerprint: hexadecimal SHA-256 of ids, targets, pixel scale, and the sizes of
            the images in bytes; the same for a folder and for its zip.
        num_unlabelled: how many images have no row; they are not part of the source.
    """

    def __init__(
        self,
        images: Images,
        ids: np.ndarray,
        targets: np.ndarray,
        pixel_scale: float,
        sizes: dict[int, int],
        decode_scale: int = 1,
    ):
        self._images = images
        self._decode_scale = decode_scale
        self.ids = ids
        self.targets = targets
        self.pixel_scale = pixel_scale * decode_scale
        self.num_unlabelled = len(sizes) - len(ids)
        self._sizes = np.array([sizes[i] for i in ids.tolist()])
        self.fingerprint = fingerprint(ids, targets, self.pixel_scale, self._sizes)

    def __len__(self) -> int:
        return len(self.ids)

    def read(self, index: int) -> bytes:
        """The JPEG of ``ids[index]``; safe to call from threads.

        Raises:
            IndexError: there is no such position.
            UserError: the file has gone, become unreadable, or got another size since
                it was opened.
        """
        galaxy = int(self.ids[index])
        try:
            data = self._images.read(galaxy)
            # A JPEG without its end is decoded, to grey where it is cut.
            if len(data) != self._sizes[index]:
                raise ValueError(f"{len(data)} bytes, not {self._sizes[index]}")
            return data
        except READ_ERRORS as error:
            raise UserError(
                f"{self._images.path}: {galaxy}.jpg cannot be read any more: "
                f"{reason(error)}\nIt was there when the data set was opened: was it "
                "moved or changed, or is the disk gone? Put it back: the same command "
                "then goes on where this one stopped"
            ) from error

    def decode(self, index: int) -> np.ndarray:
        """uint8 RGB ``[h w 3]``, the image of ``ids[index]``; safe in threads."""
        return decode(self.read(index), self.ids[index], self._decode_scale)

    def placement(self, index: int, image: np.ndarray) -> None:
        """None: galaxies are taken as they lie."""
        del index, image


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
        tree: the questions behind the label columns.
        pixel_scale: pixels of the original 424 px frame per stored pixel: 1 for the
            original images, 2 for a half-size copy.
        check_images: whether to read every image once and look at its markers (see
            :func:`gzjax.data.images.jpeg_check.jpeg_problem`); nothing is decoded.
        progress: called now and then with (images checked, images in all).
        decode_scale: by which images are made smaller as they are decoded
            (:func:`gzjax.data.images.decode_jpeg.decode`).

    Returns:
        The galaxies that have a row, by ascending id; every one has an image.

    Raises:
        UserError: files are not there; or, in one message with a line per kind, all
            that is wrong in the labels and with the images.
    """
    folder = pathlib.Path(folder)
    check_scales(pixel_scale, decode_scale)
    problems = Problems()
    images, ids, targets, sizes = read_download(folder, tree, problems)
    if sizes:
        wanted = np.unique(ids).tolist()
        there = [galaxy for galaxy in wanted if galaxy in sizes]
        missing = [galaxy for galaxy in wanted if galaxy not in sizes]
        problems.add(f"images: missing from {images.path.name}", "id", missing)
        if check_images:
            check_image_files(images, sizes, there, problems, progress)
    raise_if_unusable(folder, problems)
    return ChallengeSource(
        images, ids, targets, float(pixel_scale), sizes, decode_scale
    )


def check_scales(pixel_scale: float, decode_scale: int) -> None:
    """Raises a UserError for scales that cannot be."""
    if not (math.isfinite(pixel_scale) and pixel_scale > 0):
        raise UserError(f"pixel_scale must be a positive number, not {pixel_scale}")
    if decode_scale not in DECODE_SCALES:
        raise UserError(
            f"decode_scale is {decode_scale}; there are: "
            + ", ".join(map(str, DECODE_SCALES))
        )


class Download(NamedTuple):
    """What a download says of itself before any image is opened.

    Attributes:
        images: all of them.
        ids: int64 [n], ascending: the galaxies with a row.
        targets: float32 [n a].
        sizes: bytes of every image by galaxy id, with a row or without.
    """

    images: Images
    ids: np.ndarray
    targets: np.ndarray
    sizes: dict[int, int]


def read_download(folder: pathlib.Path, tree: Tree, problems: Problems) -> Download:
    """Finds the files of ``folder``, reads the labels, and lists the images.

    Args:
        folder: as for :func:`open_challenge`.
        tree: likewise.
        problems: gets what is wrong with the labels and with the whole of the images.

    Raises:
        UserError: files are not there.
    """
    labels, images = _find_files(folder)
    ids, targets = read_labels(labels, tree, problems)
    return Download(images, ids, targets, _image_sizes(images, problems))


def raise_if_unusable(folder: pathlib.Path, problems: Problems) -> None:
    """Raises one UserError that says all of ``problems``, if there are any."""
    problems.raise_if_any(f"{folder}: the Galaxy Zoo data is not usable", _WHAT_TO_DO)


def _find_files(folder: pathlib.Path) -> tuple[pathlib.Path, Images]:
    """The labels and the images; raises UserError unless both are there."""
    try:
        there = sorted(os.listdir(folder))
        labels = [folder / n for n in LABEL_FILES if (folder / n).is_file()]
        images = list(find_images(folder))
    except OSError as error:
        raise UserError(
            f"{error.filename or folder}: the data cannot be read: {reason(error)}\n"
            "What to do: name the folder that holds the files of the Galaxy Zoo "
            f"challenge ({LABEL_FILES[1]}, {IMAGE_FOLDERS[0]}.zip), downloaded from "
            f"{URL}"
        ) from error
    problems = Problems()
    if not labels:
        problems.add_failure(f"no labels: looked for {' and '.join(LABEL_FILES)}")
    if not images:
        names = [name for n in IMAGE_FOLDERS for name in (f"{n}/", f"{n}.zip")]
        problems.add_failure(
            f"no images: looked for {', '.join(names)} with <GalaxyID>.jpg in it "
            "(the challenge has JPEG only)"
        )
    problems.raise_if_any(
        f"{folder}: not the Galaxy Zoo challenge as downloaded",
        f"There is: {first_few(there, 10) or 'nothing, the folder is empty'}\n"
        f"What to do: download what is missing from {URL} into this folder, zipped or "
        "unzipped, or name another folder.",
    )
    return labels[0], images[0]


def _image_sizes(images: Images, problems: Problems) -> dict[int, int]:
    try:
        sizes = images.sizes()
    except READ_ERRORS as error:
        problems.add_failure(
            f"images: {images.path.name} cannot be read: {reason(error)}"
        )
        return {}
    if not sizes:
        problems.add_failure(
            f"images: {images.path.name} holds no {IMAGE_FOLDERS[0]}/<GalaxyID>.jpg "
            "(the challenge has JPEG only)"
        )
    return sizes


def fingerprint(
    ids: np.ndarray, targets: np.ndarray, pixel_scale: float, sizes: np.ndarray
) -> str:
    """Hexadecimal SHA-256 of a data set.

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
