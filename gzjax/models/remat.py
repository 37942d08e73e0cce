"""Layers whose maps are computed again for the gradient instead of kept for it."""

from collections.abc import Callable

import flax.linen as nn
import jax


def run_layer(
    network: nn.Module, layer: Callable, x: jax.Array, *static, train: bool
) -> jax.Array:
    """``layer(network, x, *static, train)``, called in a ``@nn.compact`` method.

    With ``network.remat`` a training step keeps ``x`` and the result alone, and
    computes what lies between them twice: less memory for some third more work. The
    numbers are the same, to rounding.

    Args:
        network: has the field ``remat``.
        layer: an unbound method of it, whose submodules are the network's own.
        x: what the layer gets.
        static: further arguments, no arrays.
        train: as of the network; False: nothing is kept anyway.
    """

    def bound(network, x):
        return layer(network, x, *static, train)

    # Not in evaluation: what reads maps there (layer_maps) must see them outside.
    return (nn.remat(bound) if network.remat and train else bound)(network, x)
