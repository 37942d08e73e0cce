"""Views cut into parts: mirrored copies, quarter turns, overlapping corners.

Dieleman, Willett & Dambre 2015, section 5.3: a network sees the galaxy as several small
crops in which its centre always lies in the lower right corner. Everything here is
exact (no pixel is interpolated) and keeps the batch as the first axis: with the views
outside, cutting the batch over devices would move every part to another one.
"""

import chex
import jax
import jax.numpy as jnp

PARTS_PER_VIEW = 8  # two mirror images of four corners


def extract_parts(views: jax.Array, part_px: int) -> jax.Array:
    """Cuts every view into parts: ``part_k = rot90(view, k)[:p, :p]`` for k = 0..3.

    The order is view-major: view, plain and mirrored left-right, k. A quarter turn of
    the galaxy permutes the four k of each copy (mirrored ones turn the other way).

    Args:
        views: ``[b v n n c]``.
        part_px: p ≤ n.

    Returns:
        ``[b 8v p p c]``.
    """
    chex.assert_rank(views, 5)
    n = views.shape[2]
    chex.assert_axis_dimension(views, 3, n)
    if not 0 < part_px <= n:
        raise ValueError(f"parts of {part_px} px cannot be cut from views of {n} px")
    copies = jnp.stack([views, views[:, :, :, ::-1]], axis=2)
    near, far = slice(0, part_px), slice(n - part_px, n)
    # Cut first, then turn: the corner that k turns bring to the top left.
    corners = [(near, near), (near, far), (far, far), (far, near)]
    parts = jnp.stack(
        [
            jnp.rot90(copies[:, :, :, rows, columns], k, axes=(3, 4))
            for k, (rows, columns) in enumerate(corners)
        ],
        axis=3,
    )
    return parts.reshape(len(views), -1, *parts.shape[4:])


def merge_parts(features: jax.Array, num_parts: int) -> jax.Array:
    """Returns all parts' features as one vector: part, channel, row, column.

    ``[b·num_parts h w c]`` (or, without space, ``[b·num_parts c]``) becomes
    ``[b num_parts·c·h·w]``.
    """
    return channels_first(features).reshape(len(features) // num_parts, -1)


def channels_first(features: jax.Array) -> jax.Array:
    """Maps ``[b h w c]`` to ``[b c·h·w]``, in the published order; ``[b c]`` stays."""
    return jnp.moveaxis(features, -1, 1).reshape(len(features), -1)
