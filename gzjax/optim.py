"""Optimisers and learning-rate schedules from the config."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from gzjax.errors import UserError

Schedule = Callable[[int], float]


def make_schedule(config) -> Schedule:
    """The learning rate at each optimiser step, counted from 0.

    ``config.schedule.kind``: ``"constant"``; ``"step"``: divided by ``decay_factor`` at
    each of ``decay_at`` (fractions of ``num_train_steps``); ``"cosine"``: to 0 at the
    last step. A linear warm-up of ``warmup_steps`` goes before any of them.
    """
    rate, steps = config.learning_rate, config.num_train_steps
    schedule, warmup = config.schedule, config.schedule.warmup_steps
    if schedule.kind == "constant":
        after = optax.constant_schedule(rate)
    elif schedule.kind == "step":
        boundaries = {
            round(at * steps) - warmup: 1 / schedule.decay_factor
            for at in schedule.decay_at
        }
        after = optax.piecewise_constant_schedule(rate, boundaries)
    elif schedule.kind == "cosine":
        after = optax.cosine_decay_schedule(rate, max(1, steps - warmup))
    else:
        raise UserError(
            f"config.schedule.kind is '{schedule.kind}'; "
            "there are: constant, step, cosine"
        )
    if not warmup:
        return after
    return optax.join_schedules(
        [optax.linear_schedule(0.0, rate, warmup), after], [warmup]
    )


def make_optimizer(config) -> optax.GradientTransformation:
    """Nesterov SGD: v' = m v + g; w' = w - lr·(g + m v'), with L2 in g.

    That is PyTorch's form. At a constant rate it is the winner's (v' = m v - lr·g;
    w' = w + m v' - lr·g); where the rate drops, his velocity still holds the old one.
    L2 as in both: ``weight_decay`` times every parameter is added to its gradient.
    """
    return optax.chain(
        optax.add_decayed_weights(config.weight_decay),
        optax.sgd(make_schedule(config), momentum=config.momentum, nesterov=True),
    )


def restart_momentum(opt_state):
    """The optimiser state with its velocities at zero and its step counts kept."""
    return jax.tree.map(
        lambda node: (
            optax.TraceState(jax.tree.map(jnp.zeros_like, node.trace))
            if isinstance(node, optax.TraceState)
            else node
        ),
        opt_state,
        is_leaf=lambda node: isinstance(node, optax.TraceState),
    )
