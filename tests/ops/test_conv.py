"""The planar convolution: the CPU's sums are those of XLA's convolution."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from gzjax.ops.conv import conv

RNG = np.random.default_rng(0)


def reference(x, w, stride, padding):
    strides, paddings = (stride, stride), [(padding, padding)] * 2
    return lax.conv_general_dilated(
        x, w, strides, paddings, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def draw(*shape):
    return jnp.asarray(RNG.normal(size=shape).astype(np.float32))


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
    ],
)
def test_values_and_gradients_are_those_of_the_convolution(
    height, width, size, features_in, stride, padding
):
    x, w = draw(2, height, width, features_in), draw(size, size, features_in, 5)
    y, vjp = jax.vjp(lambda x, w: conv(x, w, stride, padding), x, w)
    expected, expected_vjp = jax.vjp(
        lambda x, w: reference(x, w, stride, padding), x, w
    )
    np.testing.assert_allclose(y, expected, atol=1e-5)
    g = draw(*y.shape)
    for found, wanted in zip(vjp(g), expected_vjp(g), strict=True):
        assert found.dtype == wanted.dtype
        np.testing.assert_allclose(found, wanted, atol=1e-4)


@pytest.mark.parametrize(
    ("platform", "forward", "gradients"), [("cpu", 0, 1), ("cuda", 1, 2), ("tpu", 1, 2)]
)
def test_accelerators_convolve_and_cpus_multiply(platform, forward, gradients):
    x, w = draw(2, 9, 9, 3), draw(3, 3, 3, 5)

    def convolutions(function):
        lowered = jax.jit(function).trace(x, w).lower(lowering_platforms=(platform,))
        return lowered.as_text().count("stablehlo.convolution")

    assert convolutions(conv) == forward
    pulled = jax.grad(
        lambda x, w: (conv(x, w) * jnp.ones(5)[None, None, None]).sum(), argnums=(0, 1)
    )
    assert convolutions(pulled) == gradients


@pytest.mark.parametrize("dtype", [jnp.uint8, jnp.int32, jnp.bool_])
def test_whole_numbers_are_refused(dtype):
    with pytest.raises(TypeError, match=f"is {jnp.dtype(dtype)}: give floats"):
        conv(jnp.ones((1, 5, 5, 2), dtype), draw(3, 3, 2, 2))
