"""Everything a training step reads and writes, as one pytree."""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from gzjax.models import network_input
from gzjax.steps.losses import FOCAL


@flax.struct.dataclass
class TrainState:
    """What a training step reads and writes: the state after ``step`` updates.

    Attributes:
        batch_stats: ``{}`` for a network without batch norm.
        ema_params: moving average of ``params``; None when ``config.ema_decay`` is 0.
        running_errors: ``[a]``, of the focal loss (:func:`gzjax.steps.losses.focal`);
            None with any other.
    """

    step: jax.Array
    params: Any
    batch_stats: Any
    opt_state: Any
    ema_params: Any
    running_errors: Any = None

    def eval_variables(self) -> dict:
        """Returns what ``model.apply`` predicts with: averaged parameters if kept."""
        params = self.params if self.ema_params is None else self.ema_params
        return {"params": params, "batch_stats": self.batch_stats}


def make_train_state(model, tx, config) -> TrainState:
    """Makes a fresh state, a function of ``config.seed`` alone."""
    views, size = len(config.view.angles_deg), config.view.size_px
    images = jnp.zeros((1, views, size, size, 3), config.dtype)
    key = jax.random.key(config.seed)
    variables = model.init(key, network_input(model, images), train=False)
    params = variables["params"]
    state = TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        batch_stats=variables.get("batch_stats", {}),
        opt_state=None,
        ema_params=jax.tree.map(jnp.copy, params) if config.ema_decay else None,
    )
    return restart(state, tx, config, model.num_outputs)


def restart(state: TrainState, tx, config, num_answers: int) -> TrainState:
    """Returns the state at the start of a phase that continues from ``state``.

    The optimiser begins anew (velocities at 0, the schedule at its start), as do the
    running errors; all else stays bit for bit.
    """
    focal = config.loss == FOCAL
    return state.replace(
        opt_state=tx.init(state.params),
        running_errors=jnp.zeros(num_answers, config.dtype) if focal else None,
    )
