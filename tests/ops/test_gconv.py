"""Group convolutions: the definition in float64 NumPy, equivariance, gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from gzjax.ops.conv import conv
from gzjax.ops.gconv import group_conv, transform_filter, whole_map_group_conv
from gzjax.ops.groups import GROUPS, Group, act, act_on_features

CASES = [  # group, k, stride, padding, n; all obey the window rule
    ("p4", 3, 1, 0, 6),
    ("p4", 2, 2, 0, 6),
    ("p4m", 3, 1, 1, 5),
    ("p4m", 3, 2, 1, 7),
    ("p4m", 4, 1, 0, 6),
]


def make_arrays(group, k, n, lifting, seed=0):
    rng = np.random.default_rng(seed)
    depth = 1 if lifting else group.order
    x = rng.normal(size=(2, n, n, depth, 3))
    w = rng.normal(size=(k, k, depth, 3, 4))
    return x, w


def definition(x, w, group, stride, padding):
    """Cohen & Welling's eq. 10 and 11, one output plane and element at a time."""
    x = np.pad(x, [(0, 0), (padding, padding), (padding, padding), (0, 0), (0, 0)])
    k, depth = w.shape[0], w.shape[2]
    n = (x.shape[1] - k) // stride + 1
    out = np.zeros((x.shape[0], n, n, group.order, w.shape[-1]))
    for s in range(group.order):
        for t in range(depth):
            source = 0 if depth == 1 else group.cayley[group.inverse[s], t]
            planar = act(w[:, :, source], s, (0, 1))
            for i in range(n):
                for j in range(n):
                    a, b = i * stride, j * stride
                    patch = x[:, a : a + k, b : b + k, t]
                    out[:, i, j, s] += np.einsum("bxyi,xyio->bo", patch, planar)
    return out


@pytest.mark.parametrize("lifting", [True, False])
@pytest.mark.parametrize(("name", "k", "stride", "padding", "n"), CASES)
def test_values_are_those_of_the_definition(name, k, stride, padding, n, lifting):
    group = GROUPS[name]
    x, w = make_arrays(group, k, n, lifting)
    ours = group_conv(jnp.float32(x), jnp.float32(w), group, stride, padding)
    np.testing.assert_allclose(
        ours, definition(x, w, group, stride, padding), atol=1e-4
    )


@pytest.mark.parametrize("lifting", [True, False])
@pytest.mark.parametrize(("name", "k", "stride", "padding", "n"), CASES)
def test_equivariant_for_every_element(name, k, stride, padding, n, lifting):
    group = GROUPS[name]
    x, w = make_arrays(group, k, n, lifting)

    def conv(x):
        return group_conv(jnp.float32(x), jnp.float32(w), group, stride, padding)

    y = conv(x)
    for g in range(group.order):
        turned = act(x, g) if lifting else act_on_features(x, g, group)
        np.testing.assert_allclose(
            conv(turned), act_on_features(y, g, group), atol=1e-4
        )


def test_negative_control_swapped_inverse():
    group = GROUPS["p4m"]
    x, w = make_arrays(group, 3, 5, lifting=False)
    # Slices taken at s·t instead of s⁻¹·t: right for the identity only.
    wrong = np.stack(
        [
            np.stack(
                [act(w[:, :, group.cayley[s, t]], s, (0, 1)) for t in range(8)], axis=2
            )
            for s in range(8)
        ],
        axis=-2,
    )

    def conv(x):
        return np.einsum("bxyti,xytiso->bso", x, wrong)[:, None, None]

    errors = [
        np.abs(
            conv(act_on_features(x, g, group)[:, :3, :3])
            - act_on_features(conv(x[:, :3, :3]), g, group)
        ).max()
        for g in range(1, 8)
    ]
    assert max(errors) > 1


def test_negative_control_same_padding_with_stride_2_on_even_size():
    group = GROUPS["p4m"]
    x, w = make_arrays(group, 3, 6, lifting=True)

    def conv(x):  # SAME on 6 px pads (0, 1): padding 0 before and 1 after
        after = jnp.pad(jnp.float32(x), [(0, 0), (0, 1), (0, 1), (0, 0), (0, 0)])
        return group_conv(after, jnp.float32(w), group, stride=2)

    y = conv(x)
    errors = [
        np.abs(conv(act(x, g)) - act_on_features(y, g, group)).max()
        for g in range(1, 8)
    ]
    # Only the reflection that swaps rows and columns moves the padding onto itself.
    assert sum(error > 1 for error in errors) == 6


def test_gradient_is_that_of_finite_differences():
    with jax.enable_x64(True):
        group = GROUPS["p4m"]
        x, w = map(jnp.asarray, make_arrays(group, 3, 5, lifting=False))
        check_grads(
            lambda x, w: (group_conv(x, w, group) ** 2).sum(), (x, w), 1, modes=["rev"]
        )


@pytest.mark.parametrize("name", ["p4", "p4m"])
def test_whole_map_convolution_is_the_convolution(name):
    group = GROUPS[name]
    x, w = map(jnp.float32, make_arrays(group, 4, 4, lifting=False))
    ordinary = group_conv(x, w, group)[:, 0, 0]
    np.testing.assert_allclose(whole_map_group_conv(x, w, group), ordinary, atol=1e-4)

    def loss(conv):
        return jax.grad(lambda x, w: jnp.sin(conv(x, w, group)).sum(), argnums=(0, 1))

    for ours, theirs in zip(
        loss(whole_map_group_conv)(x, w), loss(group_conv)(x, w), strict=True
    ):
        # Of order 10: a relative 1e-4.
        np.testing.assert_allclose(ours, theirs.reshape(ours.shape), atol=1e-3)


@pytest.mark.parametrize("conv", [group_conv, whole_map_group_conv])
def test_gradient_program_has_no_scatter(conv):
    group = GROUPS["p4m"]
    x, w = map(jnp.float32, make_arrays(group, 4, 4, lifting=False))
    step = jax.jit(jax.grad(lambda x, w: conv(x, w, group).sum(), argnums=(0, 1)))
    assert "stablehlo.scatter" not in step.lower(x, w).as_text()
    assert " scatter(" not in step.lower(x, w).compile().as_text()
    naive = jax.jit(jax.grad(lambda w: w[jnp.array([[0, 1], [1, 0]])].sum()))
    assert "stablehlo.scatter" in naive.lower(jnp.ones((2, 3))).as_text()


def test_filter_transform_has_the_width_of_an_ordinary_filter():
    w = jnp.ones((5, 5, 8, 3, 4))
    assert transform_filter(w, GROUPS["p4m"]).shape == (5, 5, 24, 32)
    assert Group("p4", 4) == GROUPS["p4"]


def test_trivial_group_is_the_planar_convolution_at_no_cost(key):
    x, w = (
        jax.random.normal(key, (2, 7, 7, 1, 3)),
        jax.random.normal(key, (3, 3, 1, 3, 4)),
    )
    y = group_conv(x, w, GROUPS["p1"], stride=2, padding=1)
    expected = conv(x[:, :, :, 0], w[:, :, 0], 2, 1)
    np.testing.assert_array_equal(y[:, :, :, 0], expected)
    jaxpr = jax.make_jaxpr(lambda w: transform_filter(w, GROUPS["p1"]))(w)
    assert [equation.primitive.name for equation in jaxpr.eqns] == ["reshape"]
