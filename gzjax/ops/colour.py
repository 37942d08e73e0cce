"""Colour on the device: one 3x4 matrix per image, one clip, one normalisation."""

import chex
import jax
import jax.numpy as jnp


def adjust_colour(
    images: jax.Array, matrices: jax.Array, mean: tuple, std: tuple, dtype
) -> jax.Array:
    """Returns ``(clip(M [rgb, 1], 0, 1) - mean) / std`` for every pixel.

    Args:
        images: uint8 ``[b ... 3]``.
        matrices: ``[b 3 4]``, acting on rgb in [0, 1]
            (:func:`gzjax.data.augment.colour_matrices`).
        mean: means of R, G, B in [0, 1].
        std: standard deviations of R, G, B.
    """
    chex.assert_axis_dimension(images, -1, 3)
    chex.assert_shape(matrices, (images.shape[0], 3, 4))
    rgb = images.astype(dtype) / 255
    matrices = matrices.astype(dtype)
    mixed = jnp.einsum("b...c,bdc->b...d", rgb, matrices[:, :, :3])
    ones = (1,) * (images.ndim - 2)
    shifted = mixed + matrices[:, :, 3].reshape(-1, *ones, 3)
    centre, spread = (jnp.asarray(x, dtype).reshape(1, *ones, 3) for x in (mean, std))
    return (jnp.clip(shifted, 0, 1) - centre) / spread
