"""The one planar convolution of all networks, and how a CPU computes it.

XLA's convolutions are slow on a CPU, above all of few channels and in the gradient of
the filter. There the windows are laid out along the width, and each row of the filter
is one matrix product: the same sums in another order. Accelerators convolve.
"""

import functools

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
    if padding:
        x = jnp.pad(x, [(0, 0), (padding, padding), (padding, padding), (0, 0)])
    return _convolve(x, w, stride) if stride > 1 else _conv(x, w)


def as_filter(w: jax.Array, x: jax.Array) -> jax.Array:
    """Returns ``w`` in the type of ``x``, which must be floats (else a TypeError)."""
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise TypeError(f"the input is {x.dtype}: give floats, as x / 255.0")
    return w.astype(x.dtype)


def _convolve(x, w, stride=1):
    return lax.conv_general_dilated(
        x, w, (stride, stride), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


@jax.custom_vjp
def _conv(x, w):
    return lax.platform_dependent(x, w, cpu=_by_rows, default=_convolve)


def _forward(x, w):
    return _conv(x, w), (x, w)


def _backward(residuals, g):
    x, w = residuals
    (dx,) = jax.vjp(lambda x: _convolve(x, w), x)[1](g)
    dw = lax.platform_dependent(
        x, w, g, cpu=_filter_gradient_by_rows, default=_filter_gradient
    )
    return dx, dw


_conv.defvjp(_forward, _backward)


def _windows(x, w):
    """Yields ``[b·h'·w' k·in]`` for each of the k rows of ``w``: what it looks at."""
    size = w.shape[0]
    height, width = (n - size + 1 for n in x.shape[1:3])
    along_width = jnp.concatenate(
        [x[:, :, j : j + width] for j in range(size)], axis=-1
    )  # [b h w' k·in]
    for i in range(size):
        yield along_width[:, i : i + height].reshape(-1, along_width.shape[-1])


def _by_rows(x, w):
    size, features_out = w.shape[0], w.shape[-1]
    # Rounded once, after the sum, as accelerators do it.
    sum_type = jnp.promote_types(x.dtype, jnp.float32)
    products = [
        jnp.matmul(
            windows, row.reshape(-1, features_out), preferred_element_type=sum_type
        )
        for windows, row in zip(_windows(x, w), w, strict=True)
    ]
    height, width = (n - size + 1 for n in x.shape[1:3])
    y = functools.reduce(jnp.add, products).astype(x.dtype)
    return y.reshape(len(x), height, width, features_out)


def _filter_gradient(x, w, g):
    return jax.vjp(lambda w: _convolve(x, w), w)[1](g)[0]


def _filter_gradient_by_rows(x, w, g):
    flat = g.reshape(-1, g.shape[-1])
    return jnp.stack([windows.T @ flat for windows in _windows(x, w)]).reshape(w.shape)
