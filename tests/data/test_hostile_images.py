"""Images meant to fill the memory or to take ages: refused by name, before decoding."""

import gzip
import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from hostile import claiming, jpeg, refusal, run_in_little_memory, watched
from PIL import Image

from gzjax.data.detections.detect import detect
from gzjax.data.images.decode_jpeg import BadImageError, decode, jpeg_problem, jpeg_size
from gzjax.data.images.read_image import TOO_LARGE, read_image
from gzjax.data.images.stretch import Stretch
from gzjax.data.sources.survey import open_survey
from gzjax.trees import Question, Tree

TREE = Tree("mine", (Question("bar", ("yes", "no")),))
SIZES = [(60_000, 60_000), (30_000, 30_000), (65_535, 300), (5_800, 5_800)]


@pytest.fixture
def folder(tmp_path):
    with watched(tmp_path) as inside:
        yield inside


@pytest.mark.parametrize("size", SIZES)
def test_jpeg_that_claims_too_much_is_never_decoded(size):
    data, found = claiming(*size), f"too large: JPEG of {size[0]}x{size[1]} pixels"
    assert jpeg_problem(data) == found
    with pytest.raises(BadImageError, match=f"galaxy 8 cannot be decoded .{found}"):
        decode(data, 8)
    assert read_image(data, Stretch()) == (None, TOO_LARGE)


def test_survey_names_it_and_detect_flags_it(folder):
    images = folder / "images_training_rev1"
    images.mkdir()
    (images / "7.jpg").write_bytes(jpeg())
    (images / "8.jpg").write_bytes(claiming(60_000, 60_000))
    (folder / "labels.csv").write_text("name,bar.yes,bar.no\n7,1,0\n8,1,0\n")
    text = refusal(open_survey, folder / "labels.csv", images, TREE)
    assert "images: too large: 1 (name 8.jpg)" in text
    table = detect(folder, num_workers=0)
    assert table.read_text().splitlines()[-1] == "8,0.000,0.000,nan,unreadable"


def test_limits_of_a_jpeg_are_those_of_images_that_can_be_warped():
    for size in ((5792, 5793), (32_766, 1024)):
        assert jpeg_problem(claiming(*size)) is None
    for size in ((32_767, 8), (5793, 5793)):
        assert jpeg_problem(claiming(*size)).startswith("too large")


def test_jpeg_of_endless_scans_is_refused():
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    last = data[data.rindex(b"\xff\xda") : -2]
    assert decode(data[:-2] + last * 3 + data[-2:], 7).shape == (64, 64, 3)
    evil = data[:-2] + last * 600 + data[-2:]
    assert jpeg_problem(evil) == "too large: JPEG of more than 500 scans"
    with pytest.raises(BadImageError, match="more than 500 scans"):
        decode(evil, 7)
    assert read_image(evil, Stretch()) == (None, TOO_LARGE)


def test_header_that_only_decoders_see_is_not_skipped():
    # FF 00 is no marker. A reader that skips a segment there sees the small header
    # behind it; a decoder, which reads on at once, the large one within.
    large, small = claiming(30_000, 30_000), jpeg()
    hidden = b"\xff\x00" + struct.pack(">H", len(large)) + large[2:]
    evil = small[:2] + hidden + small[2:]
    assert jpeg_size(evil) is None
    with pytest.raises(BadImageError, match="not a JPEG"):
        decode(evil, 7)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP", "WEBP"])
def test_other_formats_are_not_decoded_for_training(kind):
    stream = io.BytesIO()
    Image.new("RGB", (9, 9)).save(stream, kind)
    with pytest.raises(BadImageError, match=r"galaxy 8 cannot be decoded .not a JPEG"):
        decode(stream.getvalue(), 8)


def png(width, height, *chunks):
    """A PNG whose pixels are all of what zlib makes least of."""

    def chunk(kind, data):
        crc = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc)

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = [(b"IHDR", head), *chunks, (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def test_png_of_inflating_text_is_refused():
    text = b"k\0\0" + zlib.compress(bytes(200 << 20), 1)
    pixels = zlib.compress(bytes(3 * (1 + 3 * 3)))
    data = png(3, 3, (b"zTXt", text), (b"IDAT", pixels))
    image, flag = read_image(data, Stretch())
    assert image is None
    assert flag != "ok"


BOMBS = """
import gzip, sys
from pathlib import Path
from gzjax.data.images.read_image import read_image
from gzjax.data.images.stretch import Stretch
for path in sorted(Path(sys.argv[1]).iterdir()):
    print(path.name, read_image(path.read_bytes(), Stretch())[1])
"""


def test_bombs_of_every_format_are_flagged_in_little_memory(folder):
    fits = pytest.importorskip("astropy.io.fits")
    for size in (60_000, 2**31 - 1):
        (folder / f"{size}.png").write_bytes(png(size, size, (b"IDAT", b"x" * 99)))
    for mode, kind in (("1", "tiff"), ("1", "gif"), ("1", "bmp"), ("L", "jp2")):
        stream = io.BytesIO()
        options = {"compression": "group4"} if kind == "tiff" else {}
        pillows = "JPEG2000" if kind == "jp2" else kind
        Image.new(mode, (6000, 6000)).save(stream, pillows, **options)
        (folder / f"image.{kind}").write_bytes(stream.getvalue())
    cube = fits.CompImageHDU(np.zeros((3, 3400, 3400), np.uint8))
    cube.writeto(folder / "cube.fits")
    (folder / "image.ppm").write_bytes(b"P6 60000 60000 255 " + bytes(99))
    (folder / "once.gz").write_bytes(gzip.compress(bytes(100 << 20), 1))
    nested = gzip.compress(gzip.compress(bytes(60 << 20), 1))
    (folder / "twice.gz").write_bytes(nested)
    names = sorted(path.name for path in folder.iterdir())
    expected = [
        f"{n} {'not an image' if n == 'twice.gz' else TOO_LARGE}" for n in names
    ]
    assert run_in_little_memory(BOMBS, folder) == expected


def test_images_too_long_to_be_warped_are_flagged():
    image = np.zeros((40, 40_000, 3), np.uint8)
    image[0, 0] = 255
    data = cv2.imencode(".png", image)[1].tobytes()
    assert read_image(data, Stretch()) == (None, TOO_LARGE)
