"""Schedules at named steps, and Nesterov steps by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from ml_collections import ConfigDict

from gzjax.configs import base
from gzjax.errors import UserError
from gzjax.steps.optim import (
    check_max_norm,
    constrain_norms,
    make_optimizer,
    make_schedule,
    rate_factor,
    restart_momentum,
)
from gzjax.training.load_config import load_config


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


def test_rates_are_for_the_reference_batch_if_there_is_one():
    config = make_config("cosine", 200)
    config.batch_size, config.schedule.min_rate = 256, 1e-3
    steps = (0, 100, 200, 600, 1000)
    plain = [float(make_schedule(config)(step)) for step in steps]
    assert rate_factor(config) == 1
    config.reference_batch_size = 32
    scaled = [float(make_schedule(config)(step)) for step in steps]
    np.testing.assert_allclose(scaled, 8 * np.array(plain), rtol=1e-6)
    gradient = {"w": jnp.ones(2)}
    config.schedule.kind, config.schedule.warmup_steps = "constant", 0
    config.momentum = config.weight_decay = 0.0
    tx = make_optimizer(config)
    updates, _ = tx.update(gradient, tx.init(gradient), gradient)
    np.testing.assert_allclose(updates["w"], -0.08, rtol=1e-6)


def test_cosine_restarts_with_growing_periods():
    config = make_config("cosine_restarts")
    config.schedule.min_rate = 1e-4
    schedule = make_schedule(config)  # periods of 250 and 750 steps
    rates = [float(schedule(step)) for step in (0, 125, 249.999, 250, 625, 999.999)]
    middle = (1e-2 + 1e-4) / 2
    np.testing.assert_allclose(
        rates, [1e-2, middle, 1e-4, 1e-2, middle, 1e-4], rtol=1e-4
    )
    config.schedule.first_period, config.schedule.period_factor = 0.1, 1.0
    ten = make_schedule(config)
    np.testing.assert_allclose([float(ten(s)) for s in range(0, 1000, 100)], 1e-2)


def first_steps(name, gradients):
    config = make_config("constant")
    config.weight_decay, config.optimizer = 0.0, name
    tx = make_optimizer(config)
    params = {"kernel": jnp.float32(1.0)}
    state = tx.init(params)
    for gradient in gradients:
        updates, state = tx.update({"kernel": jnp.float32(gradient)}, state, params)
        params = optax.apply_updates(params, updates)
    return float(params["kernel"]), state


def test_adam_and_adamax_by_hand():
    # m' = 0.9 m + 0.1 g, corrected by 1 - 0.9^t; v' = 0.999 v + 0.001 g².
    m = (0.9 * 0.1 * 2.0 + 0.1 * -1.0) / (1 - 0.9**2)
    v = (0.999 * 0.001 * 4.0 + 0.001) / (1 - 0.999**2)
    adam, _ = first_steps("adam", [2.0, -1.0])
    assert adam == pytest.approx(1 - 0.01 - 0.01 * m / v**0.5, rel=1e-5)
    # Adamax: u' = max(0.999 u, |g|).
    adamax, _ = first_steps("adamax", [2.0, -1.0])
    assert adamax == pytest.approx(1 - 0.01 - 0.01 * m / (0.999 * 2.0), rel=1e-5)


@pytest.mark.parametrize("name", ["sgd", "adam", "adamax"])
def test_moments_restart_and_the_schedule_goes_on(name):
    _, state = first_steps(name, [2.0, -1.0, 1.0])
    again = restart_momentum(state)
    moments, schedule = again[1], again[2]
    assert not any(leaf.any() for leaf in jax.tree.leaves(moments))
    assert any(leaf.any() for leaf in jax.tree.leaves(state[1]))
    assert [int(x) for x in jax.tree.leaves(schedule)] == [3]


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


def test_winners_rates_at_the_published_steps():
    schedule = make_schedule(load_config("dieleman", []))
    steps = (0, 1_124_999, 1_125_000, 1_437_499, 1_437_500, 1_562_499)
    rates = [float(schedule(step)) for step in steps]
    np.testing.assert_allclose(rates, [0.04] * 2 + [0.004] * 2 + [4e-4] * 2, rtol=1e-5)


def test_winners_velocity_holds_the_old_rate_where_it_drops():
    config = make_config("step")
    config.num_train_steps, config.schedule.decay_at = 4, (0.5,)
    config.weight_decay, config.rate_in_velocity = 0.0, True
    tx = make_optimizer(config)
    w, v = 2.0, 0.0
    params = {"kernel": jnp.float32(w)}
    state = tx.init(params)
    for rate, g in zip((0.01, 0.01, 0.001, 0.001), (1.0, -0.5, 2.0, 1.0), strict=True):
        updates, state = tx.update({"kernel": jnp.float32(g)}, state, params)
        params = optax.apply_updates(params, updates)
        v = 0.9 * v - rate * g
        w = w + 0.9 * v - rate * g
        assert float(params["kernel"]) == pytest.approx(w, abs=1e-6)


def norms(kind, every_steps=10):
    layers = {"layers": ("hidden1",), "limits": (0.4,)}
    return ConfigDict({"kind": kind, "every_steps": every_steps, **layers})


@pytest.mark.parametrize(("kind", "norm"), [("l2", 5.0), ("rms", 5 / np.sqrt(2))])
def test_max_norm_by_hand(kind, norm):
    kernel = jnp.array([[3.0, 0.1, 0.0], [4.0, 0.2, 0.0]])  # columns enter a unit
    hidden = {"kernel": kernel, "bias": jnp.ones(3)}
    params = {"hidden1": hidden, "outputs": {"kernel": kernel}}
    for step in (1, 9, 11):
        same = constrain_norms(params, jnp.int32(step), norms(kind))
        np.testing.assert_array_equal(same["hidden1"]["kernel"], kernel)
    new = constrain_norms(params, jnp.int32(20), norms(kind))
    expected = np.array(kernel) * [0.4 / norm, 1, 1]
    np.testing.assert_allclose(new["hidden1"]["kernel"], expected, rtol=1e-6)
    np.testing.assert_array_equal(new["hidden1"]["bias"], params["hidden1"]["bias"])
    np.testing.assert_array_equal(new["outputs"]["kernel"], kernel)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"layers": ("conv1",)},
            "names 'conv1'; the network's dense layers are: hidden1",
        ),
        ({"limits": ()}, "one limit for each layer"),
        ({"limits": (-0.4,)}, "not above 0"),
    ],
)
def test_max_norm_that_does_not_fit_is_refused(change, message):
    shapes = {"hidden1": (2, 2), "conv1": (1, 1, 1, 1)}
    params = {name: {"kernel": jnp.ones(shape)} for name, shape in shapes.items()}
    check_max_norm(params, norms("l2"))
    with pytest.raises(UserError, match=message):
        check_max_norm(params, ConfigDict(norms("l2").to_dict() | change))
