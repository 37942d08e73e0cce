"""Reads FITS images with astropy, which is needed for these only."""

import io
import math

import numpy as np
from PIL import Image, UnidentifiedImageError

from gzjax.errors import UserError

FITS_START = b"SIMPLE  ="

_BLOCK_BYTES = 2880  # FITS files are whole blocks
# The others' decoders (astropy 8.0) crash the process on damaged bytes.
_COMPRESSIONS = ("RICE_1", "GZIP_1", "GZIP_2", "NOCOMPRESS")


def read_fits(data: bytes, max_pixels: int) -> np.ndarray:
    """Returns the first image of a FITS file: primary or an extension.

    Args:
        data: the whole file. The image may be compressed by tiles, with RICE or GZIP.
        max_pixels: h · w at most, or the third of it for three planes.

    Returns:
        Float [1 h w], or [3 h w] of a cube of three planes, which are red, green and
        blue in this order. FITS counts rows from the bottom; here the first is the
        top one, as viewers show it. Values are scaled as the header says, and NaN
        where they are blank.

    Raises:
        UserError: astropy is not installed.
        EOFError: the file ends too early.
        PIL.UnidentifiedImageError: the file holds no image, but perhaps tables.
        PIL.Image.DecompressionBombError: the image has more pixels.
        ValueError: the image has neither one plane nor three, or another compression.
        Exception: whatever else astropy raises on a damaged file.
    """
    fits = import_fits()
    try:
        with fits.open(io.BytesIO(data), memmap=False) as file:
            return _first_image(file, len(data), max_pixels)
    except Image.DecompressionBombError:
        raise
    except Exception as error:
        if len(data) % _BLOCK_BYTES:
            raise EOFError("the file ends within a block") from error
        raise


def _first_image(file, num_bytes: int, max_pixels: int) -> np.ndarray:
    images = (hdu for hdu in file if hdu.is_image and len(hdu.shape) >= 2)
    hdu = next(images, None)
    if hdu is None:
        raise UnidentifiedImageError("a FITS file without an image")
    *cube, height, width = hdu.shape
    num_planes = math.prod(cube)
    if num_planes * height * width > max_pixels:
        raise Image.DecompressionBombError(f"an image of {width}x{height} pixels")
    if num_planes not in (1, 3):
        raise ValueError(f"a cube of {num_planes} planes, which is not grey or RGB")
    packing = getattr(hdu, "compression_type", None)
    if packing is not None and packing not in _COMPRESSIONS:
        raise ValueError(f"{packing} is not read")
    # A missing end of the last block, which holds no data, is common.
    place = hdu.fileinfo()
    if place["datLoc"] + place["datSpan"] >= num_bytes + _BLOCK_BYTES:
        raise EOFError("the file ends before its data")
    return np.asarray(hdu.data).reshape(num_planes, height, width)[:, ::-1]


def import_fits():
    """Returns astropy.io.fits; raises UserError if astropy is not installed."""
    try:
        from astropy.io import fits
    except ImportError as error:
        raise UserError(
            "FITS images need the library astropy, which is not installed\n"
            "What to do: pip install 'gzjax[fits]'"
        ) from error
    return fits
