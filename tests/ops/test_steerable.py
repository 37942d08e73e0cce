"""Steerable filters: their definition in NumPy, exactness, angles between quarters."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from gzjax.ops import steerable
from gzjax.ops.gconv import group_conv
from gzjax.ops.groups import GROUPS, act, act_on_features
from gzjax.ops.steerable import (
    Rings,
    mask_corners,
    steerable_conv,
    whole_map_steerable_conv,
)

RINGS = Rings()
WIDE = Rings((0.0, 1.0, 2.0), (1, 2, 3), 0.9)


def turned_basis(group, size, rings):
    """φ_b(s⁻¹ x), ``[order, size * size, num_functions]``, by the representation."""
    return np.einsum("pa,sab->spb", rings.sample(size), rings.representation(group))


def harmonics(x, y, rings, size):
    """The module's formula at any points, not normalised."""
    rho, phi = np.hypot(x, y), np.arctan2(y, x)
    result = []
    for radius, highest in zip(rings.radii, rings.frequencies, strict=True):
        ring = np.exp(-((rho - radius) ** 2) / (2 * rings.sigma**2))
        ring = ring * (rho <= size / 2 + 1e-9)
        result.append(ring)
        off_centre = ring * (rho > 1e-9)
        for n in range(1, highest + 1):
            result += [off_centre * np.cos(n * phi), off_centre * np.sin(n * phi)]
    return np.stack(result, axis=-1)


@pytest.mark.parametrize("name", ["p4", "p4m", "c8", "d8", "d12", "d16"])
@pytest.mark.parametrize(("size", "rings"), [(5, RINGS), (6, WIDE)])
def test_basis_is_the_formula_at_the_points_moved_back(name, size, rings):
    group = GROUPS[name]
    x = np.arange(size) - (size - 1) / 2
    x, y = np.meshgrid(x, -x)
    norms = turned_basis(group, size, rings)[0] / np.where(
        (raw := harmonics(x, y, rings, size).reshape(size * size, -1)) == 0, 1, raw
    )
    norms = np.abs(norms).max(axis=0)
    for s in range(group.order):
        mirror, turns = divmod(s, group.turns)
        angle = -2 * np.pi * turns / group.turns
        u = np.cos(angle) * x - np.sin(angle) * y
        v = np.sin(angle) * x + np.cos(angle) * y
        expected = harmonics(-u if mirror else u, v, rings, size) * norms
        expected = expected.reshape(size * size, -1)
        np.testing.assert_allclose(
            turned_basis(group, size, rings)[s], expected, atol=1e-12
        )


@pytest.mark.parametrize("name", ["p1", "p4m", "c12", "d8", "d16"])
def test_representation_is_one_and_orthogonal(name):
    group = GROUPS[name]
    r = WIDE.representation(group)
    for s in range(group.order):
        np.testing.assert_allclose(r[s] @ r[s].T, np.eye(len(r[s])), atol=1e-12)
        np.testing.assert_allclose(r[s] @ r, r[group.cayley[s]], atol=1e-12)


def make_arrays(group, lifting, rings=RINGS, n=9):
    rng = np.random.default_rng(0)
    depth = 1 if lifting else group.order
    x = rng.normal(size=(2, n, n, depth, 2))
    return x, rng.normal(size=(depth, rings.num_functions, 2, 3))


@pytest.mark.parametrize("lifting", [True, False])
@pytest.mark.parametrize("name", ["c8", "d12"])
def test_filter_is_the_definition(name, lifting):
    group = GROUPS[name]
    x, c = make_arrays(group, lifting, n=5)
    ours = steerable_conv(jnp.float32(x), jnp.float32(c), group, 5, RINGS)[:, 0, 0]
    x = x.reshape(2, 25, -1, 2)
    for s in range(group.order):
        basis = turned_basis(group, 5, RINGS)[s]
        source = [0] if lifting else group.cayley[group.inverse[s]]
        expected = np.einsum("zpti,pb,tbio->zo", x, basis, c[source])
        np.testing.assert_allclose(ours[:, s], expected, atol=1e-4)


def test_whole_map_is_a_filter_of_that_size(key):
    group = GROUPS["d8"]
    x, c = make_arrays(group, False, n=6)
    x, c = jnp.float32(x), jnp.float32(c)
    whole = whole_map_steerable_conv(x, c, group, RINGS)
    as_conv = steerable_conv(x, c, group, 6, RINGS)[:, 0, 0]
    np.testing.assert_allclose(whole, as_conv, atol=1e-4)


def move(x, e, group, lifting):
    return act(x, e) if lifting else act_on_features(x, e, group)


@pytest.mark.parametrize("lifting", [True, False])
@pytest.mark.parametrize("name", ["c8", "d4", "d8", "d12", "d16"])
def test_quarter_turns_and_mirror_images_are_exact(name, lifting):
    group = GROUPS[name]
    with jax.enable_x64(True):
        x, c = make_arrays(group, lifting)
        for e in range(len(group.exact_elements)):
            moved = move(x, e, group, lifting)
            for size, stride, padding in ((5, 1, 0), (5, 2, 1), (4, 1, 0)):
                args = c, group, size, RINGS, stride, padding
                y = steerable_conv(x, *args)
                error = steerable_conv(moved, *args) - act_on_features(y, e, group)
                assert np.abs(error).max() <= 1e-12 * np.std(y)
            if not lifting:
                y = whole_map_steerable_conv(x, c, group, RINGS)
                source = group.cayley[group.inverse[group.exact_elements[e]]]
                error = whole_map_steerable_conv(moved, c, group, RINGS) - y[:, source]
                assert np.abs(error).max() <= 1e-12 * np.std(y)


