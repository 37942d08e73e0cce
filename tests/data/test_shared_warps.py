"""Few warps and exact moves are the same views as many warps."""

import cv2
import numpy as np
import pytest

from gzjax.data.averaging import AVERAGING_SETS
from gzjax.data.geometry import (
    compose,
    pixel_matrix,
    place,
    view_matrix,
    warp,
    with_views,
)
from gzjax.data.synthetic.source import SyntheticSource
from gzjax.data.warps import share_warps
from gzjax.ops.groups import act

TWO = (0.0, 45.0)


@pytest.mark.parametrize(
    ("name", "angles", "warps"),
    [
        *((name, (0.0,), 1) for name in ("none", "c4", "d4")),
        ("rot16x2", (0.0,), 4),
        ("dieleman60", (0.0,), 15),
        ("d4", TWO, 2),
        ("dieleman60", TWO, 30),
    ],
)
def test_number_of_warps(name, angles, warps):
    placements = AVERAGING_SETS[name]
    shared = share_warps(placements, angles)
    assert len(shared.placements) == warps
    assert shared.warp.shape == shared.element.shape == (len(placements), len(angles))
    assert len(share_warps(placements, angles, False).placements) == len(
        placements
    ) * len(angles)


def element_placement(element):
    return place(90.0 * (element % 4), element >= 4)


@pytest.mark.parametrize("angles", [(0.0,), TWO, (10.0, -77.0, 200.0)])
@pytest.mark.parametrize("on_device", [True, False])
def test_placements_and_elements_compose_to_the_maps(angles, on_device):
    rng = np.random.default_rng(1)
    angle, mirror = rng.uniform(-400, 400, 50), rng.random(50) < 0.5
    zoom, shear = rng.uniform(0.5, 2, 50), rng.uniform(-20, 20, 50)
    random = place(angle, mirror, zoom, shear, rng.normal(size=(50, 2)))
    placements = np.concatenate([AVERAGING_SETS["dieleman60"], random])
    shared = share_warps(placements, angles, on_device)
    made = compose(shared.placements[shared.warp], element_placement(shared.element))
    np.testing.assert_allclose(made, with_views(placements, angles), atol=1e-9)
    assert (shared.element.any()) == on_device


def test_one_for_all_or_one_for_each():
    placements = AVERAGING_SETS["c4"]
    mixed = share_warps(
        np.concatenate([placements, placements]), (0.0,), np.arange(8) >= 4
    )
    assert len(mixed.placements) == 4  # the identity serves both
    once, position = mixed.once_each()
    assert len(once.warp) == 7
    np.testing.assert_array_equal(once.warp[position], mixed.warp)
    np.testing.assert_array_equal(once.element[position], mixed.element)
    np.testing.assert_array_equal(mixed.element[:, 0], [0, 0, 0, 0, 0, 1, 2, 3])


@pytest.mark.parametrize(("size", "scale"), [(116, 2.4375), (69, 3.0)])
def test_views_are_those_of_single_warps(size, scale):
    source = SyntheticSource(1, size_px=424)
    image = source.decode(0)
    image = cv2.GaussianBlur(image, (3, 3), 0)
    placements = AVERAGING_SETS["dieleman60"]

    def views(placements):
        return warp(
            image,
            pixel_matrix(view_matrix(placements, size, scale), 1.0, (424, 424)),
            size,
        )

    shared = share_warps(placements, TWO)
    warps, single = (
        views(shared.placements),
        views(with_views(placements, TWO).reshape(-1, 2, 3)),
    )
    moved = [
        act(warps[r], e, (0, 1))
        for r, e in zip(shared.warp.ravel(), shared.element.ravel(), strict=True)
    ]
    # Bilinear weights have 5 bits: a level or so where the matrix is not exact.
    difference = np.abs(np.int16(moved) - np.int16(single))
    assert difference.max() <= 6
    assert difference.mean() < 0.05
    exact = share_warps(AVERAGING_SETS["d4"], (0.0,))
    for k, view in enumerate(views(AVERAGING_SETS["d4"])):
        moved = act(views(exact.placements)[0], int(exact.element[k, 0]), (0, 1))
        np.testing.assert_array_equal(moved, view)
