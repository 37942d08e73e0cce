"""Shares statistics and draws between devices that each compute rows of a batch.

The rows are cut over the mesh's axis ``"data"`` by ``jax.shard_map``. Anywhere else
these functions see the whole batch.
"""

import jax
import jax.numpy as jnp

DATA_AXIS = "data"


def mean_over_devices(means):
    """Returns the mean of a pytree over the devices that share the batch."""
    return jax.lax.pmean(means, DATA_AXIS) if _is_shared() else means


def keys_of_rows(key: jax.Array, num_rows: int) -> jax.Array:
    """Returns a key for each of this device's rows ``[n]``.

    A row's key depends on its number in the whole batch, so that what is drawn with it
    does not depend on the number of devices.
    """
    first = jax.lax.axis_index(DATA_AXIS) * num_rows if _is_shared() else 0
    return jax.vmap(jax.random.fold_in, (None, 0))(key, first + jnp.arange(num_rows))


def _is_shared() -> bool:
    return DATA_AXIS in jax.sharding.get_abstract_mesh().manual_axes
