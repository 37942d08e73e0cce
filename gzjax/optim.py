"""Optimisers and learning-rate schedules from the config."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from gzjax.errors import UserError

Schedule = Callable[[int], float]

# What ``config.max_norm.kind`` names: how a column's squares are gathered.
MAX_NORMS = {"l2": jnp.sum, "rms": jnp.mean}


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
    """Nesterov SGD with L2: ``weight_decay`` times every parameter is added to g.

    PyTorch's form is v' = m v + g; w' = w - lr·(g + m v'). With ``rate_in_velocity`` it
    is that of Dieleman's code: v' = m v - lr·g; w' = w + m v' - lr·g. They are the same
    until the rate drops: then his velocity still holds the old one.
    """
    rate = optax.scale_by_learning_rate(make_schedule(config))
    velocity = optax.trace(config.momentum, nesterov=True)
    steps = (rate, velocity) if config.rate_in_velocity else (velocity, rate)
    return optax.chain(optax.add_decayed_weights(config.weight_decay), *steps)


def check_max_norm(params: dict, max_norm) -> None:
    """Raises a UserError if ``config.max_norm`` does not fit the network."""
    if max_norm.kind not in MAX_NORMS:
        raise UserError(
            f"config.max_norm.kind is '{max_norm.kind}'; there are: "
            + ", ".join(MAX_NORMS)
        )
    if len(max_norm.layers) != len(max_norm.limits) or max_norm.every_steps < 1:
        raise UserError(
            f"config.max_norm has the layers {max_norm.layers}, the limits "
            f"{max_norm.limits} and every_steps {max_norm.every_steps}: give one limit "
            "for each layer, as in layers=('hidden1','hidden2'), and at least 1 step"
        )
    if not all(isinstance(x, int | float) and x > 0 for x in max_norm.limits):
        raise UserError(f"config.max_norm.limits is {max_norm.limits}, not above 0")
    dense = [
        name for name, p in params.items() if "kernel" in p and p["kernel"].ndim == 2
    ]
    unknown = [name for name in max_norm.layers if name not in dense]
    if unknown:
        raise UserError(
            f"config.max_norm.layers names '{unknown[0]}'; the network's dense layers "
            f"are: {', '.join(dense)}"
        )


def constrain_norms(params: dict, step: jax.Array | int, max_norm) -> dict:
    """Max-norm: ``W *= min(limit / norm, 1)`` for each column (unit) of some kernels.

    Hinton et al. 2012 constrain the L2 norm of the weights into a unit; the winner's
    code took their root mean square, smaller by the root of their number. With his
    limits it rarely bites.

    Args:
        params: of the network; those of dense layers are named by ``max_norm.layers``.
        step: the number of updates made; nothing happens but at each
            ``max_norm.every_steps``.
        max_norm: ``config.max_norm``.
    """
    if not max_norm.layers:
        return params

    def constrained():
        kernels = {
            name: _shortened(params[name]["kernel"], limit, MAX_NORMS[max_norm.kind])
            for name, limit in zip(max_norm.layers, max_norm.limits, strict=True)
        }
        return params | {
            name: params[name] | {"kernel": kernel} for name, kernel in kernels.items()
        }

    now = step % max_norm.every_steps == 0
    return jax.lax.cond(now, constrained, lambda: params)


def _shortened(kernel, limit, gather):
    # Of what enters each unit.
    norms = jnp.sqrt(gather(kernel**2, axis=0, keepdims=True))
    return kernel * jnp.minimum(limit / jnp.maximum(norms, 1e-30), 1)


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
