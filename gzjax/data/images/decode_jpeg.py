"""Checks JPEGs by their markers alone, and decodes them, as they are or smaller."""

import cv2
import numpy as np

from gzjax.errors import UserError

MAX_PIXELS = 1 << 25  # h · w of an image that is decoded, 33.6 million
MAX_SIDE = 32766  # px; OpenCV warps none that are longer
_MAX_SCANS = 500  # a progressive JPEG has ten; each takes as long as a whole image

_START_OF_IMAGE = b"\xff\xd8"
_END_OF_IMAGE = b"\xff\xd9"
_START_OF_SCAN = 0xDA
_NO_PAYLOAD = frozenset([0x01, *range(0xD0, 0xD8)])
# C4, C8 and CC lie among the start-of-frame markers and are none.
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
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
        BadImageError: the data are not a JPEG, or one that would take gigabytes or
            minutes; or its sides are not multiples of ``scale``, so that its centre
            would move.
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


def jpeg_problem(data: bytes) -> str | None:
    """Returns what is wrong with an image, or None if it is a whole 8-bit RGB JPEG.

    That is ``"unreadable: ..."``, ``"too large: ..."`` or ``"not RGB: ..."``. Damage
    inside the compressed pixels goes unnoticed: only decoding finds it.
    """
    if not data:
        return "unreadable: no bytes at all"
    if not data.startswith(_START_OF_IMAGE):
        return "unreadable: not a JPEG (the challenge has JPEG only)"
    frame, scan = _find_frame_and_scan(data)
    if frame is None:
        return "unreadable: damaged or truncated JPEG header"
    # Searched from the scan on: an embedded thumbnail has an end marker of its own.
    if scan is None or data.rfind(_END_OF_IMAGE, scan) < 0:
        return "unreadable: truncated JPEG, no end-of-image marker"
    height, width = _size(data, frame)
    bits, components = data[frame], data[frame + 5]
    if bits != 8 or not height or not width:
        return f"unreadable: JPEG of {width}x{height} pixels with {bits} bits"
    if components != 3:
        name = {1: "grey", 4: "CMYK"}.get(components, "unknown colours")
        return f"not RGB: {name}, {components} component{'s'[: components > 1]}"
    return excess(data, height, width)


def excess(data: bytes, height: int, width: int) -> str | None:
    """Returns why a JPEG takes too much memory or time to decode, or None."""
    if height * width > MAX_PIXELS or max(height, width) > MAX_SIDE:
        return f"too large: JPEG of {width}x{height} pixels"
    if data.count(bytes([0xFF, _START_OF_SCAN])) > _MAX_SCANS:
        return f"too large: JPEG of more than {_MAX_SCANS} scans"
    return None


def jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Returns the (height, width) that a JPEG's header tells, or None without one."""
    if not data.startswith(_START_OF_IMAGE):
        return None
    frame, _ = _find_frame_and_scan(data)
    return None if frame is None else _size(data, frame)


def _find_frame_and_scan(data: bytes) -> tuple[int | None, int | None]:
    """Returns where the payloads of start-of-frame and start-of-scan begin."""
    frame = None
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # any number of FF may fill the space before a marker
            at += 1
        elif marker == 0:  # no marker: decoders look on from here, and not behind it
            break
        elif marker in _NO_PAYLOAD:
            at += 2
        elif marker == _START_OF_SCAN:
            return frame, at + 4
        else:
            if marker in _START_OF_FRAME:
                frame = at + 4
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return frame, None


def _size(data: bytes, frame: int) -> tuple[int, int]:
    height, width = data[frame + 1 : frame + 3], data[frame + 3 : frame + 5]
    return int.from_bytes(height, "big"), int.from_bytes(width, "big")
