"""A batch in pieces, one after the other: the memory of a piece, one update for all.

The mean over the pieces is that of the batch wherever galaxies do not mix: in the
gradient of the losses that are means over galaxies ("coarse", "kl" and "bce"), but for
dropout, which draws other masks. They do mix

* in batch norm: each piece is normalised by its own statistics, as a smaller batch
  would be. The running statistics, updated once, take the mean of the pieces' means and
  variances; a batch's variance also holds how far its pieces' means lie apart;
* in "fine_code", "fine_paper" and "focal", which divide by, take the root of, or are
  weighted by sums over galaxies: by those of each piece.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from gzjax.models.devices import DATA_AXIS


def mean_over_pieces(
    function: Callable, batch: dict, num_pieces: int, mesh: Mesh
) -> object:
    """Returns the mean of ``function(piece, number)``, a pytree, over all n pieces.

    A piece is ``[b/n ...]`` of every array ``[b ...]`` of the batch; b is a multiple of
    n times the number of devices.
    """
    if num_pieces == 1:
        return function(batch, 0)

    def add(total, numbered):
        return jax.tree.map(jnp.add, total, function(*numbered)), None

    numbered = cut(batch, num_pieces, mesh), jnp.arange(num_pieces)
    first = jax.tree.map(lambda x: x[0], numbered)
    zeros = jax.tree.map(
        lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(function, *first)
    )
    total, _ = jax.lax.scan(add, zeros, numbered)
    return jax.tree.map(lambda x: x / num_pieces, total)


def cut(batch: dict, num_pieces: int, mesh: Mesh) -> dict:
    """Cuts every array ``[b ...]`` to ``[n b/n ...]``: piece i has rows i, i + n, ...

    So each device keeps its own rows, and which rows are together does not depend on
    the number of devices.
    """
    rows_of_pieces = NamedSharding(mesh, PartitionSpec(None, DATA_AXIS))

    def cut_one(x):
        pieces = jnp.moveaxis(x.reshape(-1, num_pieces, *x.shape[1:]), 1, 0)
        return jax.lax.with_sharding_constraint(pieces, rows_of_pieces)

    return jax.tree.map(cut_one, batch)
