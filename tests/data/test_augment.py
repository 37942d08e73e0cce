"""Draws, placements and colours: ranges, independence, and the device's arithmetic."""

import colorsys

import jax.numpy as jnp
import numpy as np
import pytest

from gzjax.configs import base
from gzjax.data.augment import (
    GREY,
    colour_matrices,
    hue_rotation,
    random_colour_shifts,
    random_colours,
    random_placements,
)
from gzjax.data.draws import hash64, uniforms
from gzjax.ops.colour import adjust_colour

POSITIONS = np.arange(20_000)


def test_draws_are_uniform_and_uncorrelated():
    u = uniforms(7, 0, POSITIONS, 6)
    assert u.min() >= 0
    assert u.max() < 1
    histogram = np.histogram(u, bins=20, range=(0, 1))[0] / u.size
    np.testing.assert_allclose(histogram, 0.05, atol=0.003)
    others = [uniforms(8, 0, POSITIONS, 6), uniforms(7, 1, POSITIONS, 6)]
    together = np.concatenate([u, *others, np.roll(u, 1, axis=0)], 1)
    correlation = np.corrcoef(together, rowvar=False) - np.eye(24)
    assert np.abs(correlation).max() < 0.04


def test_draw_is_a_function_of_seed_and_position_alone():
    u = uniforms(3, 0, POSITIONS, 4)
    some = [5, 99, 7]
    np.testing.assert_array_equal(uniforms(3, 0, POSITIONS[some], 4), u[some])
    np.testing.assert_array_equal(uniforms(3, 0, POSITIONS, 2), u[:, :2])
    assert len(np.unique(hash64(0, POSITIONS))) == len(POSITIONS)


def test_placements_cover_their_ranges():
    augment = base.get_config().augment
    placements = random_placements(augment, 0, POSITIONS)
    linear, shift = placements[..., :2], placements[..., 2]
    determinant = np.linalg.det(linear)
    zoom = np.abs(determinant) ** -0.5
    assert zoom.min() == pytest.approx(1 / 1.5, rel=1e-3)
    assert zoom.max() == pytest.approx(1.5, rel=1e-3)
    assert np.log(zoom).mean() == pytest.approx(0, abs=0.01)  # log-uniform
    assert (determinant < 0).mean() == pytest.approx(0.5, abs=0.02)
    assert np.abs(shift).max(0) == pytest.approx([40, 40], rel=1e-2)
    angle = np.arctan2(linear[:, 1, 0], linear[:, 1, 1])
    np.testing.assert_allclose(
        np.histogram(angle, bins=8)[0] / 20_000, 1 / 8, atol=0.01
    )
    np.testing.assert_allclose(  # no shear, no stretch: a similarity
        linear @ linear.swapaxes(1, 2) * zoom[:, None, None] ** 2,
        np.broadcast_to(np.eye(2), linear.shape),
        atol=1e-9,
    )


def angles_drawn(**changes):
    augment = base.get_config().augment
    augment.update({"mirror_rate": 0.0, "zoom": 1.0, "shift_px": 0.0, **changes})
    linear = random_placements(augment, 0, POSITIONS)[..., :2]
    return np.rad2deg(np.arctan2(linear[:, 1, 0], linear[:, 0, 0]))


def test_angles_are_in_a_range_or_multiples_of_a_step():
    between = angles_drawn(rotation_deg=80.0, rotation_from_deg=-40.0)
    assert (between.min(), between.max()) == pytest.approx((-40, 40), abs=0.1)
    assert between.mean() == pytest.approx(0, abs=0.5)
    steps = angles_drawn(rotation_step_deg=45.0)
    values, counts = np.unique(np.round(steps, 6) % 360, return_counts=True)
    assert values.tolist() == [45.0 * i for i in range(8)]
    np.testing.assert_allclose(counts / len(POSITIONS), 1 / 8, atol=0.01)
    halves = angles_drawn(
        rotation_deg=90.0, rotation_from_deg=10.0, rotation_step_deg=22.5
    )
    assert set(np.round(halves, 6)) == {10.0, 32.5, 55.0, 77.5}


def test_shear_alone_keeps_rows_level_and_areas():
    augment = base.get_config().augment
    augment.update({"rotation_deg": 0.0, "mirror_rate": 0.0, "zoom": 1.0})
    augment.update({"shift_px": 0.0, "shear_deg": 11.46})
    linear = random_placements(augment, 0, POSITIONS)[..., :2]
    np.testing.assert_array_equal(linear[:, 1], [[0.0, 1.0]] * len(POSITIONS))
    slopes = np.rad2deg(np.arctan(linear[:, 0, 1]))
    assert (slopes.min(), slopes.max()) == pytest.approx((-11.46, 11.46), abs=0.05)


