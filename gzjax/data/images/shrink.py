"""Makes images smaller that are finer than the pixels that a network saw."""

import dataclasses

import cv2
import numpy as np

from gzjax.data.geometry import FRAME_PX

_ROUNDING = 1e-9


@dataclasses.dataclass(frozen=True)
class Shrink:
    """By how much an image of any size is made smaller.

    One bilinear warp would read but few pixels of an image that is finer than what the
    network was trained on, with all of their noise.

    Attributes:
        pixel_scale: pixels of the original 424 px frame per stored pixel; None: the
            longer side of each image spans the frame.
        decode_scale: by which a JPEG is made smaller in decoding, as in training.
        trained_scale: ``pixel_scale`` of the images of the training.
    """

    pixel_scale: float | None
    decode_scale: int = 1
    trained_scale: float = 1.0

    @property
    def span(self) -> float:
        """Returns the original pixels that a pixel should span at most."""
        return self.trained_scale * self.decode_scale

    def factor(self, height: int, width: int) -> int:
        """Returns how many pixels become one, along each axis; at least 1."""
        if self.pixel_scale is None:
            return max(1, round(max(height, width) * self.span) // FRAME_PX)
        return max(1, int(self.span / self.pixel_scale + _ROUNDING))

    def in_decoding(self, height: int, width: int) -> int:
        """Returns by how much a JPEG of this size is made smaller as it is decoded."""
        parts = (self.factor(height, width), height, width)
        return 1 if any(n % self.decode_scale for n in parts) else self.decode_scale

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Returns ``image`` [h w 3], smaller by :meth:`factor`."""
        return block_means(image, self.factor(*image.shape[:2]))


ORIGINAL = Shrink(pixel_scale=1.0)  # changes nothing


def block_means(image: np.ndarray, factor: int) -> np.ndarray:
    """Returns means of blocks, ``[h w 3] → [h // factor, w // factor, 3]``.

    What is left over is cut from all sides.
    """
    if factor < 2 or min(image.shape[:2]) < factor:
        return image
    height, width = (n // factor * factor for n in image.shape[:2])
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    cut = image[top : top + height, left : left + width]
    size = width // factor, height // factor
    return cv2.resize(cut, size, interpolation=cv2.INTER_AREA)
