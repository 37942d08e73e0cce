"""Pooling: over space the largest or the mean, and over the group."""

import jax
import jax.numpy as jnp
from jax import lax

from gzjax.ops.windows import Window, output_size


def max_pool(x: jax.Array, window: Window) -> jax.Array:
    """Returns the largest value of each window; padding never wins.

    Windows that do not overlap (stride = size) are folded out and reduced: on a CPU the
    gradient is several times faster than that of ``reduce_window``, and ties share it
    equally, so that it is equivariant too.

    Args:
        x: ``[b h w ...]``, h = w.
        window: its positions that would reach beyond the padding are left out.

    Returns:
        ``[b h' w' ...]`` with ``h' = window.output_size(h)``.
    """
    _check_square(x, window)
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
    return _largest_of_each(_folded(x, window, -jnp.inf)).reshape(_shape(x, window))


@jax.custom_vjp
def _largest_of_each(folded):
    """Maps ``[b h' k w' k c]`` to ``[b h' w' c]``."""
    return folded.max(axis=(2, 4))


def _forward(folded):
    return _largest_of_each(folded), folded


def _backward(folded, g):
    # Not by "equal to the largest", as of ``max``: a compiler that computes the values
    # twice, rounded otherwise, finds none that is. Shares of a knock-out sum to 1.
    k = folded.shape[2]
    values = [folded[:, :, i, :, j] for i in range(k) for j in range(k)]
    _, _, shares = _knock_out(values)
    parts = jnp.stack([g * share for share in shares], axis=2)  # [b h' kk w' c]
    parts = parts.reshape(*parts.shape[:2], k, k, *parts.shape[3:])
    return (jnp.swapaxes(parts, 3, 4),)


_largest_of_each.defvjp(_forward, _backward)


def _knock_out(values: list) -> tuple:
    """Returns the largest, how many are as large, and the share of each."""
    if len(values) == 1:
        return values[0], 1.0, [1.0]
    half = len(values) // 2
    a, num_a, shares_a = _knock_out(values[:half])
    b, num_b, shares_b = _knock_out(values[half:])
    tie = num_a / (num_a + num_b)
    to_a = jnp.where(a > b, 1.0, jnp.where(a < b, 0.0, tie))
    num = jnp.where(a > b, num_a, jnp.where(a < b, num_b, num_a + num_b))
    shares = [s * to_a for s in shares_a] + [s * (1 - to_a) for s in shares_b]
    return jnp.maximum(a, b), num, shares


def largest(x: jax.Array, axis: int) -> jax.Array:
    """Returns the largest along an axis; the gradient goes to its first place.

    Found by place and not by value, for the reason in :func:`_backward`.
    """
    n = x.shape[axis]
    place = jax.nn.one_hot(jnp.argmax(x, axis), n, axis=axis, dtype=x.dtype)
    return jnp.sum(x * place, axis)


def mean_pool(x: jax.Array, window: Window) -> jax.Array:
    """Returns the mean of each window, as :func:`max_pool` the largest value.

    Raises:
        ValueError: windows overlap or are padded.
    """
    _check_square(x, window)
    if window.stride != window.size or window.padding:
        raise ValueError(f"no means of windows that overlap or are padded: {window}")
    return _folded(x, window, 0.0).mean(axis=(2, 4)).reshape(_shape(x, window))


def group_pool(x: jax.Array) -> jax.Array:
    """Returns the mean over the group, ``[... g c] → [... c]``.

    A feature map ``[b h w g c]`` becomes a planar one, which turns as the image does;
    features without space, ``[b g c]``, become numbers that do not change.
    """
    return x.mean(axis=-2)


def _check_square(x, window):
    if x.ndim < 4 or x.shape[1] != x.shape[2]:
        raise ValueError(f"{list(x.shape)} is not a square feature map [b h w ...]")
    output_size(x.shape[1], [window])


def _folded(x, window, fill):
    """Returns ``[b h' k w' k c]``, disjoint windows; c is all the other axes."""
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
