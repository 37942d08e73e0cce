"""What the pipeline needs to know of a data set: ids, votes, and bytes by position."""

from typing import Protocol

import numpy as np


class Source(Protocol):
    """A labelled catalogue of images in random access, cheap to pickle.

    Attributes:
        ids: int64 [n], ascending, unique.
        targets: float32 [n a], absolute vote fractions in [0, 1].
        pixel_scale: how many pixels of the original 424 px frame one stored pixel
            spans: 1 for the challenge's own images, 2 for a half-size copy.
        frames: float64 [n 2 3], the placement of each galaxy in its image, applied
            nearest to the image (:func:`gzjax.data.geometry.compose`); None: the
            image's centre, at its scale.
        fingerprint: hexadecimal digest of ids, targets, pixel scale and frames.
    """

    ids: np.ndarray
    targets: np.ndarray
    pixel_scale: float
    frames: np.ndarray | None
    fingerprint: str

    def read(self, index: int) -> bytes:
        """The encoded image (JPEG) of ``ids[index]``; safe to call from threads."""
        ...
