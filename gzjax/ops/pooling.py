"""Pooling: over space the largest, the mean or a blur; and over the group."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from gzjax.ops.windows import Window, output_size

_MAX_SIZE = 5  # px of a window with a bit for each pixel, in 32
_MOST_SHARE = 1e6  # that makes up for the padding of a window
_WHOLE = (0, 0, 0)  # of an axis that is not padded


def max_pool(x: jax.Array, window: Window) -> jax.Array:
    """Returns the largest value of each window; padding never wins.

    Ties share the gradient equally, so that it is equivariant too (windows of more than
    5 px: the first takes it all).

    Args:
        x: ``[b h w ...]``, h = w.
        window: its positions that would reach beyond the padding are left out.

    Returns:
        ``[b h' w' ...]`` with ``h' = window.output_size(h)``.
    """
    _check_square(x, window)
    k, s, p = window.size, window.stride, window.padding
    # Short last axes make slow loops on a CPU.
    channels = x.reshape(*x.shape[:3], math.prod(x.shape[3:]))
    if 1 < k <= _MAX_SIZE:
        y = _max_pool(channels, window, x.shape[1])
    else:
        edges = [(0, 0), (p, p), (p, p), (0, 0)]
        y = lax.reduce_window(
            channels, -jnp.inf, lax.max, (1, k, k, 1), (1, s, s, 1), edges
        )
    return y.reshape(*y.shape[:3], *x.shape[3:])


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def _max_pool(x, window, size):
    """Maps ``[b size size c]`` to ``[b h' w' c]``.

    On a CPU the gradient of ``reduce_window`` takes several times as long. This one
    keeps a bit for each pixel of a window: whether it is the largest.
    """
    k = window.size
    if window.stride != k:
        return functools.reduce(jnp.maximum, _pixels(x, window))
    n = window.output_size(size)
    folded = _covered(x, window).reshape(len(x), n, k, n, k, x.shape[-1])
    return folded.max(axis=(2, 4))


def _covered(x, window):
    """Pads x, and cuts off what no window covers."""
    p, size = window.padding, x.shape[1]
    after = window.stride * (window.output_size(size) - 1) + window.size - size - p
    edges = (p, after, 0)
    return lax.pad(x, jnp.array(-jnp.inf, x.dtype), [_WHOLE, edges, edges, _WHOLE])


def _pixels(x, window):
    """Returns the k² pixels ``[b h' w' c]`` of the windows, row by row."""
    k, s = window.size, window.stride
    x = _covered(x, window)
    n = x.shape[1] - k + 1
    return [x[:, i : i + n : s, j : j + n : s] for i in range(k) for j in range(k)]


def _forward(x, window, size):
    num = window.size**2
    bits = [np.min_scalar_type(2**num - 1).type(1 << i) for i in range(num)]
    pixels = _pixels(x, window)
    _, winners = functools.reduce(_larger, zip(pixels, bits, strict=True))
    return _max_pool(x, window, size), winners


def _larger(one, other):
    # Not by "equal to the largest": a compiler that computes a value twice, rounded
    # otherwise, may find none that is.
    (x, bits_x), (y, bits_y) = one, other
    bits = jnp.where(x > y, bits_x, jnp.where(x < y, bits_y, bits_x | bits_y))
    return jnp.maximum(x, y), bits


def _backward(window, size, winners, g):
    k, s, p = window.size, window.stride, window.padding
    share = g / lax.population_count(winners).astype(g.dtype)
    if s != k:
        reach = s * (g.shape[1] - 1) + 1

        def spread(i, j):
            wins = winners >> i * k + j & 1 == 1
            edges = [(n - p, size + p - n - reach, s - 1) for n in (i, j)]
            return _unpad(jnp.where(wins, share, 0), edges)

        return (sum(spread(i, j) for i in range(k) for j in range(k)),)
    bit = jnp.arange(k * k, dtype=winners.dtype).reshape(1, 1, k, 1, k, 1)
    wins = winners[:, :, None, :, None] >> bit & 1  # [b h' k w' k c]
    n = k * g.shape[1]

    def unfolded(y):
        y = jnp.broadcast_to(y, wins.shape).reshape(len(y), n, n, y.shape[-1])
        return _unpad(y, [(-p, size + p - n, 0)] * 2)

    # The choice comes last: XLA then computes it once for all who need it.
    return (jnp.where(unfolded(wins) == 1, unfolded(share[:, :, None, :, None]), 0),)


def _unpad(y, edges):
    return lax.pad(y, jnp.array(0, y.dtype), [_WHOLE, *edges, _WHOLE])


_max_pool.defvjp(_forward, _backward)


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
    k, n = window.size, window.output_size(x.shape[1])
    if window.stride != k or window.padding:
        raise ValueError(f"no means of windows that overlap or are padded: {window}")
    covered = x[:, : k * n, : k * n]
    return covered.reshape(len(x), n, k, n, k, *x.shape[3:]).mean(axis=(2, 4))


def blur_pool(x: jax.Array, window: Window, sigma: float = 0.0) -> jax.Array:
    """Returns a Gaussian mean of each window, as :func:`max_pool` the largest value.

    What a stride cannot show is blurred away first (Zhang 2019). So the result turns
    with x by any angle, to a good approximation. Padding has no weight.

    Args:
        sigma: width of the Gaussian, in px; 0 stands for 0.65 of the stride.

    Raises:
        ValueError: also if sigma is negative, or too narrow to reach a pixel.
    """
    _check_square(x, window)
    width = sigma or 0.65 * window.stride
    with np.errstate(all="ignore"):
        _, share = _taps(window, x.shape[1], width)
    if not (width > 0 and np.max(share) < _MOST_SHARE):
        raise ValueError(f"sigma is {sigma} px for {window}: give a larger one, or 0")
    channels = x.reshape(*x.shape[:3], math.prod(x.shape[3:]))
    y = _blur(channels, window, x.shape[1], width)
    return y.reshape(*y.shape[:3], *x.shape[3:])


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2, 3))
def _blur(x, window, size, sigma):
    """Maps ``[b size size c]`` to ``[b h' w' c]``; a CPU takes sums of slices best."""
    k, s, p, n = window.size, window.stride, window.padding, window.output_size(size)
    taps, share = _taps(window, size, sigma)
    x = jnp.pad(x, [(0, 0), (p, p), (p, p), (0, 0)])
    for axis in (1, 2):
        at = [(i, i + s * (n - 1) + 1) for i in range(k)]
        slices = [lax.slice_in_dim(x, *ends, s, axis) for ends in at]
        x = functools.reduce(jnp.add, map(jnp.multiply, taps.tolist(), slices))
    if p:
        x = x * jnp.asarray(np.outer(share, share)[None, :, :, None], x.dtype)
    return x


def _taps(window, size, sigma):
    """Returns the weights of a window ``[k]``, and of each window 1 / those within."""
    within = np.arange(window.size) - (window.size - 1) / 2
    taps = np.exp(-(within**2) / (2 * sigma**2))
    taps /= taps.sum()
    there = np.pad(np.ones(size), window.padding)
    starts = window.stride * np.arange(window.output_size(size))
    return taps, 1 / np.array([taps @ there[i : i + window.size] for i in starts])


def _blur_backward(window, size, sigma, _, g):
    # Sums of slices that are spread out take longer than a product.
    taps, share = _taps(window, size, sigma)
    blur = np.zeros((len(share), size + 2 * window.padding))
    for i, factor in enumerate(share):
        blur[i, window.stride * i :][: window.size] = factor * taps
    rows = jnp.asarray(blur[:, window.padding :][:, :size], g.dtype)
    return (jnp.einsum("jw,bhjc->bhwc", rows, jnp.einsum("ih,bijc->bhjc", rows, g)),)


_blur.defvjp(lambda x, *static: (_blur(x, *static), None), _blur_backward)


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
