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
    w = as_filter(w, x)
    if stride > 1 or x.shape[-1] > 4 or len(w) < 4:
        return _convolve(x, w, (stride, stride), padding)
    return _conv_of_image(x, w, padding)


def as_filter(w: jax.Array, x: jax.Array) -> jax.Array:
    """Returns ``w`` in the type of ``x``, which must be floats (else a TypeError)."""
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise TypeError(f"the input is {x.dtype}: give floats, as x / 255.0")
    return w.astype(x.dtype)


def _convolve(x, w, strides, padding):
    return lax.conv_general_dilated(
        x,
        w,
        strides,
        [(padding, padding)] * 2,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


def _by_columns(x, w, padding):
    """Computes up to four columns of the result from one wider window."""
    size, features_out = len(w), w.shape[-1]
    width = x.shape[2] + 2 * padding - size + 1
    fits = [n for n in (2, 4) if width % n == 0 and n * features_out <= 64]
    n = max(fits, default=1)
    moved = [jnp.pad(w, [(0, 0), (i, n - 1 - i), (0, 0), (0, 0)]) for i in range(n)]
    y = _convolve(x, jnp.concatenate(moved, axis=3), (1, n), padding)
    return y.reshape(*y.shape[:2], width, features_out)


# With few channels a CPU takes longer to gather the windows than to multiply them.
_conv_of_image = jax.custom_vjp(_by_columns, nondiff_argnums=(2,))


def _forward(x, w, padding):
    return _by_columns(x, w, padding), (x, w)


def _backward(padding, x_and_w, g):
    def convolve(x, w):
        if w.shape[-1] < 16:
            return _by_columns(x, w, padding)
        return _convolve(x, w, (1, 1), padding)

    return jax.vjp(convolve, *x_and_w)[1](g)


_conv_of_image.defvjp(_forward, _backward)
