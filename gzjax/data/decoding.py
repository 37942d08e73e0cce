"""From encoded bytes to pixels."""

import cv2
import numpy as np

from gzjax.errors import UserError


def decode(data: bytes, galaxy_id: int) -> np.ndarray:
    """uint8 RGB ``[h w 3]`` of an encoded image.

    Raises:
        UserError: not an image; names the galaxy.
    """
    flags_ = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
    buffer = np.frombuffer(data, np.uint8)
    image = cv2.imdecode(buffer, flags_) if len(buffer) else None
    if image is None:
        raise UserError(
            f"the image of galaxy {galaxy_id} cannot be decoded; "
            "replace it, or remove its row"
        )
    return image
