"""Draws images that are not galaxies of the training, of every kind that is known."""

import itertools
import string

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from gzjax.data.familiar.scenery import draw_scenery
from gzjax.data.geometry import FRAME_PX
from gzjax.data.synthetic.galaxy import draw_parameters
from gzjax.data.synthetic.painter import render

ORDERS = tuple(itertools.permutations(range(3)))[1:]  # of bands that should be 0, 1, 2
# What an image resembles; positions are kept in files: change the format if these do.
KINDS = (
    "",
    *("bands in the order " + "".join("RGB"[i] for i in order) for order in ORDERS),
    "too small in the frame",
    "too large in the frame",
    "a drawn galaxy",
    "noise",
    "stars",
    "text",
    "a photograph",
    "nothing known",
)
TOO_SMALL = KINDS.index("too small in the frame")
TOO_LARGE = KINDS.index("too large in the frame")
UNKNOWN = len(KINDS) - 1
_LETTERS = string.ascii_letters + string.digits + "    .,:-+"
_FONTS = (0, 1, 2, 3, 4, 6, 7)  # of OpenCV
_PHOTOGRAPHS = ("grace_hopper.jpg", "Minduka_Present_Blue_Pack.png")


def draw_wrong(kind: int, rng: np.random.Generator, size_px: int) -> np.ndarray:
    """Returns a square image, uint8 RGB, of a kind that needs no galaxy."""
    image = _DRAWN[KINDS[kind]](rng, size_px)
    if image.dtype != np.uint8:
        image = np.clip(np.rint(image), 0, 255).astype(np.uint8)
    return image if rng.random() < 0.4 else as_jpeg(image, rng)


DRAWN_KINDS = range(TOO_LARGE + 1, UNKNOWN)  # those of draw_wrong


