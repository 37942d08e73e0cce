"""Images without votes as a source, from files or at hand; some of them are bad."""

import math
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gzjax.data.detections.find_galaxy import detect_galaxy
from gzjax.data.detections.table import placement_of
from gzjax.data.images.cutouts import Cutouts
from gzjax.data.images.decode_jpeg import BadImageError
from gzjax.data.images.read_image import (
    FLAGS,
    MISSING,
    UNREADABLE,
    flag_blank,
    read_cutout,
    read_image,
)
from gzjax.data.images.shrink import Shrink
from gzjax.data.images.store import FolderFiles
from gzjax.data.images.stretch import Stretch
from gzjax.data.sources.base import Source, pixel_scale_of
from gzjax.errors import UserError

_WANTED = "give uint8 RGB arrays [h w 3] or paths of image files"
_DISK = FolderFiles(Path())


class UnlabelledSource(Source):
    """A source of images without votes; ``ids`` are positions among ``cutouts``.

    Args:
        pixel_scale: original px per px of the files; None: the longer side of each
            image spans the 424 px frame.
        stretch: of images without a range of their own.
        threshold: see :class:`gzjax.data.sources.base.Source`; the galaxies are found
            as they are read (:mod:`gzjax.data.detections.find_galaxy`).

    For the last two see :class:`gzjax.data.images.shrink.Shrink`.
    """

    def __init__(
        self,
        cutouts: Cutouts,
        pixel_scale: float | None,
        stretch: Stretch,
        threshold: float | None = None,
        decode_scale: int = 1,
        trained_scale: float = 1.0,
    ):
        self.cutouts, self._stretch = cutouts, stretch
        self.pixel_scale, self.threshold = pixel_scale, threshold
        self._shrink = Shrink(pixel_scale, decode_scale, trained_scale)
        if pixel_scale is not None:
            if not (math.isfinite(pixel_scale) and pixel_scale > 0):
                raise UserError(f"pixel_scale={pixel_scale} is not a number above 0")
            self.pixel_scale = pixel_scale * self._shrink.factor(1, 1)
        self.ids = np.arange(len(cutouts))
        self.targets = np.zeros((len(cutouts), 0), np.float32)

    @property
    def fingerprint(self) -> str:
        """Returns a digest of the names and sizes of the files."""
        return self.cutouts.fingerprint

    def decode(self, index: int) -> np.ndarray:
        """Returns an image; raises BadImageError, coded by the position in FLAGS."""
        image, flag = self._read(index)
        if image is None:
            name = self.cutouts.names[index]
            raise BadImageError(f"{name}: {flag}", FLAGS.index(flag))
        return image

    def _read(self, index: int) -> tuple[np.ndarray | None, str]:
        return read_cutout(self.cutouts, index, self._stretch, self._shrink)

    def placement(self, index: int, image: np.ndarray) -> np.ndarray | None:
        """Returns where the galaxy is found in its image, if it is to be centred."""
        if self.threshold is None:
            return None
        scale = pixel_scale_of(self, image)
        return placement_of(detect_galaxy(image, self.threshold, scale)[:3])


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
            is_path = isinstance(image, str | os.PathLike)
            self.names.append(str(image) if is_path else f"image {i}")
            self.images.append(image if is_path else _checked(image, self.names[i]))

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
