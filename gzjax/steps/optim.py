"""Optimisers and learning-rate schedules from the config."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax

from gzjax.errors import UserError

Schedule = Callable[[int], float]

# What ``config.optimizer`` names: how a gradient becomes a direction.
OPTIMIZERS = {
    "sgd": lambda config: optax.trace(config.momentum, nesterov=True),
    "adam": lambda config: optax.scale_by_adam(),
    "adamax": lambda config: optax.scale_by_adamax(),
}
# What ``config.max_norm.kind`` names: how a column's squares are gathered.
MAX_NORMS = {"l2": jnp.sum, "rms": jnp.mean}


def make_schedule(config) -> Schedule:
    """Returns the learning rate at each optimiser step, counted from 0.

    ``config.schedule.kind``: ``"constant"``; ``"step"``: divided by ``decay_factor`` at
    each of ``decay_at`` (fractions of ``num_train_steps``); ``"cosine"``: to
    ``min_rate`` at the last step; ``"cosine_restarts"``: the same over a period of
    ``first_period`` (a fraction of ``num_train_steps``), then from the start again over
    periods that grow by ``period_factor`` (Loshchilov & Hutter 2017). A linear warm-up
    of ``warmup_steps`` goes before any of them. With ``config.reference_batch_size``
    all rates are multiplied by :func:`rate_factor`.
    """
    warmup, factor = config.schedule.warmup_steps, rate_factor(config)
    schedule = SCHEDULES[config.schedule.kind](config)
    if warmup:
        rise = optax.linear_schedule(0.0, config.learning_rate, warmup)
        schedule = optax.join_schedules([rise, schedule], [warmup])
    return schedule if factor == 1 else lambda step: factor * schedule(step)


def rate_factor(config) -> float:
    """Returns ``batch_size / reference_batch_size``, which multiplies learning rates.

    The linear rule of Goyal et al. (2017): k times the batch, k times the rate, after a
    warm-up (``schedule.warmup_steps``). 1 without a ``reference_batch_size``.
    """
    reference = config.reference_batch_size
    return config.batch_size / reference if reference else 1.0


def _step(config) -> Schedule:
    schedule, steps = config.schedule, config.num_train_steps
    boundaries = {
        round(at * steps) - schedule.warmup_steps: 1 / schedule.decay_factor
        for at in schedule.decay_at
    }
    return optax.piecewise_constant_schedule(config.learning_rate, boundaries)


def _cosine(config) -> Schedule:
    steps = config.num_train_steps - config.schedule.warmup_steps
    return _decay(config, max(1, steps))


def _cosine_restarts(config) -> Schedule:
    schedule = config.schedule
    steps = config.num_train_steps - schedule.warmup_steps
    periods = [max(1.0, schedule.first_period * steps)]
    while sum(periods) < steps:
        periods.append(periods[-1] * schedule.period_factor)
    ends = np.round(np.cumsum(periods)).astype(int)
    lengths = np.diff(ends, prepend=0)
    decays = [_decay(config, int(length)) for length in lengths]
    return optax.join_schedules(decays, ends[:-1].tolist())


def _decay(config, steps: int) -> Schedule:
    rate = config.learning_rate
    return optax.cosine_decay_schedule(rate, steps, config.schedule.min_rate / rate)


# What ``config.schedule.kind`` names.
SCHEDULES = {
    "constant": lambda config: optax.constant_schedule(config.learning_rate),
    "step": _step,
    "cosine": _cosine,
    "cosine_restarts": _cosine_restarts,
}


def make_optimizer(config) -> optax.GradientTransformation:
    """Returns the optimiser with L2: ``weight_decay`` times every parameter adds to g.

    ``config.optimizer``: ``"adam"`` and ``"adamax"`` (Kingma & Ba 2015) with their
    published constants, or ``"sgd"``: Nesterov's, in PyTorch's form: v' = m v + g;
    w' = w - lr·(g + m v'). With ``rate_in_velocity`` it is that of Dieleman's code:
    v' = m v - lr·g; w' = w + m v' - lr·g. They are the same until the rate drops: then
    his velocity still holds the old one.
    """
    rate = optax.scale_by_learning_rate(make_schedule(config))
    direction = OPTIMIZERS[config.optimizer](config)
    before = config.optimizer == "sgd" and config.rate_in_velocity
    steps = (rate, direction) if before else (direction, rate)
    return optax.chain(optax.add_decayed_weights(config.weight_decay), *steps)


def check_max_norm(params: dict, max_norm) -> None:
    """Raises a UserError if ``config.max_norm`` does not fit the network."""
    if len(max_norm.layers) != len(max_norm.limits):
        raise UserError(
            f"config.max_norm has the layers {max_norm.layers} and the limits "
            f"{max_norm.limits}: give one limit for each layer, as in "
            "layers=('hidden1','hidden2')"
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
    """Applies ``W *= min(limit / norm, 1)`` to each column (unit) of some kernels.

    Hinton et al. 2012 constrain the L2 norm of the weights into a unit; the winner's
    code took their root mean square, smaller by the root of their number. With his
    limits it rarely bites.

    Nothing happens but at each ``max_norm.every_steps``; ``step`` is the number of
    updates made. ``max_norm.layers`` names dense layers in ``params``.
    """
    if not max_norm.layers:
        return params

    def constrained():
        new, gather = dict(params), MAX_NORMS[max_norm.kind]
        for name, limit in zip(max_norm.layers, max_norm.limits, strict=True):
            kernel = _shortened(params[name]["kernel"], limit, gather)
            new[name] = params[name] | {"kernel": kernel}
        return new

    now = step % max_norm.every_steps == 0
    return jax.lax.cond(now, constrained, lambda: params)


def _shortened(kernel, limit, gather):
    # The norms of what enters each unit.
    norms = jnp.sqrt(gather(kernel**2, axis=0, keepdims=True))
    return kernel * jnp.minimum(limit / jnp.maximum(norms, 1e-30), 1)


def restart_momentum(opt_state):
    """Returns the optimiser state with moments at 0; the schedule's step is kept."""
    moments = (optax.TraceState, optax.ScaleByAdamState)  # Adamax's too
    return jax.tree.map(
        lambda node: (
            jax.tree.map(jnp.zeros_like, node) if isinstance(node, moments) else node
        ),
        opt_state,
        is_leaf=lambda node: isinstance(node, moments),
    )