def as_jpeg(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Returns the image after a JPEG of random quality, 60 to 100."""
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(60, 101))]
    _, data = cv2.imencode(".jpg", image, quality)
    return cv2.imdecode(data, cv2.IMREAD_COLOR)


def resize_wrongly(
    image: np.ndarray, pixel_scale: float, kind: int, rng: np.random.Generator
) -> tuple[np.ndarray, float]:
    """Returns a galaxy's image and a pixel scale that is wrong, as ``kind`` says.

    Where the frame ends within the view, its border is repeated in several ways.
    """
    if kind == TOO_LARGE:
        factor = np.exp(rng.uniform(np.log(1.62), np.log(3)))
        if rng.random() < 0.5:  # a cutout that was made too close
            side = round(min(image.shape[:2]) / factor)
            top, left = ((n - side) // 2 for n in image.shape[:2])
            image = np.ascontiguousarray(image[top : top + side, left : left + side])
        # A finer file is sharper and noisier there than this one between its pixels.
        if rng.random() < 0.5:
            noise = rng.normal(0, rng.uniform(0, 2), (*image.shape[:2], 1))
            image = np.clip(np.rint(image + noise), 0, 255).astype(np.uint8)
        if rng.random() < 0.75:
            smooth = cv2.INTER_NEAREST if rng.random() < 0.8 else cv2.INTER_LANCZOS4
            image = cv2.resize(image, None, None, 4, 4, interpolation=smooth)
            pixel_scale /= 4
        return image, pixel_scale * factor
    factor = np.exp(rng.uniform(np.log(0.3), np.log(0.62)))
    border = rng.choice(
        [cv2.BORDER_REFLECT_101, cv2.BORDER_CONSTANT, cv2.BORDER_REPLICATE]
    )
    if border != cv2.BORDER_REFLECT_101:
        width = max(image.shape[:2])
        image = cv2.copyMakeBorder(image, *[width] * 4, int(border), value=(0, 0, 0))
    return image, pixel_scale * factor


def _drawn_galaxy(rng, size_px):
    return render(draw_parameters(rng), rng, size_px)


def _noise(rng, size_px):
    shape = (size_px, size_px, int(rng.choice([1, 3])))
    kind = rng.integers(6)
    if kind == 0:
        image = rng.uniform(0, rng.uniform(20, 256), shape)
    elif kind == 1:
        image = rng.normal(rng.uniform(5, 200), rng.uniform(3, 70), shape)
    elif kind == 2:  # a dark sky with nothing in it
        image = rng.normal(rng.uniform(2, 30), rng.uniform(1, 15), shape)
    elif kind == 3:
        image = 255.0 * (rng.random(shape) < rng.uniform(0.01, 0.99))
    elif kind == 4:
        image = rng.exponential(rng.uniform(3, 80), shape)
    else:
        image = rng.normal(rng.uniform(5, 128), rng.uniform(5, 40), shape)
    if kind == 5 or rng.random() < 0.25:
        mean, spread = image.mean(), image.std()
        smooth = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.6, 12))
        smooth = smooth.reshape(*smooth.shape[:2], -1)
        image = mean + (smooth - mean) * (spread / (smooth.std() + 1e-9))
    if rng.random() < 0.3:
        image = image * rng.uniform(0.5, 1.5, 3)
    return np.broadcast_to(image, (size_px, size_px, 3)).copy()


def _stars(rng, size_px):
    unit = size_px / FRAME_PX
    level, noise = rng.uniform(0, 25), rng.choice([0, rng.uniform(0.5, 8)])
    image = np.zeros((size_px, size_px, 3), np.float32)
    at = np.arange(size_px, dtype=np.float32) - (size_px - 1) / 2
    width = np.exp(rng.uniform(np.log(1.5), np.log(16))) * unit  # at half the height
    sharp, beta = rng.random() < 0.5, rng.uniform(1.8, 5)
    spikes = rng.random() < 0.3
    is_centred = rng.random() < 0.8
    number = rng.choice([1, rng.integers(2, 6), rng.integers(6, 120)])
    for i in range(number):
        centre = rng.normal(0, 4 * unit, 2)
        if i or not is_centred:
            centre = rng.uniform(-size_px / 2, size_px / 2, 2)
        bright = i == 0 or rng.random() < 0.1
        peak = np.exp(rng.uniform(np.log(60), np.log(4000 if bright else 400)))
        reach = size_px if bright else 8 * width
        columns, rows = (
            slice(*np.searchsorted(at, (middle - reach, middle + reach)))
            for middle in centre
        )
        x, y = at[columns] - centre[0], at[rows, None] - centre[1]
        squared = x**2 + y**2
        if sharp:
            light = np.exp(-squared / (2 * (width / 2.355) ** 2))
        else:
            core = width / (2 * np.sqrt(2 ** (1 / beta) - 1))
            light = (1 + squared / core**2) ** -beta
        if spikes and bright:
            length, thin = rng.uniform(8, 60) * unit, rng.uniform(0.6, 2) * unit
            for along, across in ((x, y), (y, x)):
                spike = np.exp(-np.abs(along) / length - (across / thin) ** 2 / 2)
                light = light + rng.uniform(0.02, 0.3) * spike
        colour = 1 + rng.normal(0, 0.2, 3) * (rng.random() < 0.7)
        image[rows, columns] += peak * light[..., None] * np.maximum(colour, 0.2)
    return image + level + rng.normal(0, 1, image.shape) * noise


def _text(rng, size_px):
    unit = size_px / FRAME_PX
    ink, paper = (255, 0) if rng.random() < 0.7 else (0, 255)
    if rng.random() < 0.2:
        ink, paper = ink + (paper - ink) * rng.uniform(0, 0.4, 2) * (1, -1)
        paper = 255 - ink if abs(ink - paper) < 90 else paper
    image = Image.new("RGB", (size_px, size_px), (int(paper),) * 3)
    height = np.exp(rng.uniform(np.log(9), np.log(130))) * unit
    lines = rng.integers(1, max(2, int(size_px / height)))
    top = (size_px - lines * height * 1.3) / 2 * rng.uniform(0, 1.2)
    draw = ImageDraw.Draw(image)
    pixels = np.array(image)
    with_pillow = rng.random() < 0.6
    for line in range(lines):
        letters = rng.choice(list(_LETTERS), rng.integers(3, 40))
        at = rng.uniform(0, 0.3) * size_px, top + line * height * 1.3
        colour = (int(ink),) * 3
        if with_pillow:
            font = ImageFont.load_default(max(4, height))
            draw.text(at, "".join(letters), colour, font)
            continue
        size = (int(at[0]), int(at[1] + height))
        thick = int(rng.integers(1, 2 + height // 8))
        face = int(rng.choice(_FONTS))
        cv2.putText(
            pixels, "".join(letters), size, face, height / 25, colour, thick, 16
        )
    return np.array(image) if with_pillow else pixels


def _photograph(rng, size_px):
    import matplotlib.cbook
    import matplotlib.image

    if rng.random() < 0.6:
        image = draw_scenery(rng, size_px)
    else:
        name = str(rng.choice(_PHOTOGRAPHS))
        with matplotlib.cbook.get_sample_data(name) as file:
            image = matplotlib.image.imread(file, format=name[-3:])[..., :3]
        image = image if image.dtype == np.uint8 else np.uint8(image * 255)
        side = int(rng.integers(min(image.shape[:2]) // 4, min(image.shape[:2])))
        top, left = (rng.integers(n - side + 1) for n in image.shape[:2])
        image = image[top : top + side, left : left + side]
        image = cv2.resize(image, (size_px, size_px), interpolation=cv2.INTER_AREA)
    if rng.random() < 0.5:
        image = np.rot90(image, rng.integers(4))
    image = 255 * (image / 255) ** np.exp(rng.normal(0, 0.3))
    if rng.random() < 0.3:
        image = np.repeat(image.mean(axis=2, keepdims=True), 3, 2)
    return image * rng.uniform(0.7, 1.1, 3 if rng.random() < 0.5 else 1)


_DRAWN = {
    "a drawn galaxy": _drawn_galaxy,
    "noise": _noise,
    "stars": _stars,
    "text": _text,
    "a photograph": _photograph,
}
