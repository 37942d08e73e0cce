"""From encoded bytes to pixels."""

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
    """uint8 RGB ``[h / scale, w / scale, 3]`` of an encoded image.

    Scaled down, a JPEG is decoded from its low frequencies alone: faster, and nearer to
    the means of blocks of ``scale x scale`` pixels than to a sample of them.

    Args:
        data: the whole file.
        galaxy_id: for messages.
        scale: one of ``DECODE_SCALES``.

    Raises:
        BadImageError: not a JPEG, or one that would take gigabytes or minutes (see
            :func:`gzjax.data.images.jpeg_check.excess`); or its sides are no multiples
            of ``scale``, so that its centre would move; names the galaxy.
    """
    size = jpeg_size(data)
    if problem := "not a JPEG" if size is None else excess(data, *size):
        raise BadImageError(
            f"the image of galaxy {galaxy_id} cannot be decoded ({problem}); "
            "replace it, or remove its row"
        )
    _check_sides(size, galaxy_id, scale)
    # The greys' flags are those of colour but for the bit that says in which order.
    flags_ = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION | _REDUCED[scale]
    buffer = np.frombuffer(data, np.uint8)
    image = cv2.imdecode(buffer, flags_)
    if image is None:
        raise BadImageError(
            f"the image of galaxy {galaxy_id} cannot be decoded; "
            "replace it, or remove its row"
        )
    return image


def _check_sides(size: tuple[int, int], galaxy_id: int, scale: int) -> None:
    if any(side % scale for side in size):
        raise BadImageError(
            f"config.data.decode_scale is {scale}, and the image of galaxy {galaxy_id} "
            f"has {size[1]} x {size[0]} px: sides must be multiples of {scale}; take "
            "decode_scale=1"
        )
