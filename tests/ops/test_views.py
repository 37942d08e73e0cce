"""Parts: the published corners, order and centre, and no traffic between devices."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gzjax.data.geometry import pixel_matrix, place, view_matrix, warp
from gzjax.ops.groups import act
from gzjax.ops.views import extract_parts, merge_parts

VIEWS = np.random.default_rng(0).normal(size=(3, 2, 69, 69, 3)).astype(np.float32)
# rot90(V, k)[:45, :45] in indices of V: (row of part[0, 0], its column, and those of
# part[44, 44]).
CORNERS = [(0, 0, 44, 44), (0, 68, 44, 24), (68, 68, 24, 24), (68, 0, 24, 44)]


def parts_of(views, part_px=45):
    return np.asarray(extract_parts(jnp.asarray(views), part_px))


def by_group(parts):
    """``[b 8v p p c] → [b v mirror k p p c]``."""
    return parts.reshape(len(parts), -1, 2, 4, *parts.shape[2:])


def test_parts_are_the_published_slices_in_the_published_order():
    expected = [
        np.rot90(copy, k)[:45, :45]
        for view in VIEWS[1]
        for copy in (view, view[:, ::-1])
        for k in range(4)
    ]
    np.testing.assert_array_equal(parts_of(VIEWS)[1], expected)


@pytest.mark.parametrize("k", range(4))
def test_corner_indices(k):
    rows, columns = np.indices((69, 69), np.float32)
    index = np.stack([rows, columns, 0 * rows], -1)[None, None]
    part = by_group(parts_of(index))[0, 0, 0, k]
    assert (*part[0, 0, :2], *part[44, 44, :2]) == CORNERS[k]


def test_centre_of_the_galaxy_lies_at_34_34_in_all_parts():
    views = np.zeros((1, 2, 69, 69, 3), np.float32)
    views[:, :, 34, 34] = 1
    parts = parts_of(views)
    assert parts.shape == (1, 16, 45, 45, 3)
    assert (parts[:, :, 34, 34] == 1).all()
    assert parts.sum() == 16 * 3


@pytest.mark.parametrize("turns", range(4))
def test_quarter_turn_permutes_the_parts(turns):
    parts = by_group(parts_of(VIEWS))
    turned = by_group(parts_of(np.rot90(VIEWS, turns, axes=(2, 3))))
    k = np.arange(4)
    np.testing.assert_array_equal(turned[:, :, 0], parts[:, :, 0, (k + turns) % 4])
    np.testing.assert_array_equal(turned[:, :, 1], parts[:, :, 1, (k - turns) % 4])


def test_mirror_image_swaps_the_copies():
    parts, mirrored = (by_group(parts_of(v)) for v in (VIEWS, VIEWS[:, :, :, ::-1]))
    np.testing.assert_array_equal(mirrored, parts[:, :, ::-1])


def test_radially_symmetric_galaxy_gives_eight_equal_parts_per_view():
    offset = np.hypot(*(np.indices((424, 424)) - 211.5))
    galaxy = np.uint8(np.repeat(250 * np.exp(-offset / 30)[..., None], 3, axis=2))
    matrices = pixel_matrix(
        view_matrix(place(np.array([0.0, 45.0])), 69, 3.0), 1.0, (424, 424)
    )
    views = warp(galaxy, matrices, 69)[None]
    np.testing.assert_array_equal(views[0, 0], act(views[0, 0], 5, (0, 1)))
    groups = parts_of(views.astype(np.float32)).reshape(2, 8, 45, 45, 3)
    # The regular view falls between pixels alike in all parts; the other is resampled
    # at 45°, alike up to one rounding.
    np.testing.assert_array_equal(
        groups[0], np.broadcast_to(groups[0, :1], (8, 45, 45, 3))
    )
    np.testing.assert_allclose(
        groups[1], np.broadcast_to(groups[1, :1], (8, 45, 45, 3)), atol=1
    )


def test_features_are_merged_as_part_channel_row_column():
    features = np.random.default_rng(1).normal(size=(3, 16, 2, 2, 5)).astype("f4")
    merged = merge_parts(jnp.asarray(features.reshape(48, 2, 2, 5)), 16)
    expected = features.transpose(0, 1, 4, 2, 3).reshape(3, -1)
    np.testing.assert_array_equal(merged, expected)
    flat = merge_parts(jnp.asarray(features.reshape(48, 20)), 16)
    np.testing.assert_array_equal(flat, features.reshape(3, -1))


def test_part_that_does_not_fit_is_refused():
    with pytest.raises(
        ValueError, match="parts of 70 px cannot be cut from views of 69"
    ):
        extract_parts(jnp.asarray(VIEWS), 70)


def test_gradient_of_a_view_counts_the_parts_that_see_a_pixel():
    seen = jax.grad(lambda v: extract_parts(v, 45).sum())(jnp.asarray(VIEWS[:1]))[0, 0]
    assert float(seen[34, 34, 0]) == 8
    assert float(seen[0, 0, 0]) == 2  # one corner, and the mirrored copy's
