"""Reads image files of any format as pixels, or as a word that says why not."""

import errno
import io
import math
import re
import warnings
import zlib

import numpy as np
from PIL import Image, UnidentifiedImageError

from gzjax.data.images.cutouts import Cutouts
from gzjax.data.images.decode_jpeg import (
    MAX_PIXELS,
    MAX_SIDE,
    BadImageError,
    decode,
    jpeg_problem,
    jpeg_size,
)
from gzjax.data.images.fits import FITS_START, read_fits
from gzjax.data.images.shrink import ORIGINAL, Shrink, block_means
from gzjax.data.images.store import MAX_BYTES, MISSING_SIZE
from gzjax.data.images.stretch import Stretch
from gzjax.errors import READ_ERRORS, UserError, reason

OK = "ok"
MISSING = "missing"  # there is no such file
EMPTY = "empty"  # of no bytes
TRUNCATED = "truncated"  # it ends before its image does
NOT_AN_IMAGE = "not an image"  # or of a format that is not read
TOO_LARGE = "too large"  # more than MAX_BYTES, MAX_PIXELS, or MAX_SIDE
UNREADABLE = "unreadable"  # an image, but damaged, or of a kind that is not read
BLANK = "blank"  # of one value everywhere, as off a survey's edge
# Chunks of predictions hold positions in this: add at the end only.
FLAGS = (OK, MISSING, EMPTY, TRUNCATED, NOT_AN_IMAGE, TOO_LARGE, UNREADABLE, BLANK)

