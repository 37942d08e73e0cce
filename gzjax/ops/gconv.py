r"""Group convolutions as filter transforms (Cohen & Welling 2016, sections 6 and 7).

For output element s and input element t the planar filter is
``act_s(w[..., s⁻¹ t, :, :])``; all of them together are one ordinary convolution with
``order * in`` input and ``order * out`` output channels. Since the elements only
permute the rows (i, j, t) of ``w``, the transform is a gather with a constant table,
and its gradient is a gather with the inverse table: no scatter, deterministic.
"""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np

from gzjax.ops.conv import as_filter, conv
from gzjax.ops.groups import Group, act


@functools.lru_cache
def orbit_table(group: Group, size: int, lifting: bool) -> np.ndarray:
    """Returns the permutations by which the group moves the rows of a filter.

    The group acts on the ``size`` x ``size`` pixels (several only if it is one of
    ``PIXEL_GROUPS``) and, unless ``lifting``, on t.

    Returns:
        int32 ``[size * size * T, order]``, T = 1 if lifting, else the order. Row
        (i, j, t) of the filter for element s is row ``table[(i, j, t), s]`` of w.
    """
    depth = 1 if lifting else group.order
    rows = np.arange(size * size * depth).reshape(size, size, depth)
    moved = []
    for s in range(group.order):
        taken = rows if lifting else rows[..., group.cayley[group.inverse[s]]]
        # A single pixel stays where it is, whatever the element.
        moved.append((taken if size == 1 else act(taken, s, (0, 1))).ravel())
    return np.stack(moved, axis=1).astype(np.int32)


@functools.lru_cache
def make_orbit(group: Group, size: int, lifting: bool, inverse_elements: bool = False):
    """Returns ``rows [n ...] → [n order ...]``, moved by every element s (or s⁻¹).

    Its gradient gathers with the inverse permutations and adds over the group.
    """
    table = orbit_table(group, size, lifting)
    inverse = np.argsort(table, axis=0).astype(np.int32)
    if inverse_elements:
        table, inverse = inverse, table

    @jax.custom_vjp
    def orbit(rows):
        return rows[table]

    def forward(rows):
        return orbit(rows), None

    def backward(_, cotangent):
        # A sum of gathers; one gather, then a sum, takes 3 times as long on a CPU.
        return (sum(cotangent[inverse[:, s], s] for s in range(group.order)),)

    orbit.defvjp(forward, backward)
    return orbit


def transform_filter(w: jax.Array, group: Group) -> jax.Array:
    """Returns the planar filter ``[k k T·in order·out]`` of ``w [k k T in out]``."""
    size, _, depth, features_in, features_out = w.shape
    if group.order == 1:
        return w.reshape(size, size, depth * features_in, features_out)
    orbit = make_orbit(group, size, depth == 1)
    filters = orbit(w.reshape(size * size * depth, features_in, features_out))
    filters = filters.reshape(
        size, size, depth, group.order, features_in, features_out
    ).transpose(0, 1, 2, 4, 3, 5)
    return filters.reshape(size, size, depth * features_in, group.order * features_out)


def group_conv(
    x: jax.Array, w: jax.Array, group: Group, stride: int = 1, padding: int = 0
) -> jax.Array:
    """Returns a lifting (T = 1) or group (T = order) convolution, without bias.

    Args:
        x: ``[b h w T in]``.
        w: ``[k k T in out]``, rounded to the type of ``x``.
        stride: step of the window, in both directions.
        padding: zeros on every side.

    Returns:
        ``[b h' w' order out]``, ``h' = (h + 2 padding - k) // stride + 1``. Equivariant
        if the division leaves no remainder (:mod:`gzjax.ops.windows`).
    """
    chex.assert_rank([x, w], 5)
    chex.assert_axis_dimension(w, 3, x.shape[4])
    y = conv(x.reshape(*x.shape[:3], -1), transform_filter(w, group), stride, padding)
    return y.reshape(*y.shape[:3], group.order, w.shape[-1])


def whole_map_group_conv(x: jax.Array, w: jax.Array, group: Group) -> jax.Array:
    """Returns :func:`group_conv` with a filter ``w [n n order in out]`` as large as x.

    By ⟨x, g w⟩ = ⟨g⁻¹ x, w⟩ the (small) feature map ``x [b n n order in]`` is
    transformed instead of the (large) filter: the same ``[b order out]`` for a fraction
    of the work.
    """
    chex.assert_equal(x.shape[1:], w.shape[:-1])
    batch, size, _, order, features_in = x.shape
    orbit = make_orbit(group, size, lifting=False, inverse_elements=True)
    rows = jnp.moveaxis(x.reshape(batch, size * size * order, features_in), 1, 0)
    moved = orbit(rows).transpose(2, 1, 0, 3).reshape(batch, order, -1)  # [b s p·i]
    return moved @ as_filter(w, x).reshape(-1, w.shape[-1])
