"""Makes examples to tell galaxies from wrong images by: statistics of both."""

from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import cv2
import numpy as np

from gzjax.data.familiar.statistics import crop, statistics
from gzjax.data.familiar.wrong_kinds import (
    DRAWN_KINDS,
    ORDERS,
    TOO_LARGE,
    TOO_SMALL,
    as_jpeg,
    draw_wrong,
    resize_wrongly,
)
from gzjax.data.geometry import FRAME_PX
from gzjax.data.sources.base import Source, pixel_scale_of
from gzjax.progress import Progress

_CHUNK = 64  # images
_COARSEST = 4.0  # original px per px of a changed image
_FILTERS = (cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4)


class Examples(NamedTuple):
    """Statistics ``[n s]`` of images, and the ``kind [n]`` of each; 0: a galaxy."""

    statistics: np.ndarray
    kind: np.ndarray


def make_examples(
    source: Source, indices: np.ndarray, num_drawn: int, seed: int
) -> Examples:
    """Makes examples of all kinds from the galaxies at ``indices`` and from nothing.

    Each galaxy gives itself, itself stored anew at another size and quality, all wrong
    orders of its bands, and two of each wrong scale. There are ``num_drawn`` images of
    each kind that needs no galaxy.
    """
    work = [(_of_galaxy, source, int(index)) for index in indices]
    work += [(_drawn, kind, n) for kind in DRAWN_KINDS for n in range(num_drawn)]
    values, kinds = [], []

    def run(item):
        make, *args = item
        return list(make(*args, seed))

    with ThreadPoolExecutor() as pool, Progress("drawing", len(work)) as progress:
        for start in range(0, len(work), _CHUNK):
            made = pool.map(run, work[start : start + _CHUNK])
            pairs = [pair for of_one in made for pair in of_one]
            kinds += [kind for kind, _ in pairs]
            values.append(statistics(np.stack([image for _, image in pairs])))
            progress.update(min(start + _CHUNK, len(work)), "images")
    return Examples(np.concatenate(values), np.array(kinds))


def stored_anew(
    image: np.ndarray, pixel_scale: float, rng: np.random.Generator
) -> tuple[np.ndarray, float]:
    """Returns the same picture as a file of another size and quality, and its scale."""
    way = rng.integers(4)
    factor = (1, 2, 2 ** rng.uniform(-0.6, 0.6), 0.5)[way]
    factor = max(factor, pixel_scale / _COARSEST)
    if factor != 1:
        size = [round(n * factor) for n in image.shape[1::-1]]
        smooth = cv2.INTER_AREA if factor < 1 else int(rng.choice(_FILTERS))
        pixel_scale *= image.shape[1] / size[0]
        image = cv2.resize(image, size, interpolation=smooth)
    if rng.random() < 0.2:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 0.6))
    return as_jpeg(image, rng), pixel_scale


def _of_galaxy(source, index, seed):
    rng = np.random.default_rng([seed, 0, index])
    image = source.decode(index)
    placement, scale = source.placement(index, image), pixel_scale_of(source, image)
    anew = stored_anew(image, scale, rng)
    forms = [crop(image, scale, placement), crop(*anew, placement)]
    yield from ((0, form) for form in forms)
    for kind, order in enumerate(ORDERS, 1):
        yield kind, forms[rng.integers(2)][..., order]
    for kind in 2 * (TOO_SMALL, TOO_LARGE):
        form = (image, scale) if rng.random() < 0.5 else anew
        yield kind, crop(*resize_wrongly(*form, kind, rng))


def _drawn(kind, number, seed):
    rng = np.random.default_rng([seed, kind, number])
    size_px = int(rng.choice([FRAME_PX // 2, FRAME_PX], p=[0.7, 0.3]))
    yield kind, crop(draw_wrong(kind, rng, size_px), FRAME_PX / size_px)
