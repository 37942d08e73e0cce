"""The window rule, its message, and max pooling against brute force."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from gzjax.ops.groups import act
from gzjax.ops.pooling import blur_pool, largest, max_pool, mean_pool
from gzjax.ops.windows import Window, check_exact, is_exact, output_size

PUBLISHED = (
    Window("conv1", 5),
    Window("pool1", 3, 3, 1),
    Window("conv2", 5),
    Window("pool2", 2, 2, 1),
    *(Window(f"conv{i}", 3) for i in (3, 4, 5, 6)),
    Window("pool6", 3, 3, 1),
)


def test_published_windows_are_exact_at_116_and_not_at_120():
    assert output_size(116, PUBLISHED) == output_size(120, PUBLISHED) == 4
    exact = [n for n in range(60, 125) if is_exact(n, PUBLISHED)]
    assert exact == [62, 80, 98, 116]


def test_message_names_layer_numbers_and_sizes_that_work():
    check_exact(116, PUBLISHED)
    message = r"120 px.*pool1.*window 3, stride 3, padding 1.*map of 116.*98, 116, 134"
    with pytest.raises(ValueError, match=message):
        check_exact(120, PUBLISHED)
    with pytest.raises(ValueError, match="12 px are too few: conv2"):
        check_exact(12, PUBLISHED)


def brute_force(x, window):
    p, k = window.padding, window.size
    x = np.pad(x, [(0, 0), (p, p), (p, p), (0, 0)], constant_values=-np.inf)
    n = (x.shape[1] - k) // window.stride + 1
    starts = np.arange(n) * window.stride
    return np.stack(
        [
            np.stack([x[:, i : i + k, j : j + k].max((1, 2)) for j in starts], 1)
            for i in starts
        ],
        1,
    )


@pytest.mark.parametrize("n", [6, 7, 8])
@pytest.mark.parametrize(
    "window",
    [(2, 2), (2, 2, 1), (3, 3, 1), (3, 2, 1), (3, 1), (2, 3), (6, 6), (1, 1)],
    ids=str,
)
def test_max_pool_is_brute_force(n, window):
    window = Window("pool", *window)
    x = np.random.default_rng(0).normal(size=(2, n, n, 3)).astype(np.float32)
    np.testing.assert_array_equal(
        max_pool(jnp.asarray(x), window), brute_force(x, window)
    )


@pytest.mark.parametrize("window", [(2, 2), (3, 2, 1)], ids=str)
def test_no_galaxy_is_pooled_to_none(window):
    pooled, pull_back = jax.vjp(
        lambda x: max_pool(x, Window("p", *window)), jnp.zeros((0, 8, 8, 2, 3))
    )
    assert pooled.shape == (0, 4, 4, 2, 3)
    assert pull_back(pooled)[0].shape == (0, 8, 8, 2, 3)


@pytest.mark.parametrize("element", range(8))
@pytest.mark.parametrize(
    "window", [(3, 3), (2, 2, 1), (3, 1), (2, 2), (4, 2, 2), (2, 4), (1, 1)]
)
def test_gradient_of_ties_is_equivariant(window, element):
    x = jnp.round(jax.random.uniform(jax.random.key(1), (1, 6, 6, 1)))  # zeros and ones
    window = Window("p", *window)
    n = window.output_size(6)
    c = jax.random.normal(jax.random.key(2), (1, n, n, 1))
    gradient = jax.grad(lambda x, c: (max_pool(x, window) * c).sum())
    np.testing.assert_allclose(
        gradient(act(x, element), act(c, element)),
        act(gradient(x, c), element),
        atol=1e-7,
    )


@pytest.mark.parametrize(
    "window", [Window("a", 2, 2), Window("b", 3, 3, 1), Window("c", 3, 2, 1)]
)
def test_gradient_is_whole_whatever_the_compiler_computes_twice(window):
    """One program from values to gradient, and the same in two."""
    x = jax.random.normal(jax.random.key(1), (4, 14, 14, 16))
    scale, offset = jax.random.normal(jax.random.key(2), (2, 1, 1, 1, 16))

    def affine(scale):
        return x * scale + offset

    def pooled(y):
        return (max_pool(y, window) ** 2).sum()

    gradient = jax.jit(jax.grad(lambda scale: pooled(affine(scale))))(scale)
    y, pull_back = jax.vjp(affine, scale)
    np.testing.assert_allclose(gradient, pull_back(jax.grad(pooled)(y))[0], rtol=1e-4)


@pytest.mark.parametrize("axis", [1, -1])
def test_gradient_of_the_largest_is_whole_too(axis):
    x = jax.random.normal(jax.random.key(1), (3, 49, 16))
    scale, offset = jax.random.normal(jax.random.key(2), (2, 1, 1, 16))
    np.testing.assert_array_equal(largest(x, axis), x.max(axis))

    def loss(scale):
        return (largest(x * scale + offset, axis) ** 2).sum()

    y = np.asarray(x * scale + offset)
    expected = np.zeros(16)
    for i, row in np.ndenumerate(y.argmax(axis)):
        at = (i[0], row, i[1]) if axis == 1 else (i[0], i[1], row)
        expected[at[2]] += 2 * y[at] * x[at]
    gradient = jax.jit(jax.grad(loss))(scale)
    np.testing.assert_allclose(gradient[0, 0], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("n", [6, 7])
def test_mean_pool_is_brute_force(n):
    x = np.random.default_rng(0).normal(size=(2, n, n, 2, 3)).astype(np.float32)
    blocks = x[:, :6, :6].reshape(2, 3, 2, 3, 2, 2, 3)
    y = mean_pool(jnp.asarray(x), Window("a", 2, 2))
    np.testing.assert_allclose(y, blocks.mean(axis=(2, 4)), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(mean_pool(jnp.asarray(x), Window("b", 1)), x)


@pytest.mark.parametrize("window", [Window("a", 3, 2), Window("b", 2, 2, 1)])
def test_mean_pool_refuses_windows_that_overlap_or_are_padded(window):
    with pytest.raises(ValueError, match="overlap or are padded"):
        mean_pool(jnp.zeros((1, 6, 6, 1)), window)


@pytest.mark.parametrize("pool", [max_pool, mean_pool])
@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 6, 8, 1), "not a square"),
        ((6, 6, 1), "not a square"),
        ((1, 2, 2, 1), "2 px are too few: a has a window of 3 px"),
    ],
)
def test_maps_that_cannot_be_pooled_are_refused(pool, shape, message):
    with pytest.raises(ValueError, match=message):
        pool(jnp.zeros(shape), Window("a", 3, 3))


@pytest.mark.parametrize("window", [(7, 3), (6, 2), (5, 2, 2), (4, 3, 1)], ids=str)
def test_blur_pool_is_a_weighted_mean_of_what_is_there(window):
    window, n = Window("pool", *window), 13
    x = np.random.default_rng(0).normal(size=(2, n, n, 2, 3)).astype(np.float32)
    p, k = window.padding, window.size
    tap = np.exp(-((np.arange(k) - (k - 1) / 2) ** 2) / (2 * 0.9**2))
    weights, there = np.outer(tap, tap)[:, :, None, None], np.ones((n + 2 * p,) * 2)
    there[:p], there[:, :p], there[n + p :], there[:, n + p :] = 0, 0, 0, 0
    padded = np.pad(x, [(0, 0), (p, p), (p, p), (0, 0), (0, 0)])
    ours = blur_pool(jnp.asarray(x), window, sigma=0.9)
    assert ours.shape[1:3] == (window.output_size(n),) * 2
    for i in range(ours.shape[1]):
        for j in range(ours.shape[2]):
            at = np.s_[
                i * window.stride : i * window.stride + k,
                j * window.stride : j * window.stride + k,
            ]
            here = weights * there[at][:, :, None, None]
            expected = (here * padded[:, *at]).sum((1, 2)) / here.sum()
            np.testing.assert_allclose(ours[:, i, j], expected, atol=1e-5)


@pytest.mark.parametrize("element", range(8))
def test_blur_pool_turns_under_the_window_rule_only(element):
    x = np.random.default_rng(0).normal(size=(1, 12, 12, 3)).astype(np.float32)
    for window, exact in ((Window("", 6, 2), True), (Window("", 6, 4), False)):
        moved = blur_pool(jnp.asarray(act(x, element)), window)
        change = np.abs(moved - act(blur_pool(jnp.asarray(x), window), element)).max()
        # Elements 0 and 5 (a transposition) keep the first row and column first.
        assert change < 1e-6 if exact or element in (0, 5) else change > 0.01


@pytest.mark.parametrize("window", [(7, 3), (5, 2, 2), (4, 3, 1)], ids=str)
def test_gradient_of_blur_pool_is_that_of_finite_differences(window):
    with jax.enable_x64(True):
        x = np.random.default_rng(0).normal(size=(1, 13, 13, 2))
        check_grads(lambda x: blur_pool(x, Window("", *window)), (x,), 1, ["rev"])


@pytest.mark.parametrize("window", [(0,), (3, 0), (3, 1, 3), (3, 1, -1)])
def test_windows_without_a_meaning_are_refused(window):
    with pytest.raises(ValueError, match="a padding below the window"):
        Window("pool1", *window)


@pytest.mark.parametrize("sigma", [-1.0, np.nan, 0.01])
def test_a_blur_that_reaches_no_pixel_is_refused(sigma):
    with pytest.raises(ValueError, match="give a larger one, or 0"):
        blur_pool(jnp.zeros((1, 8, 8, 1)), Window("pool1", 6, 2), sigma)
