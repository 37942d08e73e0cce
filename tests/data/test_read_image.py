"""Bytes become the pixels that they mean, or a flag; never an exception."""

import gzip
import io
import struct
import warnings
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from gzjax.data.images import read_image as module
from gzjax.data.images.cutouts import find_cutouts
from gzjax.data.images.decode_jpeg import decode
from gzjax.data.images.read_image import (
    BLANK,
    EMPTY,
    FLAGS,
    MAX_BYTES,
    NOT_AN_IMAGE,
    OK,
    TOO_LARGE,
    TRUNCATED,
    UNREADABLE,
    read_cutout,
    read_image,
)
from gzjax.data.images.stretch import Stretch
from gzjax.errors import UserError

STRETCH = Stretch()
LOSSLESS = ("PNG", "BMP", "PPM", "TIFF", "WEBP", "JPEG2000")
SPECKLED = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
SMOOTH = cv2.resize(SPECKLED[:5, :6], (50, 40), interpolation=cv2.INTER_CUBIC)


def encode(image, kind, **options):
    if not isinstance(image, Image.Image):
        image = Image.fromarray(image)
    if kind == "WEBP":
        options["lossless"] = True
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def pixels(data, stretch=STRETCH):
    """What an image must give."""
    image, flag = read_image(data, stretch)
    assert flag == OK
    assert (image.dtype, image.shape[2:]) == (np.uint8, (3,))
    assert image.flags.c_contiguous
    return image


def flag_of(data):
    """What anything else must give."""
    image, flag = read_image(data, STRETCH)
    assert image is None
    return flag


@pytest.mark.parametrize("kind", LOSSLESS)
def test_what_is_lossless_comes_back_and_grey_as_rgb(kind):
    grey = SPECKLED[..., 0]
    np.testing.assert_array_equal(pixels(encode(SPECKLED, kind)), SPECKLED)
    np.testing.assert_array_equal(pixels(encode(grey, kind)), np.stack([grey] * 3, -1))


@pytest.mark.parametrize("kind", ["JPEG", "GIF"])
def test_what_is_not_comes_back_about(kind):
    error = pixels(encode(SMOOTH, kind)).astype(int) - SMOOTH
    assert np.abs(error).mean() < 8


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg_is_decoded_as_for_training(mode, progressive):
    rotated = Image.Exif()
    rotated[0x0112] = 6
    image = Image.fromarray(SMOOTH).convert(mode)
    data = encode(image, "JPEG", exif=rotated, progressive=progressive)
    np.testing.assert_array_equal(pixels(data), decode(data, 0))
    np.testing.assert_array_equal(pixels(data + b"trailing"), decode(data, 0))
    expected = image.convert("RGB")
    assert np.abs(pixels(data).astype(int) - np.asarray(expected)).mean() < 8


def test_orientation_in_exif_is_ignored():
    rotated = Image.Exif()
    rotated[0x0112] = 6
    for kind in ("PNG", "WEBP"):
        image = pixels(encode(SPECKLED, kind, exif=rotated))
        np.testing.assert_array_equal(image, SPECKLED)


def test_palettes_single_bits_and_cmyk_become_rgb():
    for kind, image in (
        ("PNG", Image.fromarray(SMOOTH).quantize(16)),
        ("TIFF", Image.fromarray(SPECKLED).convert("CMYK")),
    ):
        expected = np.asarray(image.convert("RGB"))
        np.testing.assert_array_equal(pixels(encode(image, kind)), expected)
    bits = Image.fromarray(SPECKLED[..., 0] > 99)
    for kind in ("PNG", "PPM", "TIFF"):
        values = np.asarray(bits) * np.uint8(255)
        np.testing.assert_array_equal(pixels(encode(bits, kind))[..., 2], values)