def test_colours_cover_their_ranges():
    colours = random_colours(base.get_config().augment, 0, POSITIONS)
    np.testing.assert_allclose(colours.min(0), [0.5, 0.9, 0.9, -0.1], atol=1e-3)
    np.testing.assert_allclose(colours.max(0), [1.5, 1.1, 1.1, 0.1], atol=1e-3)


def test_principal_colour_is_one_normal_number_along_the_published_direction():
    augment = base.get_config().augment
    assert not random_colour_shifts(augment, 0, POSITIONS).any()
    augment.principal_colour = 0.5
    shifts = random_colour_shifts(augment, 0, POSITIONS)
    amounts = shifts / [-0.0148366, -0.01253134, -0.01040762]
    np.testing.assert_allclose(amounts[:, 1:], amounts[:, :2], atol=1e-12)
    a = amounts[:, 0] / 0.5
    assert a.mean() == pytest.approx(0, abs=0.03)
    assert a.std() == pytest.approx(1, abs=0.02)
    assert (np.abs(a) > 1.96).mean() == pytest.approx(0.05, abs=0.006)
    assert (a**4).mean() == pytest.approx(3, abs=0.25)  # a normal's kurtosis
    u = random_placements(augment, 0, POSITIONS)[:, :, 2]
    assert np.abs(np.corrcoef(np.c_[u, a], rowvar=False) - np.eye(3)).max() < 0.03


def test_colour_shift_is_added_last():
    mean_rgb, shift = np.full((1, 3), 0.3), np.array([[0.1, -0.2, 0.3]])
    colours = np.array([[1.2, 0.9, 1.1, 0.05]])
    plain, shifted = (colour_matrices(colours, mean_rgb, s)[0] for s in (0.0, shift))
    np.testing.assert_array_equal(shifted[:, :3], plain[:, :3])
    np.testing.assert_allclose(shifted[:, 3] - plain[:, 3], shift[0], atol=1e-6)


def one(brightness=1.0, contrast=1.0, saturation=1.0, hue=0.0, mean=(0.3, 0.3, 0.3)):
    matrix = colour_matrices(
        np.array([[brightness, contrast, saturation, hue]]), np.array([mean])
    )[0]
    return lambda rgb: matrix[:, :3] @ np.array(rgb) + matrix[:, 3]


def test_colour_steps_by_hand():
    rgb = (0.2, 0.4, 0.1)
    np.testing.assert_allclose(one()(rgb), rgb, atol=1e-7)
    np.testing.assert_allclose(
        one(brightness=1.5)(rgb), np.multiply(rgb, 1.5), atol=1e-6
    )
    np.testing.assert_allclose(
        one(contrast=0.5)(rgb), 0.5 * np.array(rgb) + 0.15, atol=1e-6
    )
    grey = GREY @ rgb
    np.testing.assert_allclose(one(saturation=0)(rgb), [grey] * 3, atol=1e-6)
    # All together: brightness, contrast about the brightened mean, saturation, hue.
    x = np.array(rgb) * 1.2
    x = 0.8 * x + 0.2 * 1.2 * 0.3
    x = 1.1 * x - 0.1 * (GREY @ x)
    x = hue_rotation(np.array(0.05)) @ x
    np.testing.assert_allclose(one(1.2, 0.8, 1.1, 0.05)(rgb), x, atol=1e-6)


def test_hue_is_a_rotation_about_the_grey_axis():
    third = hue_rotation(np.array(1 / 3))
    np.testing.assert_allclose(third @ [1, 0, 0], [0, 1, 0], atol=1e-12)  # red to green
    np.testing.assert_allclose(third @ [1, 1, 1], [1, 1, 1], atol=1e-12)
    small = hue_rotation(np.array(0.02)) @ [0.6, 0.5, 0.5]
    assert colorsys.rgb_to_hsv(*small)[0] == pytest.approx(0.02, abs=0.003)


def test_device_applies_matrix_clip_and_normalisation():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (2, 1, 2, 3, 4, 3)).astype(np.uint8)
    matrices = rng.normal(size=(2, 3, 4)).astype(np.float32)
    mean, std = (0.1, 0.2, 0.3), (0.5, 0.6, 0.7)
    ours = adjust_colour(jnp.asarray(images), matrices, mean, std, "float32")
    for b in range(2):
        rgb = images[b] / 255 @ matrices[b, :, :3].T + matrices[b, :, 3]
        expected = (np.clip(rgb, 0, 1) - mean) / std
        np.testing.assert_allclose(ours[b], expected, atol=1e-5)
