"""The one planar convolution of all networks."""

import jax
import jax.numpy as jnp
from jax import lax


def conv(x: jax.Array, w: jax.Array, stride: int = 1, padding: int = 0) -> jax.Array:
    """Returns a cross-correlation without bias, in the type of ``x``.

    Args:
        x: ``[b h w in]``, of floats (else a TypeError).
        w: ``[k k in out]``, rounded to the type of ``x``.
        stride: step of the window, in both directions.
        padding: zeros on every side.

    Returns:
        ``[b h' w' out]``, ``h' = (h + 2 padding - k) // stride + 1``.
    """
    return lax.conv_general_dilated(
        x,
        as_filter(w, x),
        window_strides=(stride, stride),
        padding=[(padding, padding)] * 2,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


def as_filter(w: jax.Array, x: jax.Array) -> jax.Array:
    """Returns ``w`` in the type of ``x``, which must be floats (else a TypeError)."""
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise TypeError(f"the input is {x.dtype}: give floats, as x / 255.0")
    return w.astype(x.dtype)