def test_alpha_lies_over_black():
    alpha = np.arange(2000, dtype=np.int64).reshape(40, 50) % 256
    rgba = np.dstack([SPECKLED, alpha.astype(np.uint8)])
    expected = SPECKLED * (alpha[..., None] / 255)
    for kind in ("PNG", "TIFF"):
        assert np.abs(pixels(encode(rgba, kind)) - expected).max() <= 1
    grey_alpha = Image.fromarray(rgba[..., [0, 3]])
    assert grey_alpha.mode == "LA"
    image = pixels(encode(grey_alpha, "PNG"))
    assert np.abs(image[..., 1] - expected[..., 0]).max() <= 1


def test_a_transparent_colour_is_black():
    palette = Image.fromarray(SMOOTH).quantize(16)
    clear = np.asarray(palette) == 3
    for kind in ("PNG", "GIF"):
        image = pixels(encode(palette, kind, transparency=3))
        expected = np.where(clear[..., None], 0, np.asarray(palette.convert("RGB")))
        np.testing.assert_array_equal(image, expected)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_greys_of_16_bits_are_scaled_not_clipped(kind):
    grey = np.linspace(0, 65535, 2000).astype(np.uint16).reshape(40, 50)
    image = pixels(encode(grey, kind))
    expected = np.floor(grey * (255 / 65535) + 0.5)
    np.testing.assert_array_equal(image, np.stack([expected] * 3, -1))


def test_colours_of_16_bits_are_scaled_not_clipped():
    deep = cv2.imencode(".png", SPECKLED[..., ::-1].astype(np.uint16) * 257)[1]
    np.testing.assert_array_equal(pixels(deep.tobytes()), SPECKLED)


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_values_without_a_range_are_stretched(dtype):
    values = (np.arange(2000).reshape(40, 50) * 1000 - 500).astype(dtype)
    stretch = Stretch("linear", 0, 100)
    image = pixels(encode(values, "TIFF"), stretch)
    np.testing.assert_array_equal(image, stretch(values[None]))
    assert (image[0, 0, 0], image[-1, -1, 0]) == (0, 255)


def test_the_first_frame_is_taken():
    first = np.full((9, 9), 10, np.uint8)
    first[4, 4] = 90
    frames = [Image.fromarray(x) for x in (first, first + 100)]
    for kind in ("GIF", "TIFF", "PNG"):
        data = encode(frames[0], kind, save_all=True, append_images=frames[1:])
        np.testing.assert_array_equal(pixels(data)[..., 1], first)


def test_gzip_is_undone():
    data = gzip.compress(encode(SPECKLED, "PNG"))
    np.testing.assert_array_equal(pixels(data), SPECKLED)
    assert flag_of(data[:-20]) == TRUNCATED
    assert flag_of(data[:5] + b"\xff" * 50) == UNREADABLE
    assert flag_of(gzip.compress(b"text")) == NOT_AN_IMAGE


@pytest.mark.parametrize(
    "data",
    [
        b"\0",
        b"text\n" * 99,
        b"GalaxyID,Class1.1\n",
        b"\xff\xd8 no JPEG",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",  # would run Ghostscript
        b"%PDF-1.7",
        zlib.compress(bytes(9999)),
        bytes(4096),
    ],
)
def test_what_is_no_image_is_called_so(data):
    assert flag_of(data) == NOT_AN_IMAGE


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "GIF", "PPM"])
@pytest.mark.parametrize("share", [0.3, 0.7, 0.95])
def test_what_ends_early_is_truncated(kind, share):
    data = encode(SPECKLED, kind)
    assert flag_of(data[: int(len(data) * share)]) == TRUNCATED


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_a_beginning_alone_is_an_image_that_cannot_be_read(kind):
    assert flag_of(encode(SPECKLED, kind)[:12]) in (TRUNCATED, UNREADABLE)


