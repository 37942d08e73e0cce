"""Compares weights from elsewhere with a network, and places them on its devices."""

from collections.abc import Callable, Mapping

import jax
import numpy as np

from gzjax.errors import Problems


def fit(
    tensors: Mapping[str, np.ndarray],
    network: Mapping,
    where: str,
    what_to_do: str,
    may_differ: Callable[[str], bool] = lambda name: False,
) -> dict[str, jax.Array]:
    """Returns the tensors that have a place in the network, on its devices.

    Args:
        tensors: the weights by path, as ``params/conv1/kernel``.
        network: arrays by path; they may be abstract.
        where: begins the message of an error; ``what_to_do`` ends it.
        may_differ: whether a name may be missing on either side.

    Raises:
        UserError: names are missing, shapes differ, or numbers are not finite.
    """
    problems = Problems()
    both = [name for name in network if name in tensors]
    reshaped = [
        f"{short(name)} {tensors[name].shape} instead of {network[name].shape}"
        for name in both
        if tensors[name].shape != network[name].shape
    ]
    problems.add("other shapes than the network's", "tensor", reshaped)
    for kind, names in (
        ("not there", network.keys() - tensors.keys()),
        ("not in the network", tensors.keys() - network.keys()),
    ):
        places = [short(name) for name in sorted(names) if not may_differ(name)]
        problems.add(kind, "tensor", places)
    if not both:
        problems.add_failure("nothing in it has a place in the network")
    with np.errstate(over="ignore"):  # a large number is infinite in a narrow type
        taken = {name: np.asarray(tensors[name], network[name].dtype) for name in both}
    infinite = [short(name) for name, x in taken.items() if not np.isfinite(x).all()]
    problems.add("with NaN or infinity", "tensor", infinite)
    problems.raise_if_any(where, what_to_do)
    return {
        name: jax.device_put(x, network[name].sharding) for name, x in taken.items()
    }


def short(name: str) -> str:
    """Returns a name as messages give it."""
    return name.removeprefix("params/")
