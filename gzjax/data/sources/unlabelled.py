"""Images without votes as a source: any format, any size, and some of them bad."""

import math

import numpy as np

from gzjax.data.detections.find_galaxy import detect_galaxy
from gzjax.data.detections.table import placement_of
from gzjax.data.images.decode_jpeg import BadImageError
from gzjax.data.images.find_images import Cutouts
from gzjax.data.images.read_image import FLAGS, read_cutout
from gzjax.data.images.shrink import Shrink
from gzjax.data.images.stretch import Stretch
from gzjax.data.sources.base import Source, pixel_scale_of
from gzjax.errors import UserError


class UnlabelledSource(Source):
    """A source of images without votes.

    ``ids`` are positions among the images, and ``targets`` [n 0].

    Args:
        cutouts: the images.
        pixel_scale: original px per px of the files; None: the longer side of each
            image spans the 424 px frame.
        stretch: of images without a range of their own.
        threshold: see :class:`gzjax.data.sources.base.Source`; the galaxies are found
            as they are read (:mod:`gzjax.data.detections.find_galaxy`).

    The last two arguments are those of :class:`gzjax.data.images.shrink.Shrink`.
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
        self.cutouts = cutouts
        self.threshold = threshold
        self.pixel_scale = pixel_scale
        self._stretch = stretch
        self._shrink = Shrink(pixel_scale, decode_scale, trained_scale)
        if pixel_scale is not None:
            if not (math.isfinite(pixel_scale) and pixel_scale > 0):
                raise UserError(f"pixel_scale={pixel_scale} is not a number above 0")
            self.pixel_scale = pixel_scale * self._shrink.factor(1, 1)
        self.ids = np.arange(len(cutouts))
        self.targets = np.zeros((len(cutouts), 0), np.float32)

    @property
    def fingerprint(self) -> str:
        """Hexadecimal digest of the names and sizes of the files."""
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
        return placement_of(detect_galaxy(image, self.threshold, scale))