def test_damage_in_a_header_or_of_a_checksum_is_unreadable():
    data = encode(SMOOTH, "JPEG")
    frame = data.index(b"\xff\xc0")
    for at, value in ((frame, 0), (frame + 4, 12)):
        damaged = bytearray(data)
        damaged[at] = value
        assert flag_of(bytes(damaged)) == UNREADABLE
    data = bytearray(encode(SPECKLED, "PNG"))
    data[len(data) // 2] ^= 1
    assert flag_of(bytes(data)) == UNREADABLE


def claim_size(width, height):
    """A PNG that says to be so large."""
    data = encode(SPECKLED, "PNG")
    header = b"IHDR" + struct.pack(">II", width, height) + data[24:29]
    return data[:12] + header + struct.pack(">I", zlib.crc32(header)) + data[33:]


def test_too_large_is_said_before_decoding(monkeypatch):
    # The second and third are those that Pillow warns of and refuses by itself.
    for width, height in ((5793, 5793), (10_000, 10_000), (2**20, 2**20)):
        assert flag_of(claim_size(width, height)) == TOO_LARGE
    assert flag_of(claim_size(5792, 5792)) in (TRUNCATED, UNREADABLE)
    assert flag_of(bytes(MAX_BYTES + 1)) == TOO_LARGE
    assert flag_of(bytes(MAX_BYTES)) == NOT_AN_IMAGE
    monkeypatch.setattr(module, "MAX_PIXELS", 1999)
    for kind in (*LOSSLESS, "JPEG", "GIF"):
        assert flag_of(encode(SMOOTH, kind)) == TOO_LARGE
    monkeypatch.setattr(module, "MAX_BYTES", 10_000)
    assert flag_of(gzip.compress(bytes(10_001))) == TOO_LARGE


def test_libraries_warn_nobody():
    tags = encode(SPECKLED, "TIFF", software="x" * 50)
    damaged = tags.replace(b"x" * 50, b"x" * 40)[:-9]
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        read_image(claim_size(10_000, 10_000), STRETCH)
        read_image(damaged, STRETCH)
        num_filters = len(warnings.filters)
        read_image(damaged, STRETCH)
        assert len(warnings.filters) == num_filters
        warnings.warn("of others", UserWarning, stacklevel=1)
    assert [str(warning.message) for warning in seen] == ["of others"]


@pytest.mark.parametrize("kind", [*LOSSLESS, "JPEG", "GIF"])
def test_damage_never_raises(kind):
    data = encode(SMOOTH, kind)
    rng = np.random.default_rng(1)
    flags = set()
    for _ in range(40):
        flipped = np.frombuffer(data, np.uint8).copy()
        places = rng.integers(0, len(data), rng.integers(1, 9))
        flipped[places] = rng.integers(0, 256, len(places))
        for damaged in (flipped.tobytes(), data[: rng.integers(len(data))]):
            image, flag = read_image(damaged, STRETCH)
            assert (image is not None) == (flag == OK)
            if flag == OK:
                assert (image.dtype, image.ndim) == (np.uint8, 3)
                assert image.size
            flags.add(flag)
    assert flags <= set(FLAGS)
    assert flags & {TRUNCATED, UNREADABLE, NOT_AN_IMAGE}


def test_what_goes_away_or_cannot_be_read_is_flagged(tmp_path, monkeypatch):
    (tmp_path / "1.png").write_bytes(encode(SMOOTH, "PNG"))
    cutouts = find_cutouts(tmp_path)
    assert read_cutout(cutouts, 0, STRETCH)[1] == OK
    with pytest.raises(IndexError):
        read_cutout(cutouts, 1, STRETCH)
    (tmp_path / "1.png").unlink()
    with pytest.raises(UserError, match="Was it moved, or is the disk gone"):
        read_cutout(cutouts, 0, STRETCH)  # which may pass: no flag

    def deny(index):
        raise PermissionError(13, "denied")

    monkeypatch.setattr(cutouts, "read", deny)
    assert read_cutout(cutouts, 0, STRETCH) == (None, UNREADABLE)


def test_blank_and_empty_images_are_flagged():
    grey = np.full((20, 30, 3), 7, np.uint8)
    assert flag_of(encode(grey, "PNG")) == BLANK
    grey[9, 9, 1] = 8
    assert read_image(encode(grey, "PNG"), STRETCH)[1] == OK
    assert flag_of(b"") == EMPTY
