"""What follows the convolutions: hidden dense layers, dropout, and the outputs.

Call these functions in a network's ``@nn.compact`` method: they make layers of the
network called ``hidden1``, ``hidden_norm1``, ..., ``outputs``.
"""

import flax.linen as nn
import jax

from gzjax.models.layers import GroupBatchNorm, weights
from gzjax.models.network import Network

ACTIVATIONS = {"relu": nn.relu, "linear": lambda x: x}


def outputs(network: Network, x: jax.Array) -> jax.Array:
    """``[b c] → [b a]``, linear, computed in the type of the parameters."""
    # Dieleman's initialisation: every output starts alive. One that is negative for
    # all galaxies never gets a gradient through a divisive head.
    return nn.Dense(
        network.num_outputs,
        kernel_init=nn.initializers.normal(0.01),
        bias_init=nn.initializers.constant(0.1),
        dtype=network.param_dtype,
        param_dtype=network.param_dtype,
        name="outputs",
    )(x)


def dense_layers(
    network: Network,
    x: jax.Array,
    train: bool,
    activation: str = "relu",
    norm: bool = False,
    weight_std: float = 0.0,
) -> jax.Array:
    """``[b c] → [b a]``: hidden layers and outputs, with dropout before each.

    Args:
        network: owns the layers, and has the fields ``hidden`` (units) and
            ``dropout_rates`` (before each hidden layer and the outputs).
        x: features of the convolutions.
        train: apply dropout, and normalise by the batch's own statistics.
        activation: one of ``ACTIVATIONS``, for the hidden layers.
        norm: apply batch norm after each activation.
        weight_std: the hidden layers' initial one; 0 means He's.
    """
    dtype = network.param_dtype
    for i, units in enumerate(network.hidden, 1):
        x = nn.Dropout(network.dropout_rates[i - 1], deterministic=not train)(x)
        dense = nn.Dense(
            units,
            kernel_init=weights(weight_std),
            dtype=network.compute_dtype,
            param_dtype=dtype,
            name=f"hidden{i}",
        )
        x = ACTIVATIONS[activation](dense(x))
        if norm:
            batch_norm = GroupBatchNorm(
                not train, param_dtype=dtype, name=f"hidden_norm{i}"
            )
            x = batch_norm(x)
    x = nn.Dropout(network.dropout_rates[-1], deterministic=not train)(x)
    return outputs(network, x)


def check_dense_layers(network: Network) -> None:
    """Raises a ValueError if ``hidden`` or ``dropout_rates`` are invalid."""
    network.check_whole(["hidden"])
    if len(network.dropout_rates) != len(network.hidden) + 1:
        raise ValueError(
            f"dropout_rates is {network.dropout_rates}, not one number for each of the "
            f"{len(network.hidden)} hidden layers and one for the outputs"
        )
    network.check_rates("dropout_rates")
