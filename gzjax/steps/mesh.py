"""One-axis data parallelism: the state everywhere, the batch cut over all devices."""

import collections
from collections.abc import Iterable, Iterator

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from gzjax.models.devices import DATA_AXIS


def make_mesh(devices=None) -> Mesh:
    """Makes a mesh of one axis, ``"data"``, over all devices of all processes."""
    return Mesh(np.array(jax.devices() if devices is None else devices), (DATA_AXIS,))


def replicated(mesh: Mesh) -> NamedSharding:
    """Puts the whole array on every device."""
    return NamedSharding(mesh, PartitionSpec())


def by_batch(mesh: Mesh) -> NamedSharding:
    """Cuts the first axis over the devices."""
    return NamedSharding(mesh, PartitionSpec(DATA_AXIS))


def of_first(answer: int | None) -> int | None:
    """Returns process 0's answer in all processes: they may see a disk differently.

    All of them must ask. A bool comes back as 0 or 1.
    """
    if jax.process_count() == 1:
        return answer
    is_none, number = multihost_utils.broadcast_one_to_all(
        np.array([answer is None, answer or 0], np.int32)
    )
    return None if is_none else int(number)


def to_devices(batches: Iterable[dict], mesh: Mesh, ahead: int = 2) -> Iterator[dict]:
    """Yields global arrays of this process's rows, moved ``ahead`` of their use."""
    sharding = by_batch(mesh)
    queue: collections.deque = collections.deque()
    for batch in batches:
        queue.append(
            {
                name: jax.make_array_from_process_local_data(sharding, rows)
                for name, rows in batch.items()
            }
        )
        if len(queue) > ahead:
            yield queue.popleft()
    yield from queue
