"""Decodes JPEGs, as they are or smaller."""

import cv2
import numpy as np

from gzjax.data.images.jpeg_check import excess, jpeg_size
from gzjax.errors import UserError

# Scale → how OpenCV asks libjpeg for fewer coefficients of each 8 x 8 block.
_REDUCED = {
    1: 0,
    2: cv2.IMREAD_REDUCED_GRAYSCALE_2,
    4: cv2.IMREAD_REDUCED_GRAYSCALE_4,
    8: cv2.IMREAD_REDUCED_GRAYSCALE_8,
}
DECODE_SCALES = tuple(_REDUCED)


class BadImageError(UserError):
    """An image without pixels.

    Attributes:
        code: why, for sources that know several reasons; at least 1.
    """

    def __init__(self, message: str, code: int = 1):
        super().__init__(message)
        self.code = code


def decode(data: bytes, galaxy_id: int, scale: int = 1) -> np.ndarray:
    """Returns uint8 RGB ``[h / scale, w / scale, 3]`` of a whole JPEG.

    Scaled down, a JPEG is decoded from its low frequencies alone: faster, and nearer to
    the means of blocks of ``scale x scale`` pixels than to a sample of them.

    Args:
        data: the whole file.
        galaxy_id: for messages.
        scale: one of ``DECODE_SCALES``.

    Raises:
        BadImageError: names the galaxy. The data are not a JPEG, or one that would take
            gigabytes or minutes (:func:`gzjax.data.images.jpeg_check.excess`); or its
            sides are not multiples of ``scale``, so that its centre would move.
    """
    size = jpeg_size(data)
    if problem := "not a JPEG" if size is None else excess(data, *size):
        raise _undecodable(galaxy_id, f" ({problem})")
    if any(side % scale for side in size):
        raise BadImageError(
            f"config.data.decode_scale is {scale}, and the image of galaxy {galaxy_id} "
            f"has {size[1]} x {size[0]} px: sides must be multiples of {scale}; take "
            "decode_scale=1"
        )
    # The greys' flags are those of colour but for the bit that says in which order.
    flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION | _REDUCED[scale]
    image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    if image is None:
        raise _undecodable(galaxy_id)
    return image


def _undecodable(galaxy_id: int, why: str = "") -> BadImageError:
    return BadImageError(
        f"the image of galaxy {galaxy_id} cannot be decoded{why}; replace it, or "
        "remove its row"
    )
