"""Images that a program has at hand, arrays or paths, as a source."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gzjax.data.images.files import FolderFiles
from gzjax.data.images.read_image import MISSING, UNREADABLE, flag_blank, read_image
from gzjax.data.sources.unlabelled import UnlabelledSource
from gzjax.errors import UserError

_WANTED = "give uint8 RGB arrays [h w 3] or paths of image files"
_DISK = FolderFiles(Path())


class GivenImages:
    """The images of a :class:`GivenSource`.

    Args:
        images: one array ``[n h w 3]``, or n arrays ``[h w 3]`` (uint8, RGB, of any
            sizes) and paths, in any mixture.

    Raises:
        UserError: names the first that is neither an array nor a path.
    """

    fingerprint = ""  # nothing is kept that depends on them

    def __init__(self, images: np.ndarray | Sequence):
        if isinstance(images, str | os.PathLike):
            raise UserError(f"{images} is one path: give a list of images")
        if isinstance(images, np.ndarray) and images.ndim == 3:
            raise UserError("an array [h w 3] is one image: give a list, [image]")
        try:
            given = list(images)
        except TypeError as error:
            raise UserError(
                f"{images!r:.60} is no list of images: {_WANTED}"
            ) from error
        self.images, self.names = [], []
        for i, image in enumerate(given):
            if isinstance(image, str | os.PathLike):
                self.images.append(image)
                self.names.append(str(image))
            else:
                self.images.append(_checked(image, f"image {i}"))
                self.names.append(f"image {i}")

    def __len__(self) -> int:
        return len(self.images)


class GivenSource(UnlabelledSource):
    """An :class:`UnlabelledSource` whose ``cutouts`` are :class:`GivenImages`."""

    def _read(self, index: int) -> tuple[np.ndarray | None, str]:
        image = self.cutouts.images[index]
        if isinstance(image, np.ndarray):
            return flag_blank(self._shrink(image))
        try:
            data = _DISK.read(Path(image).expanduser())
        except FileNotFoundError:
            return None, MISSING
        except (OSError, ValueError):  # the latter: a NUL in the path
            return None, UNREADABLE
        return read_image(data, self._stretch, self._shrink)


def _checked(image, name: str) -> np.ndarray:
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[-1] != 3:
        raise UserError(f"{name} is {image.dtype} {list(image.shape)}: {_WANTED}")
    if 0 in image.shape:
        raise UserError(f"{name} has no pixels: {list(image.shape)}")
    return np.ascontiguousarray(image)
