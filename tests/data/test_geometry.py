"""Matrices against the published numbers, and warps against exact turns."""

import cv2
import numpy as np
import pytest

from gzjax.data.geometry import compose, pixel_matrix, place, turn, view_matrix, warp
from gzjax.ops.groups import act


def element_placement(element):
    mirror, turns = divmod(element, 4)
    return place(angle_deg=90 * turns, mirror=bool(mirror))


def views(image, placement, size, scale, pixel_scale=1.0, samples=1):
    matrix = view_matrix(placement, size * samples, scale / samples)
    matrix = pixel_matrix(matrix, pixel_scale, image.shape[:2])
    return warp(image, matrix[None], size, samples)[0]


def test_winner_matrices():
    regular = pixel_matrix(view_matrix(place(), 69, 3), 1, (424, 424))
    np.testing.assert_array_equal(regular, [[3, 0, 109.5], [0, 3, 109.5]])
    diagonal = pixel_matrix(view_matrix(place(angle_deg=45), 69, 3), 1, (424, 424))
    expected = [[2.12132, -2.12132, 211.5], [2.12132, 2.12132, 67.250217]]
    np.testing.assert_allclose(diagonal, expected, atol=1e-5)


def test_compose_is_one_placement_after_another():
    rng = np.random.default_rng(4)
    outer, inner = rng.normal(size=(2, 5, 2, 3))
    offset = rng.normal(size=(5, 2, 1))

    def apply(placement, x):
        return placement[..., :2] @ x + placement[..., 2:]

    both = apply(compose(outer, inner), offset)
    np.testing.assert_allclose(both, apply(outer, apply(inner, offset)), atol=1e-12)
    np.testing.assert_array_equal(compose(outer, place()), outer)
    np.testing.assert_array_equal(compose(place(), inner), inner)


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("view_deg", [0.0, 45.0])
def test_composed_placement_is_the_published_product_of_matrices(mirror, view_deg):
    """Centring, shift, reflection, rotation and zoom, the view's turn, downscaling."""

    def shift(x, y):
        return np.array([[1, 0, x], [0, 1, y], [0, 0, 1.0]])

    def rotation(degrees):
        c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
        return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])

    angle, zoom, x, y, scale = 77.0, 1.21, 3.0, -2.5, 0.8
    centre, back = shift(211.5, 211.5), shift(-211.5, -211.5)
    downscale = np.array([[3, 0, 109.5], [0, 3, 109.5], [0, 0, 1.0]])
    flip = np.diag([-1.0 if mirror else 1.0, 1, 1])
    augment = shift(x, y) @ centre @ flip @ rotation(angle)
    augment = augment @ np.diag([1 / zoom, 1 / zoom, 1]) @ back
    turned = centre @ rotation(view_deg) @ back
    # in = (p - c) / scale + (x, y), nearest to the image
    centring = shift(220.0, 205.0) @ np.diag([1 / scale, 1 / scale, 1]) @ back
    published = centring @ augment @ turned @ downscale

    frame = place(zoom=scale, shift_px=(8.5, -6.5))
    drawn = place(angle, mirror, zoom, shift_px=(x, y))
    placement = compose(compose(frame, drawn), place(view_deg))
    ours = pixel_matrix(view_matrix(placement, 69, 3.0), 1.0, (424, 424))
    np.testing.assert_allclose(ours, published[:2], rtol=1e-5, atol=1e-5)


def test_winners_augmentation_never_looks_outside_the_image():
    # The farthest corner of a view: 34 px of 3 px each, turned by any angle, at the
    # smallest zoom and the largest shift. Spec: 191.5 px of 211.5.
    angles = np.arange(0, 360, 1.0)
    corner = np.array([34.0, 34.0]) * 3
    reach = np.abs(place(angles, zoom=1 / 1.3)[:, :, :2] @ corner).max() + 4
    assert reach == pytest.approx(191.5, abs=0.1)


def test_plain_view_at_scale_3_is_the_mean_of_2x2_blocks():
    image = np.random.default_rng(0).uniform(0, 255, (424, 424, 3)).astype(np.float32)
    rows = 109 + 3 * np.arange(69)
    blocks = sum(image[rows + i][:, rows + j] for i in (0, 1) for j in (0, 1)) / 4
    np.testing.assert_allclose(views(image, place(), 69, 3), blocks, atol=1e-3)


@pytest.mark.parametrize("angle", [-270, -90, 0, 90, 180, 270, 360, 450])
def test_quarter_turns_are_exact(angle):
    assert set(np.unique(np.abs(turn(angle)))) == {0.0, 1.0}


@pytest.mark.parametrize("angle", [1.0, 44.9, 45.0, 123.4, 300.0])
def test_other_turns_are_rotations(angle):
    a = np.deg2rad(angle)
    expected = [[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]]
    np.testing.assert_allclose(turn(angle), expected, atol=1e-12)


