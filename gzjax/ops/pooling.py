"""Spatial pooling: the largest, with explicit symmetric padding, or the mean."""

import jax
import jax.numpy as jnp
from jax import lax

from gzjax.ops.windows import Window


def max_pool(x: jax.Array, window: Window) -> jax.Array:
    """The largest value of each window; padding never wins.

    Windows that do not overlap (stride = size) are folded out and reduced: on a CPU its
    gradient is several times faster than that of ``reduce_window``, and ties share the
    gradient equally, so that it is equivariant too.

    Args:
        x: ``[b h w ...]``, h = w.
        window: its positions that would reach beyond the padding are left out.

    Returns:
        ``[b h' w' ...]`` with ``h' = window.output_size(h)``.
    """
    k, p = window.size, window.padding
    if window.stride != k:
        ones = (1,) * (x.ndim - 3)
        return lax.reduce_window(
            x,
            -jnp.inf,
            lax.max,
            (1, k, k, *ones),
            (1, window.stride, window.stride, *ones),
            [(0, 0), (p, p), (p, p), *[(0, 0)] * len(ones)],
        )
    return _folded(x, window, -jnp.inf).max(axis=(2, 4)).reshape(_shape(x, window))


def mean_pool(x: jax.Array, window: Window) -> jax.Array:
    """The mean of each window; windows neither overlap nor reach beyond the map.

    Args:
        x: ``[b h w ...]``, h = w.
        window: its positions that would reach beyond the map are left out.

    Returns:
        ``[b h' w' ...]`` with ``h' = window.output_size(h)``.

    Raises:
        ValueError: the window's stride is not its size, or it has padding.
    """
    if window.stride != window.size or window.padding:
        raise ValueError(f"no means of windows that overlap or are padded: {window}")
    return _folded(x, window, 0.0).mean(axis=(2, 4)).reshape(_shape(x, window))


def _folded(x, window, fill):
    """``[b h' k w' k c]``: windows that do not overlap; c is all the other axes."""
    k, p = window.size, window.padding
    n = window.output_size(x.shape[1])
    after = n * k - x.shape[1] - p  # negative: crops what no window covers
    # All channels as one axis: short last axes make slow loops on a CPU.
    channels = x.reshape(*x.shape[:3], -1)
    edges = [(0, 0, 0), (p, after, 0), (p, after, 0), (0, 0, 0)]
    padded = lax.pad(channels, jnp.array(fill, x.dtype), edges)
    return padded.reshape(x.shape[0], n, k, n, k, -1)


def _shape(x, window):
    n = window.output_size(x.shape[1])
    return (x.shape[0], n, n, *x.shape[3:])
