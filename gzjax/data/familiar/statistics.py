"""Describes an image by a few numbers: sky, noise, colours, size, sharpness.

They are taken from one crop that is the same for every network, and upright, since it
is the image that is judged.
"""

import cv2
import numpy as np

from gzjax.data.geometry import compose, pixel_matrix, place, view_matrix, warp

SIZE_PX, SCALE, SAMPLES = 64, 4.0, 2  # of the crop: 256 px of the original frame
NAMES = (
    *("sky", "sky_red_green", "sky_green_blue"),
    *("noise", "noise_red_green", "noise_blue_green"),
    *("noise_shared_red_green", "noise_shared_green_blue", "noise_shared_red_blue"),
    *("noise_coarse", "light", "core", "core_red_green", "core_blue_green"),
    *("light_red_green", "light_blue_green"),
    *("light_within_10", "light_within_20", "light_within_35", "light_within_55"),
    *("off_centre_x", "off_centre_y", "saturated", "edges", "sharpest_edge"),
    *("contrast", "colourful"),
)
_EPSILON = 1 / 255
_AT = (np.arange(SIZE_PX) - (SIZE_PX - 1) / 2) / (SIZE_PX / 2)
_RADIUS = np.hypot(_AT[:, None], _AT)
_RING = np.flatnonzero(_RADIUS > 0.9)[::2]  # sky about most galaxies
_RING_INSIDE = np.flatnonzero(_RADIUS[1:-1, 1:-1] > 0.9)[::2]
_DISK = np.float32(_RADIUS < 0.9)
_CORE = np.flatnonzero(_RADIUS < 0.15)
# What is weighted with a pixel's light: within each radius, and along x and y.
_WEIGHTS = np.stack(
    [
        _DISK,
        *(radius > _RADIUS for radius in (0.1, 0.2, 0.35, 0.55)),
        _DISK * _AT,
        _DISK * _AT[:, None],
    ],
    dtype=np.float32,
).reshape(7, -1)


def crop(
    image: np.ndarray,
    pixel_scale: float,
    placement: np.ndarray | None = None,
) -> np.ndarray:
    """Returns the galaxy and its sky, uint8 ``[SIZE_PX SIZE_PX 3]``.

    Args:
        image: uint8 RGB ``[h w 3]``.
        pixel_scale: original px per px.
        placement: of the galaxy in its image; None: it is at the centre.
    """
    # Averaged, or a finer image would show more noise than a coarse one of the same.
    while pixel_scale <= SCALE / SAMPLES / 2 and min(image.shape[:2]) > 1:
        size = image.shape[1] // 2, image.shape[0] // 2
        image = cv2.resize(
            image[: 2 * size[1], : 2 * size[0]], size, interpolation=cv2.INTER_AREA
        )
        pixel_scale *= 2
    matrix = view_matrix(place(), SIZE_PX * SAMPLES, SCALE / SAMPLES)
    if placement is not None:
        matrix = compose(placement, matrix)
    matrix = pixel_matrix(matrix[None], pixel_scale, image.shape[:2])
    return warp(image, matrix, SIZE_PX, SAMPLES)[0]


def statistics(crops: np.ndarray) -> np.ndarray:
    """Returns float32 ``[b s]``, the numbers of ``NAMES``.

    ``crops`` are uint8 ``[b SIZE_PX SIZE_PX 3]`` from :func:`crop`. Ratios are
    logarithms.
    """
    x = np.ascontiguousarray(np.moveaxis(crops, 3, 1), np.float32) / 255  # [b 3 h w]
    flat = x.reshape(*x.shape[:2], -1)
    sky = np.median(flat[..., _RING], axis=2)  # [b 3]
    above = np.maximum(flat - sky[..., None], 0)
    light = above.mean(axis=1)  # [b h·w]
    sums = light @ _WEIGHTS.T
    total = sums[:, 0] + _EPSILON
    within = sums[:, 1:5] / total[:, None]
    core = above[..., _CORE].mean(axis=2) + _EPSILON
    whole = above @ _WEIGHTS[0] + _EPSILON  # [b 3]
    grey, largest = x.mean(axis=1), x.max(axis=1)
    edges = np.abs(np.diff(grey, axis=1))[:, :, 1:] + np.abs(np.diff(grey))[:, 1:]
    edges = edges.reshape(len(x), -1)
    last = edges.shape[1] * 99 // 100
    sharpest = np.partition(edges, last, axis=1)[:, last]
    values = [
        np.log(sky.mean(axis=1) + _EPSILON),
        sky[:, 0] - sky[:, 1],
        sky[:, 1] - sky[:, 2],
        *_noise(x, flat, sky),
        np.log(total),
        np.log(core.mean(axis=1)),
        *_against_green(core),
        *_against_green(whole),
        *np.log(within / (1.02 - within) + 1e-3).T,
        *(sums[:, 5:] / total[:, None]).T,
        np.log((largest > 0.97).mean(axis=(1, 2)) + 1e-3),
        np.log(edges.mean(axis=1) / (light.mean(axis=1) + _EPSILON) + 1e-3),
        np.log(sharpest + _EPSILON),
        np.log(flat.std(axis=2).mean(axis=1) + _EPSILON),
        np.log((largest - x.min(axis=1)).mean(axis=(1, 2)) + _EPSILON),
    ]
    return np.stack(values, axis=1, dtype=np.float32)


def _against_green(rgb: np.ndarray) -> list[np.ndarray]:
    return [np.log(rgb[:, 0] / rgb[:, 1]), np.log(rgb[:, 2] / rgb[:, 1])]


def _noise(x: np.ndarray, flat: np.ndarray, sky: np.ndarray) -> list[np.ndarray]:
    """Returns strength, that of bands, what they share, and coarse beside fine."""
    around = x[..., :-2, 1:-1] + x[..., 2:, 1:-1] + x[..., 1:-1, :-2] + x[..., 1:-1, 2:]
    fine = (x[..., 1:-1, 1:-1] - around / 4).reshape(*x.shape[:2], -1)
    fine = fine[..., _RING_INSIDE]
    strength = np.median(np.abs(fine), axis=2) + _EPSILON / 4  # [b 3]
    fine -= fine.mean(axis=2, keepdims=True)
    limit = 4 * strength[..., None]  # a star's pixels are not noise
    fine = np.clip(fine, -limit, limit)
    shared = fine @ fine.swapaxes(1, 2)
    size = np.sqrt(np.einsum("bii->bi", shared)) + 1e-9
    shared = shared / size[:, :, None] / size[:, None]
    coarse = np.median(np.abs(flat[..., _RING] - sky[..., None]), axis=2)
    mean = strength.mean(axis=1)
    return [
        np.log(mean),
        *_against_green(strength),
        shared[:, 0, 1],
        shared[:, 1, 2],
        shared[:, 0, 2],
        np.log((coarse.mean(axis=1) + _EPSILON / 4) / mean),
    ]
