"""The device samples an image as the host does."""

import functools

import jax
import numpy as np
import pytest

from gzjax.data.geometry import pixel_matrix, place, view_matrix, warp
from gzjax.ops.resample import sample_views

IMAGES = np.random.default_rng(0).integers(0, 256, (2, 80, 70, 3), np.uint8)


def both(placements, size_px, scale, samples=1, pixel_scale=5.0):
    """uint8 of the host and float32 of the device, ``[b r s s 3]``."""
    matrices = view_matrix(placements, size_px * samples, scale / samples)
    matrices = pixel_matrix(matrices, pixel_scale, IMAGES.shape[1:3])
    host = np.stack([warp(image, matrices, size_px, samples) for image in IMAGES])
    sample = functools.partial(
        sample_views, matrices=matrices, size_px=size_px, samples=samples
    )
    return host, np.asarray(jax.jit(sample)(IMAGES))


@pytest.mark.parametrize("samples", [1, 2, 3, 4])
def test_pixels_are_the_same_to_the_bit_at_binary_fractions(samples):
    quarter_turns = place(90.0 * np.arange(8), np.arange(8) >= 4)
    scale = 1.25 * 5 * samples / 2
    host, device = both(quarter_turns, 20, scale, samples)
    assert device.shape == (2, 8, 20, 20, 3)
    np.testing.assert_array_equal(device, host)


@pytest.mark.parametrize("samples", [1, 2])
def test_elsewhere_a_few_are_rounded_to_the_other_level(samples):
    placements = place(np.array([30.0, 45.0, 200.0]), zoom=1.1, shift_px=(3.0, 2.0))
    host, device = both(placements, 40, 9.3, samples)  # reaches beyond the border
    difference = np.abs(device - host)
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.003
