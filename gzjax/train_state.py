"""Everything a training step reads and writes, as one pytree."""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from gzjax.models import network_input


@flax.struct.dataclass
class TrainState:
    """The state after ``step`` updates.

    Attributes:
        step: int32 scalar.
        params: the network's parameters.
        batch_stats: running statistics; ``{}`` for a network without batch norm.
        opt_state: of the optimiser.
        ema_params: moving average of ``params``; None when ``config.ema_decay`` is 0.
    """

    step: jax.Array
    params: Any
    batch_stats: Any
    opt_state: Any
    ema_params: Any

    def eval_variables(self) -> dict:
        """What ``model.apply`` needs to predict: the averaged parameters if kept."""
        params = self.params if self.ema_params is None else self.ema_params
        return {"params": params, "batch_stats": self.batch_stats}


def make_train_state(model, tx, config) -> TrainState:
    """A fresh state, a function of ``config.seed`` alone."""
    views, size = len(config.view.angles_deg), config.view.size_px
    images = jnp.zeros((1, views, size, size, 3), config.dtype)
    key = jax.random.key(config.seed)
    variables = model.init(key, network_input(model, images), train=False)
    params = variables["params"]
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        batch_stats=variables.get("batch_stats", {}),
        opt_state=tx.init(params),
        ema_params=jax.tree.map(jnp.copy, params) if config.ema_decay else None,
    )
