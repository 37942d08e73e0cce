"""The planar convolution, against sums over windows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gzjax.ops.conv import conv

RNG = np.random.default_rng(0)


def sums_over_windows(x, w, stride, padding):
    size, edges = len(w), (padding, padding)
    x = jnp.pad(x, [(0, 0), edges, edges, (0, 0)])
    height, width = (n - size + 1 for n in x.shape[1:3])
    return sum(
        x[:, i : i + height : stride, j : j + width : stride] @ w[i, j]
        for i in range(size)
        for j in range(size)
    )


def draw(*shape):
    return jnp.asarray(RNG.normal(size=shape).astype(np.float32))


@pytest.mark.parametrize("features_out", [5, 16])
@pytest.mark.parametrize(
    ("height", "width", "size", "features_in", "stride", "padding"),
    [
        (9, 9, 3, 2, 1, 0),
        (9, 7, 4, 3, 1, 0),
        (5, 5, 5, 1, 1, 0),
        (6, 6, 1, 4, 1, 0),
        (8, 8, 3, 2, 1, 1),
        (9, 9, 3, 2, 2, 0),
        (9, 9, 3, 2, 2, 1),
        (6, 8, 5, 3, 1, 2),
        (9, 6, 4, 3, 1, 1),
        (9, 9, 4, 6, 1, 0),
    ],
)
def test_values_and_gradients_are_sums_over_windows(
    height, width, size, features_in, stride, padding, features_out
):
    x = draw(2, height, width, features_in)
    w = draw(size, size, features_in, features_out)
    y, vjp = jax.vjp(lambda x, w: conv(x, w, stride, padding), x, w)
    expected, expected_vjp = jax.vjp(
        lambda x, w: sums_over_windows(x, w, stride, padding), x, w
    )
    np.testing.assert_allclose(y, expected, atol=3e-5)
    g = draw(*y.shape)
    for found, wanted in zip(vjp(g), expected_vjp(g), strict=True):
        assert found.dtype == wanted.dtype
        np.testing.assert_allclose(found, wanted, atol=2e-4)


@pytest.mark.parametrize("dtype", [jnp.uint8, jnp.int32, jnp.bool_])
def test_whole_numbers_are_refused(dtype):
    with pytest.raises(TypeError, match=f"is {jnp.dtype(dtype)}: give floats"):
        conv(jnp.ones((1, 5, 5, 2), dtype), draw(3, 3, 2, 2))