# Pillow also knows formats without a signature, which claim files that are none of
# theirs, and formats (EPS) for which it runs other programs.
_FORMATS = ("BMP", "GIF", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
_JPEG_START, _JPEG_END = b"\xff\xd8\xff", b"\xff\xd9"
_FOR_GOOD = (errno.EACCES, errno.EPERM, errno.EISDIR, errno.ENAMETOOLONG)
_GZIP_START = b"\x1f\x8b"
# Files that start so are images, even if too little is left for Pillow to know them.
_IMAGE_STARTS = (b"\x89PNG\r\n\x1a\n", b"GIF8", b"II*\0", b"MM\0*")
_MUTED = ("ignore", None, Warning, re.compile(r"(PIL|astropy)\b"), 0)


def read_cutout(
    cutouts: Cutouts, index: int, stretch: Stretch, shrink: Shrink = ORIGINAL
) -> tuple[np.ndarray | None, str]:
    """Returns :func:`read_image` of a file, or the flag of one that cannot be read.

    Raises:
        IndexError: there is no such position.
        UserError: as for :func:`read_image`; or a file that was listed has gone or
            its disk fails, which may pass.
    """
    if not 0 <= index < len(cutouts):  # which is among READ_ERRORS
        raise IndexError(f"no image {index}: there are {len(cutouts)}")
    try:
        data = cutouts.read(index)
    except OSError as error:
        if cutouts.sizes[index] == MISSING_SIZE:
            return None, MISSING
        if error.errno in _FOR_GOOD:
            return None, UNREADABLE
        raise UserError(
            f"{cutouts.path}: {cutouts.names[index]} cannot be read any more: "
            f"{reason(error)}\nWas it moved, or is the disk gone? Put it back, and "
            "run the same command again to resume"
        ) from error
    except READ_ERRORS:
        return None, UNREADABLE
    return read_image(data, stretch, shrink)


def read_image(
    data: bytes, stretch: Stretch, shrink: Shrink = ORIGINAL
) -> tuple[np.ndarray | None, str]:
    """Decodes an image file of a format known by its first bytes.

    JPEG is decoded as for training, to the same bits. Pillow reads BMP, GIF,
    JPEG 2000, PNG, PPM, TIFF and WebP: their first frame, alpha over black, palettes
    and CMYK as RGB, 16-bit greys by 255 / 65535, 32-bit greys by ``stretch``. astropy
    reads FITS (see :func:`gzjax.data.images.fits.read_fits`), by ``stretch``. Any of
    them may be compressed by gzip. Orientation in EXIF is ignored, as in training; a
    TIFF's own is obeyed. Damage that leaves an image decodable goes unnoticed.

    Args:
        data: the whole file; of more than ``MAX_BYTES`` the rest may be missing.
        stretch: for values without a range of their own.
        shrink: by how much to make it smaller.

    Returns:
        uint8 RGB [h w 3], and ``OK``; or None, and another of ``FLAGS``.

    Raises:
        UserError: the file is FITS, and astropy is not installed.
    """
    if not data:
        return None, EMPTY
    if len(data) > MAX_BYTES:
        return None, TOO_LARGE
    # Flags say what the libraries warn of. Not catch_warnings: threads share filters.
    if _MUTED not in warnings.filters:
        warnings.filterwarnings("ignore", module=_MUTED[3].pattern)
    try:
        image = _decode(_unzipped(data), stretch, shrink)
        _check_size(max(image.shape), MAX_SIDE)
        return flag_blank(image)
    except BadImageError:
        return None, UNREADABLE
    except UserError:
        raise
    except Exception as error:  # libraries raise anything on damaged bytes
        return None, _flag(error)


def flag_blank(image: np.ndarray) -> tuple[np.ndarray | None, str]:
    """Returns ``image`` and ``OK``, or None and ``BLANK``."""
    few = image[::64, ::64]  # enough to see that most are not blank; 10 times as fast
    is_blank = few.min() == few.max() and image.min() == image.max()
    return (None, BLANK) if is_blank else (image, OK)


def _flag(error: Exception) -> str:
    if isinstance(error, Image.DecompressionBombError):
        return TOO_LARGE
    if isinstance(error, UnidentifiedImageError):
        return NOT_AN_IMAGE
    # Pillow has no exception of its own for this.
    ends_early = isinstance(error, EOFError) or "truncated" in str(error).lower()
    return TRUNCATED if ends_early else UNREADABLE


def _unzipped(data: bytes) -> bytes:
    if not data.startswith(_GZIP_START):
        return data
    stream = zlib.decompressobj(wbits=31)
    content = stream.decompress(data, MAX_BYTES + 1)
    _check_size(len(content), MAX_BYTES)
    if not stream.eof:
        raise EOFError("the gzip stream has no end")
    return content


def _check_size(size: int, limit: int) -> None:
    if size > limit:
        raise Image.DecompressionBombError(f"{size} is more than {limit}")


def _decode(data: bytes, stretch: Stretch, shrink: Shrink) -> np.ndarray:
    if data.startswith(FITS_START):
        return shrink(stretch(read_fits(data, MAX_PIXELS)))
    if data.startswith(_JPEG_START):
        return _decode_jpeg(data, shrink)
    try:
        image = Image.open(io.BytesIO(data), formats=_FORMATS)
    except UnidentifiedImageError as error:
        if data.startswith(_IMAGE_STARTS):
            raise ValueError("damaged or unknown header") from error
        raise
    _check_size(image.width * image.height, MAX_PIXELS)
    return shrink(_to_rgb(image, stretch))


def _decode_jpeg(data: bytes, shrink: Shrink) -> np.ndarray:
    problem = jpeg_problem(data) or ""
    if problem.startswith("too large"):
        raise Image.DecompressionBombError(problem)
    if problem.startswith("unreadable"):
        if data.endswith(_JPEG_END):
            raise ValueError("damaged or unknown header")
        raise EOFError(problem)
    size = jpeg_size(data)
    _check_size(math.prod(size), MAX_PIXELS)
    scale = shrink.in_decoding(*size)
    return block_means(decode(data, 0, scale), shrink.factor(*size) // scale)


def _to_rgb(image: Image.Image, stretch: Stretch) -> np.ndarray:
    image.load()
    # PGM of more than 8 bits is "I", but scaled by Pillow to 65535.
    if image.mode.startswith("I;16") or (image.mode, image.format) == ("I", "PPM"):
        grey = (np.asarray(image).astype(np.uint32) + 128) // 257
        return np.repeat(grey.astype(np.uint8)[..., None], 3, axis=-1)
    if image.mode in ("I", "F"):
        return stretch(np.asarray(image)[None])
    if image.has_transparency_data:
        black = Image.new("RGBA", image.size, "black")
        image = Image.alpha_composite(black, image.convert("RGBA"))
    return np.array(image.convert("RGB"))
