"""What the pipeline needs to know of a data set: ids, votes, and bytes by position."""

from typing import Protocol

import numpy as np

from gzjax.data.geometry import FRAME_PX


class Source(Protocol):
    """A catalogue of images in random access, cheap to pickle.

    Attributes:
        ids: int64 [n], ascending, unique.
        targets: float32 [n a], absolute vote fractions in [0, 1]; [n 0]: not known.
        pixel_scale: how many pixels of the original 424 px frame one stored pixel
            spans: 1 for the challenge's own images, 2 for a half-size copy; None: the
            longer side of each image spans that frame.
        fingerprint: hexadecimal digest of ids, targets, pixel scale and placements.
    """

    ids: np.ndarray
    targets: np.ndarray
    pixel_scale: float | None
    fingerprint: str

    def decode(self, index: int) -> np.ndarray:
        """uint8 RGB ``[h w 3]``, the image of ``ids[index]``; safe in threads.

        Raises:
            BadImageError: :class:`gzjax.data.images.decode_jpeg.BadImageError`.
        """
        ...

    def placement(self, index: int, image: np.ndarray) -> np.ndarray | None:
        """float64 ``[2 3]``: the placement of a galaxy in its image ``[h w 3]``.

        It is applied nearest to the image (:func:`gzjax.data.geometry.compose`). None:
        galaxies are taken as they lie, about the image's centre, at its scale.
        """
        ...


def pixel_scale_of(source: Source, image: np.ndarray) -> float:
    """Original px per px of ``image [h w 3]``."""
    if source.pixel_scale is None:
        return FRAME_PX / max(image.shape[:2])
    return source.pixel_scale
