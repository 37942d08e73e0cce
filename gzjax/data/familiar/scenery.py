"""Draws pictures with the statistics of photographs: things before things."""

import cv2
import numpy as np


def draw_scenery(rng: np.random.Generator, size_px: int) -> np.ndarray:
    """Returns float ``[size_px size_px 3]`` in [0, 255]: textured shapes that overlap.

    Shapes of all sizes, each hiding what is behind it, have the spectrum and the edges
    of photographs of the daily world.
    """
    image = _texture(rng, size_px) * 255
    steep = rng.uniform(1, 3)  # the larger, the more small shapes
    for _ in range(rng.integers(5, 150)):
        low, high = (share * size_px for share in (0.02, 0.5))
        share = rng.random()
        radius = (low**-steep + share * (high**-steep - low**-steep)) ** (-1 / steep)
        mask = np.zeros((size_px, size_px), np.uint8)
        centre = rng.uniform(0, size_px, 2)
        angles = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, 9)))
        corners = centre + radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        if rng.random() < 0.5:
            axes = (int(radius) + 1, int(radius * rng.uniform(0.3, 1)) + 1)
            at = (int(centre[0]), int(centre[1]))
            cv2.ellipse(mask, at, axes, rng.uniform(0, 180), 0, 360, 255, -1)
        else:
            cv2.fillPoly(mask, [corners.astype(np.int32)], 255)
        colour = rng.uniform(0, 255, 3)
        colour = colour.mean() + (colour - colour.mean()) * rng.uniform(0.1, 1)
        rows, columns = mask.any(axis=1).nonzero()[0], mask.any(axis=0).nonzero()[0]
        if not len(rows):
            continue
        box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        inside = mask[box][..., None] > 0
        shade = np.linspace(*rng.uniform(0.6, 1.2, 2), inside.shape[1])[:, None]
        image[box] = np.where(inside, colour * shade, image[box])
    blurred = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 2))
    grain = rng.normal(0, rng.uniform(0, 6), image.shape)
    return np.clip(blurred * (0.6 + 0.6 * _texture(rng, size_px)) + grain, 0, 255)


def _texture(rng: np.random.Generator, size_px: int) -> np.ndarray:
    """Returns ``[size_px size_px 3]`` in [0, 1], whose fine detail is faint."""
    fx, fy = np.fft.rfftfreq(size_px), np.fft.fftfreq(size_px)[:, None]
    fall = np.maximum(np.hypot(fx, fy), 1 / size_px) ** -rng.uniform(0.8, 1.8)
    shape = (size_px, size_px)
    planes = [np.fft.irfft2(fall * np.fft.rfft2(rng.normal(size=shape)), shape)]
    planes += [np.fft.irfft2(fall * np.fft.rfft2(rng.normal(size=shape)), shape)]
    mixed = planes[0][..., None] + rng.normal(0, 0.3, 3) * planes[1][..., None]
    low, high = mixed.min(), mixed.max()
    return (mixed - low) / (high - low)
