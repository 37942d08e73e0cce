"""Counter-based random numbers: draw k of key n is a function of (seed, n, k) alone.

A hash keyed by a position needs no generator state, so a batch can be drawn in one
vectorised call and the stream does not depend on batch size, workers or processes.
The mixing function is the finaliser of SplitMix64 (Steele, Lea & Flood 2014).
"""

import functools

import numpy as np

_ORDER = 2**32  # a stream apart from those of augmentation
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def _mix(x: np.ndarray) -> np.ndarray:
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def hash64(seed: int, *keys: np.ndarray | int) -> np.ndarray:
    """Returns uint64 hashes of ``(seed, *keys)``; non-negative integers broadcast."""
    state = np.asarray(seed).astype(np.uint64)
    with np.errstate(over="ignore"):  # arithmetic modulo 2^64 is the point
        state = _mix(state + _GOLDEN)
        for key in keys:
            state = _mix((state ^ np.asarray(key).astype(np.uint64)) + _GOLDEN)
    return state


def uniforms(seed: int, stream: int, positions: np.ndarray, num: int) -> np.ndarray:
    """Returns ``num`` draws for each of ``positions`` [n], float64 [n num] in [0, 1).

    Streams are independent: one can draw more without moving the next.
    """
    bits = hash64(seed, stream, np.asarray(positions)[:, None], np.arange(num))
    return (bits >> np.uint64(11)) * 2.0**-53


def shuffled(seed: int, positions: np.ndarray, num: int) -> np.ndarray:
    """Returns which of ``num`` things stand at ``positions`` [n] of an endless row.

    All of them stand in the first ``num`` places, in random order; in the next ``num``
    too, in another order; and so on.
    """
    epochs, places = np.divmod(positions, num)
    things = np.empty_like(places)
    for epoch in np.unique(epochs).tolist():
        here = epochs == epoch
        things[here] = _order(seed, epoch, num)[places[here]]
    return things


@functools.lru_cache(maxsize=2)  # the epochs that batches are made of at a time
def _order(seed: int, epoch: int, num: int) -> np.ndarray:
    return np.argsort(hash64(seed, _ORDER, epoch, np.arange(num)), kind="stable")


def normals(seed: int, stream: int, positions: np.ndarray) -> np.ndarray:
    """Returns a standard normal draw (Box–Muller) for each of ``positions`` [n]."""
    radius, angle = uniforms(seed, stream, positions, 2).T
    return np.sqrt(-2 * np.log1p(-radius)) * np.cos(2 * np.pi * angle)