def test_negative_control_harmonics_not_zero_at_the_centre(monkeypatch):
    def sample(self, size):
        basis = original(self, size)
        basis[size * size // 2, 2] = 1  # the cosine of a ring of radius 1
        return basis

    original = Rings.sample
    monkeypatch.setattr(Rings, "sample", sample)
    group = GROUPS["d12"]
    x, c = map(jnp.float32, make_arrays(group, False))
    y = steerable_conv(x, c, group, 5, RINGS)
    moved = steerable_conv(act_on_features(x, 1, group), c, group, 5, RINGS)
    monkeypatch.undo()
    assert np.abs(moved - act_on_features(y, 1, group)).max() > 0.05 * np.std(y)


def blobs(angle, n=21):
    """A smooth image, exactly turned: a few Gaussians about the centre."""
    rng = np.random.default_rng(1)
    x = np.arange(n) - (n - 1) / 2
    x, y = np.meshgrid(x, -x)
    image = 0
    for u, v in rng.uniform(-4, 4, (12, 2)):
        at = (u + 1j * v) * np.exp(1j * np.deg2rad(angle))
        image = image + np.exp(
            -((x - at.real) ** 2 + (y - at.imag) ** 2) / (2 * 1.5**2)
        )
    return jnp.float32(image[None, :, :, None, None])


def centre(y):
    n = y.shape[1] // 2
    return y[0, n, n].ravel()


def test_filters_turn_between_the_quarters_and_free_ones_do_not():
    group, w = GROUPS["d12"], np.random.default_rng(0).normal(size=(5, 5, 1, 1, 3))
    c = jnp.float32(make_arrays(group, True)[1][..., :1, :])
    upright = steerable_conv(blobs(0), c, group, 5, RINGS)[0, 8, 8]
    turned = steerable_conv(blobs(30), c, group, 5, RINGS)[0, 8, 8]
    expected = upright[group.cayley[group.inverse[1]]]
    error = np.abs(turned - expected).max() / np.std(upright)
    assert error < 0.03
    free = [group_conv(blobs(a), jnp.float32(w), GROUPS["p4m"]) for a in (0, 30)]
    change = np.abs(np.sort(centre(free[1])) - np.sort(centre(free[0]))).max()
    assert change > 5 * error * np.std(centre(free[0]))


@pytest.mark.parametrize("lifting", [True, False])
def test_gradients_are_those_of_finite_differences(lifting):
    group = GROUPS["c8"]
    x, c = make_arrays(group, lifting, n=5)
    with jax.enable_x64(True):
        check_grads(
            lambda x, c: steerable_conv(x, c, group, 3, RINGS), (x, c), 1, ["rev"]
        )
        if not lifting:
            check_grads(
                lambda x, c: whole_map_steerable_conv(x, c, group, RINGS),
                (x, c),
                1,
                ["rev"],
            )


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"radii": (0.0, 1.0)}, "give one frequency for each radius"),
        ({"radii": (), "frequencies": ()}, "at least one"),
        ({"frequencies": (0, 1, -1)}, "whole frequencies from 0"),
        ({"frequencies": (0, 1, 1.5)}, "whole frequencies from 0"),
        ({"radii": (0.0, 1.0, np.inf)}, "finite radii"),
        ({"sigma": 0.0}, "sigma is 0.0"),
        ({"sigma": np.nan}, "sigma is nan"),
    ],
)
def test_invalid_rings_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        steerable.Rings(**fields)


@pytest.mark.parametrize(
    ("rings", "size", "ring"),
    [
        (RINGS, 1, "1 px with frequencies up to 1"),
        (Rings((0.0,), (0,), 0.005), 4, "0 px"),
        (Rings((0.0, 20.0), (0, 1), 0.3), 5, "20 px"),
    ],
)
def test_a_ring_without_a_pixel_is_refused(rings, size, ring):
    with pytest.raises(ValueError, match=f"{ring}.* no pixel in a filter of {size} px"):
        rings.sample(size)


@pytest.mark.parametrize(
    "images", [np.zeros((1, 8, 9, 3)), np.zeros((1, 8, 8, 3), int)]
)
def test_a_mask_takes_square_floats(images):
    with pytest.raises(ValueError, match="give floats"):
        mask_corners(images)


@pytest.mark.parametrize("size", [8, 9])
def test_mask_leaves_the_disc_and_turns_with_the_image(size):
    x = np.random.default_rng(0).normal(size=(2, size, size, 3)).astype(np.float32)
    y = mask_corners(x)
    middle = slice(size // 2 - 2, size // 2 + 2)
    np.testing.assert_array_equal(y[:, middle, middle], x[:, middle, middle])
    assert (y[:, [0, 0, -1, -1], [0, -1, 0, -1]] == 0).all()
    for e in range(8):
        np.testing.assert_array_equal(mask_corners(act(x, e)), act(y, e))
