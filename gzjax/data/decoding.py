"""From encoded bytes to pixels."""

import cv2
import numpy as np

from gzjax.data.jpeg_check import MAX_PIXELS, claimed_pixels
from gzjax.errors import UserError


class BadImageError(UserError):
    """An image without pixels.

    Attributes:
        code: why, for sources that know several reasons; at least 1.
    """

    def __init__(self, message: str, code: int = 1):
        super().__init__(message)
        self.code = code


def decode(data: bytes, galaxy_id: int) -> np.ndarray:
    """uint8 RGB ``[h w 3]`` of an encoded image.

    Raises:
        BadImageError: not a JPEG, or of more than ``MAX_PIXELS``, which would take
            gigabytes; names the galaxy.
    """
    if not 0 < claimed_pixels(data) <= MAX_PIXELS:
        raise BadImageError(
            f"the image of galaxy {galaxy_id} is no JPEG of 1 to {MAX_PIXELS:,} pixels;"
            " replace it, or remove its row"
        )
    flags_ = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
    buffer = np.frombuffer(data, np.uint8)
    image = cv2.imdecode(buffer, flags_)
    if image is None:
        raise BadImageError(
            f"the image of galaxy {galaxy_id} cannot be decoded; "
            "replace it, or remove its row"
        )
    return image
