"""What follows the convolutions: hidden dense layers, dropout, and the outputs.

Functions to be called in a network's ``@nn.compact`` method: the layers are the
network's own, ``hidden1``, ``hidden_norm1``, ..., ``outputs``.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from gzjax.models.checks import check_choice, check_whole
from gzjax.models.layers import GroupBatchNorm, weights

ACTIVATIONS = {"relu": nn.relu, "linear": lambda x: x}


def outputs(x: jax.Array, num_outputs: int, param_dtype: jnp.dtype) -> jax.Array:
    """``[b c] → [b a]``, linear; in the parameters' type, whatever comes in."""
    # Dieleman's initialisation: every output starts alive. One that is negative for
    # all galaxies never gets a gradient through a divisive head.
    return nn.Dense(
        num_outputs,
        kernel_init=nn.initializers.normal(0.01),
        bias_init=nn.initializers.constant(0.1),
        dtype=param_dtype,
        param_dtype=param_dtype,
        name="outputs",
    )(x)


def dense_layers(model: nn.Module, x: jax.Array, train: bool) -> jax.Array:
    """``[b c] → [b a]``: dropout before every layer; hidden ones as ``model`` says.

    Args:
        model: the network that this is a part of. Read are its ``hidden`` (units),
            ``dropout_rates`` (before each hidden layer and the outputs),
            ``num_outputs``, ``param_dtype`` and ``compute_dtype``; and where it has
            them its ``hidden_activation`` (default: "relu"), ``hidden_norm`` (batch
            norm after the activation; default: False) and ``weight_std`` (initial; 0,
            the default: He's).
        x: the convolutions' features.
        train: dropout, and the batch's own statistics.
    """
    activation = ACTIVATIONS[getattr(model, "hidden_activation", "relu")]
    kernel_init = weights(getattr(model, "weight_std", 0.0))
    dtype = model.param_dtype
    for i, units in enumerate(model.hidden):
        x = nn.Dropout(model.dropout_rates[i], deterministic=not train)(x)
        x = activation(
            nn.Dense(
                units,
                kernel_init=kernel_init,
                dtype=model.compute_dtype,
                param_dtype=dtype,
                name=f"hidden{i + 1}",
            )(x)
        )
        if getattr(model, "hidden_norm", False):
            x = GroupBatchNorm(
                not train, param_dtype=dtype, name=f"hidden_norm{i + 1}"
            )(x)
    x = nn.Dropout(model.dropout_rates[-1], deterministic=not train)(x)
    return outputs(x, model.num_outputs, dtype)


def check_dense_layers(model: nn.Module) -> None:
    """Checks the fields that :func:`dense_layers` reads.

    Raises:
        ValueError: names the field and its value.
    """
    check_whole(model, ["hidden"])
    if len(model.dropout_rates) != len(model.hidden) + 1:
        raise ValueError(
            f"dropout_rates is {model.dropout_rates}, not one number for each of the "
            f"{len(model.hidden)} hidden layers and one for the outputs"
        )
    if not all(0 <= rate < 1 for rate in model.dropout_rates):
        raise ValueError(f"dropout_rates is {model.dropout_rates}, not in 0 .. 1")
    if hasattr(model, "hidden_activation"):
        check_choice(model, "hidden_activation", ACTIVATIONS)
