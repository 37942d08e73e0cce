"""The warp from a stored image to a network's view, on the device.

The same sampling as :func:`gzjax.data.geometry.warp` does on the host: bilinear, the
border mirrored, each value rounded to a whole grey level. Where the weights are small
binary fractions, as at 39/16 px and quarter turns, the pixels are the same to the bit;
elsewhere a value half-way between two levels may be rounded to the other one. (Before
version 5 OpenCV took weights in steps of 1/32, and differs by more there.)
"""

import jax
import jax.numpy as jnp
import numpy as np


def sample_views(
    images: jax.Array, matrices: np.ndarray, size_px: int, samples: int = 1
) -> jax.Array:
    """Samples every image once for each matrix.

    Args:
        images: uint8 ``[b h w c]``.
        matrices: ``[r 2 3]`` from :func:`gzjax.data.geometry.pixel_matrix`, for views
            of ``size_px * samples``; constants of the program.
        size_px: side of the square views.
        samples: how many along each axis are averaged to one pixel.

    Returns:
        float32 ``[b r size_px size_px c]``, of whole numbers in 0 .. 255.
    """
    height, width, channels = images.shape[1:]
    fine = size_px * samples
    pixels = images.reshape(-1, height * width, channels)
    views = []
    for matrix in matrices:
        places, shares = _corners(matrix, fine, height, width)
        view = sum(
            pixels[:, place].astype(jnp.float32) * share[None, :, None]
            for place, share in zip(places, shares, strict=True)
        )
        view = jnp.round(view).reshape(-1, size_px, samples, size_px, samples, channels)
        means = view.mean(axis=(2, 4))
        # Halves go to the even neighbour, but up in OpenCV's means of 2 x 2.
        views.append(jnp.floor(means + 0.5) if samples == 2 else jnp.round(means))
    return jnp.stack(views, axis=1)


def _corners(matrix, fine, height, width):
    """Returns the four pixels around each sample: places and shares ``[4 n]``."""
    row, column = np.mgrid[:fine, :fine].astype(np.float64)
    x = matrix[0, 0] * column + matrix[0, 1] * row + matrix[0, 2]
    y = matrix[1, 0] * column + matrix[1, 1] * row + matrix[1, 2]
    left, top = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
    x, y = x - left, y - top
    places = [
        _mirrored(top + i, height) * width + _mirrored(left + j, width)
        for i in (0, 1)
        for j in (0, 1)
    ]
    shares = [(1 - y) * (1 - x), (1 - y) * x, y * (1 - x), y * x]
    return (
        np.stack(places).reshape(4, -1).astype(np.int32),
        np.stack(shares).reshape(4, -1).astype(np.float32),
    )


def _mirrored(index, size):
    """Mirrors an index about the centres of the first and last pixel."""
    period = max(2 * size - 2, 1)
    index = index % period
    return np.minimum(index, period - index)