@pytest.mark.parametrize("element", range(8))
@pytest.mark.parametrize("size", [31, 32])
def test_placement_is_the_action_of_the_group(element, size):
    image = np.random.default_rng(1).integers(0, 256, (size, size, 3)).astype(np.uint8)
    same = views(image, element_placement(element), size, 1.0)
    np.testing.assert_array_equal(same, act(image, element, (0, 1)))


def test_zoom_enlarges_and_shift_moves_what_is_at_the_centre():
    image = np.zeros((101, 101, 3), np.float32)
    image[50, 60] = 1  # 10 px to the right of the centre
    assert np.argmax(views(image, place(zoom=2), 101, 1)[50, :, 0]) == 70
    assert np.argmax(views(image, place(shift_px=(10, 0)), 101, 1)[50, :, 0]) == 50


def test_half_size_copy_is_the_same_view_by_saying_so_once():
    smooth = np.random.default_rng(2).uniform(0, 255, (12, 12, 3)).astype(np.float32)
    image = cv2.resize(smooth, (424, 424), interpolation=cv2.INTER_CUBIC)
    half = cv2.resize(image, (212, 212), interpolation=cv2.INTER_AREA)
    placement = place(angle_deg=30, mirror=True, zoom=1.2, shift_px=(11.0, -7.0))
    full, small = (
        views(i, placement, 69, 3, s) for i, s in ((image, 1.0), (half, 2.0))
    )
    assert np.abs(full - small).max() < 2


def check_commutes(image, size, scale, pixel_scale=1.0):
    """Bit-equal in uint8; float32 may add the four products in another order."""
    atol = 0 if image.dtype == np.uint8 else 1e-6 * 255
    view = views(image, place(), size, scale, pixel_scale)
    for element in range(8):
        turned_after = act(view, element, (0, 1))
        turned_raw = np.ascontiguousarray(act(image, element, (0, 1)))
        for first in (
            views(turned_raw, place(), size, scale, pixel_scale),
            views(image, element_placement(element), size, scale, pixel_scale),
        ):
            np.testing.assert_allclose(first, turned_after, rtol=0, atol=atol)


GEOMETRIES = [(116, 2.4375, 424, 1.0), (80, 3.5, 424, 1.0), (225, 1.40625, 424, 1.0)]
GEOMETRIES += [(116, 2.4375, 212, 2.0), (80, 3.5, 212, 2.0)]


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize(("size", "scale", "stored", "pixel_scale"), GEOMETRIES)
def test_warp_commutes_bit_for_bit(size, scale, stored, pixel_scale, dtype):
    image = np.random.default_rng(3).uniform(0, 256, (stored, stored, 3)).astype(dtype)
    check_commutes(image, size, scale, pixel_scale)


def test_negative_control_other_scales_do_not_commute():
    image = np.random.default_rng(3).integers(0, 256, (424, 424, 3)).astype(np.uint8)
    with pytest.raises(AssertionError):
        check_commutes(image, 120, 424 / 180)


@pytest.mark.parametrize("samples", [2, 3, 4])
def test_samples_are_averaged_and_commute_too(samples):
    """At a scale of 3 px, n x n samples of a pixel against means of finer views."""
    image = np.random.default_rng(5).integers(0, 256, (424, 424, 3)).astype(np.uint8)

    view = views(image, place(), 69, 3.0, samples=samples)
    fine = views(image, place(), 69 * samples, 3.0 / samples).astype(float)
    blocks = fine.reshape(69, samples, 69, samples, 3).mean((1, 3))
    np.testing.assert_allclose(view, blocks, atol=0.51)
    if samples == 3:
        return  # a third is no binary fraction
    for element in range(8):
        turned = views(image, element_placement(element), 69, 3.0, samples=samples)
        np.testing.assert_array_equal(turned, act(view, element, (0, 1)))


def test_more_samples_come_nearer_to_the_mean_over_a_pixel():
    rng = np.random.default_rng(6)
    image = cv2.GaussianBlur(rng.uniform(0, 255, (424, 424, 3)), (0, 0), 1.0)
    image = image.astype(np.float32)
    # A view of 2 px per pixel, half a pixel off: its pixels' areas are whole pixels.
    means = cv2.resize(image[12:412, 12:412], (200, 200), interpolation=cv2.INTER_AREA)

    def error(placement, samples, expected):
        view = views(image, placement, 200, 2.0, samples=samples)
        return np.sqrt(np.mean((view - expected) ** 2))

    assert error(place(), 2, means) < 1e-3  # at the four pixels' centres
    turned = place(angle_deg=45)
    reference = views(image, turned, 200, 2.0, samples=16)
    one, two, four = (error(turned, samples, reference) for samples in (1, 2, 4))
    assert four < two < one / 2
