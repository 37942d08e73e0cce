"""FITS images are read the right way up, from wherever they are in the file."""

import gzip
import io
import sys
import warnings

import numpy as np
import pytest
from astropy.io import fits
from PIL import Image, UnidentifiedImageError

from gzjax.data.images.fits import read_fits
from gzjax.data.images.read_image import (
    NOT_AN_IMAGE,
    OK,
    TOO_LARGE,
    TRUNCATED,
    UNREADABLE,
    read_image,
)
from gzjax.data.images.stretch import Stretch
from gzjax.errors import UserError

STRETCH = Stretch()
LIMIT = 10_000
# Counts of a gradient: brighter to the right, and to the top of the sky.
SKY = np.add.outer(100.0 * np.arange(60), np.arange(50)).astype(np.float32)
CUBE = np.stack([SKY, 2 * SKY, 3 * SKY])


def encode(*hdus):
    stream = io.BytesIO()
    fits.HDUList(list(hdus)).writeto(stream)
    return stream.getvalue()


def flag_of(data):
    image, flag = read_image(data, STRETCH)
    assert (image is not None) == (flag == OK)
    return flag


def test_grey_is_flipped_so_that_up_is_up():
    planes = read_fits(encode(fits.PrimaryHDU(SKY)), LIMIT)
    np.testing.assert_array_equal(planes, SKY[None, ::-1])
    image, flag = read_image(encode(fits.PrimaryHDU(SKY)), STRETCH)
    assert flag == OK
    np.testing.assert_array_equal(image, STRETCH(SKY[None])[::-1])
    assert image[0, 0, 0] > image[-1, -1, 0]


def test_planes_of_a_cube_are_red_green_and_blue():
    image, flag = read_image(encode(fits.PrimaryHDU(CUBE)), STRETCH)
    assert flag == OK
    np.testing.assert_array_equal(image, STRETCH(CUBE)[::-1])
    assert (image.mean(axis=(0, 1))[:-1] < image.mean(axis=(0, 1))[1:]).all()


@pytest.mark.parametrize("kind", ["HCOMPRESS_1", "PLIO_1"])
def test_compressions_of_which_damage_would_crash_are_not_read(kind):
    hdu = fits.CompImageHDU(SKY.astype(np.int16), compression_type=kind)
    with pytest.raises(ValueError, match=f"{kind} is not read"):
        read_fits(encode(fits.PrimaryHDU(), hdu), LIMIT)
    assert flag_of(encode(fits.PrimaryHDU(), hdu)) == UNREADABLE


@pytest.mark.parametrize("kind", ["RICE_1", "GZIP_1", "GZIP_2"])
def test_compressed_extensions_are_read(kind):
    counts = SKY.astype(np.int32)
    hdu = fits.CompImageHDU(counts, compression_type=kind)
    planes = read_fits(encode(fits.PrimaryHDU(), hdu), LIMIT)
    np.testing.assert_array_equal(planes, counts[None, ::-1])


def test_the_first_image_is_taken():
    table = fits.BinTableHDU.from_columns([fits.Column("a", "E", array=np.ones(3))])
    spectrum, sky, mask = (fits.ImageHDU(x) for x in (SKY[0], SKY, SKY * 0))
    data = encode(fits.PrimaryHDU(), table, spectrum, sky, mask)
    np.testing.assert_array_equal(read_fits(data, LIMIT), SKY[None, ::-1])


def test_axes_of_length_one_do_not_count():
    data = encode(fits.PrimaryHDU(CUBE[:, None]))
    np.testing.assert_array_equal(read_fits(data, LIMIT), CUBE[:, ::-1])
    data = encode(fits.PrimaryHDU(SKY[None, None]))
    np.testing.assert_array_equal(read_fits(data, LIMIT), SKY[None, ::-1])


def test_values_are_scaled_and_blanks_become_black():
    hdu = fits.PrimaryHDU(np.array([[0, 1, 2], [3, 4, -999]], np.int16))
    hdu.header["BLANK"] = -999
    hdu.header["BSCALE"], hdu.header["BZERO"] = 0.5, 10.0
    data = encode(hdu)
    expected = [[[11.5, 12.0, np.nan], [10.0, 10.5, 11.0]]]
    np.testing.assert_array_equal(read_fits(data, LIMIT), expected)
    image, flag = read_image(data, Stretch("linear", 0, 100))
    assert flag == OK
    assert image[..., 0].tolist() == [[191, 255, 0], [0, 64, 128]]


def test_gzipped_files_are_read():
    image, flag = read_image(gzip.compress(encode(fits.PrimaryHDU(SKY))), STRETCH)
    assert flag == OK
    np.testing.assert_array_equal(image, STRETCH(SKY[None])[::-1])


def test_a_file_of_no_image_is_none():
    table = fits.BinTableHDU.from_columns([fits.Column("a", "E", array=np.ones(3))])
    for hdus in ([fits.PrimaryHDU()], [fits.PrimaryHDU(), table]):
        with pytest.raises(UnidentifiedImageError):
            read_fits(encode(*hdus), LIMIT)
        assert flag_of(encode(*hdus)) == NOT_AN_IMAGE


def test_what_is_neither_grey_nor_rgb_is_unreadable():
    assert flag_of(encode(fits.PrimaryHDU(np.zeros((5, 8, 8))))) == UNREADABLE
    assert flag_of(encode(fits.PrimaryHDU(np.full((8, 8), np.nan)))) == UNREADABLE


def test_what_ends_early_is_truncated():
    plain = encode(fits.PrimaryHDU(SKY))
    packed = encode(fits.PrimaryHDU(), fits.CompImageHDU(SKY))
    for data in (plain, packed):
        for num_bytes in (1000, 2880 + 1000, len(data) // 2, len(data) - 2880):
            assert flag_of(data[:num_bytes]) == TRUNCATED
    assert flag_of(plain[: 2880 + SKY.nbytes]) == OK  # only padding is missing


def test_too_large_is_said_before_the_pixels_are_read():
    with pytest.raises(Image.DecompressionBombError):
        read_fits(encode(fits.PrimaryHDU(SKY)), SKY.size - 1)
    header = fits.PrimaryHDU(SKY).header
    header["NAXIS1"] = header["NAXIS2"] = 100_000
    assert flag_of(header.tostring().encode()) == TOO_LARGE


def test_damage_never_raises_and_nobody_is_warned():
    rng = np.random.default_rng(2)
    packed = encode(fits.PrimaryHDU(), fits.CompImageHDU(SKY))
    signalling = SKY.view(np.uint32).copy()
    signalling[0, :5] = 0x7FA00000  # a NaN at which processors raise a flag
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        flag_of(encode(fits.PrimaryHDU(signalling.view(np.float32))))
        for data in (encode(fits.PrimaryHDU(CUBE[:, :20])), packed):
            for _ in range(60):
                flipped = np.frombuffer(data, np.uint8).copy()
                places = rng.integers(9, len(data), 9)
                flipped[places] = rng.integers(0, 256, 9)
                flag_of(flipped.tobytes())
                flag_of(data[: rng.integers(9, len(data))])
    assert not [str(warning.message) for warning in seen]


def test_says_how_to_install_astropy(monkeypatch):
    data = encode(fits.PrimaryHDU(SKY))
    monkeypatch.setitem(sys.modules, "astropy.io", None)
    with pytest.raises(UserError, match=r"pip install 'gzjax\[fits\]'"):
        read_image(data, STRETCH)
