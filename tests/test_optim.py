"""Schedules at named steps, and Nesterov steps by hand."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gzjax.configs import base
from gzjax.errors import UserError
from gzjax.optim import make_optimizer, make_schedule, restart_momentum


def make_config(kind, warmup_steps=0):
    config = base.get_config()
    config.learning_rate, config.num_train_steps = 0.01, 1000
    config.schedule.kind, config.schedule.warmup_steps = kind, warmup_steps
    return config


@pytest.mark.parametrize("warmup", [0, 100])
def test_step_schedule_divides_at_fractions_of_the_run(warmup):
    schedule = make_schedule(make_config("step", warmup))
    rates = [float(schedule(step)) for step in (399, 400, 599, 600, 799, 800, 999)]
    np.testing.assert_allclose(
        rates, [1e-2, 1e-3, 1e-3, 1e-4, 1e-4, 1e-5, 1e-5], rtol=1e-5
    )


def test_cosine_schedule_and_linear_warmup():
    schedule = make_schedule(make_config("cosine", 200))
    rates = [float(schedule(step)) for step in (0, 100, 200, 600, 1000)]
    np.testing.assert_allclose(rates, [0, 0.005, 0.01, 0.005, 0], atol=1e-8)
    assert float(make_schedule(make_config("constant"))(10**6)) == pytest.approx(0.01)


def test_unknown_schedule_names_the_known():
    with pytest.raises(UserError, match="constant, step, cosine"):
        make_schedule(make_config("linear"))


def test_two_nesterov_steps_with_l2_by_hand():
    config = make_config("constant")
    config.weight_decay = 0.1
    tx = make_optimizer(config)
    w, v = 2.0, 0.0
    params = {"kernel": jnp.float32(w)}
    state = tx.init(params)
    for gradient in (1.0, -0.5):
        updates, state = tx.update({"kernel": jnp.float32(gradient)}, state, params)
        params = optax.apply_updates(params, updates)
        g = gradient + 0.1 * w
        v = 0.9 * v - 0.01 * g
        w = w + 0.9 * v - 0.01 * g
        assert float(params["kernel"]) == pytest.approx(w, abs=1e-6)


def test_restart_zeroes_velocities_and_keeps_the_count():
    tx = make_optimizer(make_config("step"))
    params = {"kernel": jnp.float32(2.0)}
    state = tx.init(params)
    _, state = tx.update({"kernel": jnp.float32(1.0)}, state, params)
    restarted = restart_momentum(state)
    assert optax.tree_utils.tree_get(state, "trace")["kernel"] != 0
    assert optax.tree_utils.tree_get(restarted, "trace")["kernel"] == 0
    assert optax.tree_utils.tree_get(restarted, "count") == 1
