"""Two turns of a galaxy in a batch: what the loss adds, and that training uses it."""

import jax
import numpy as np
import pytest
from tiny import make_config, make_pair_config, make_plain_config, make_view_config

from gzjax.data.pipeline import train_batches
from gzjax.evaluation.evaluate import score
from gzjax.steps.compiled import Programs
from gzjax.steps.mesh import make_mesh, to_devices
from gzjax.steps.phases import make_phases
from gzjax.training.experiment import Experiment
from gzjax.training.loop import train
from gzjax.trees import GZ2


def losses(make, weights, num_devices=1, **changes):
    """The loss of the first step, and the state after it, for each weight."""
    results = []
    for weight in weights:
        config = make(loss_consistency=weight, head_warmup_steps=0, **changes)
        mesh = make_mesh(jax.devices()[:num_devices])
        programs = Programs(make_phases(config), GZ2, mesh)
        source = Experiment(config, GZ2).source
        batches = train_batches(source, np.arange(44), config, 0)
        batch = next(to_devices(batches, mesh))
        batches.close()
        results.append(programs.train_step(0)(programs.make_state(), batch))
    states, losses = zip(*jax.device_get(results), strict=True)
    return np.array(losses), states


def make_plain_pair(**changes):
    """Two plain networks, sooner compiled than the flagship's."""
    config = make_pair_config(**changes)
    config.model.second = config.model.first
    return config


@pytest.mark.parametrize("make", [make_view_config, make_plain_pair])
def test_the_weight_multiplies_the_difference(make):
    (none, one, three), _ = losses(make, (1e-6, 1e4, 3e4))
    assert one - none > 1e-5
    assert three - one == pytest.approx(2 * (one - none), rel=1e-2)


def test_it_is_0_where_the_network_is_exact():
    """Also in training: the two turns get the same dropout and equal statistics."""
    turned, _ = losses(make_config, (1e-6, 1.0), augment__rotation_step_deg=90.0)
    assert turned[1] == pytest.approx(turned[0], rel=1e-6)
    between, _ = losses(make_config, (1e-6, 1.0))
    assert between[1] > 1.0001 * between[0]


def test_devices_and_pieces_share_galaxies_and_not_their_turns():
    same = {"model__dropout_rates": (0.0, 0.0), "model__norm": "none"}
    one, (state,) = losses(make_plain_config, (1.0,), **same)
    for devices, pieces in ((4, 1), (2, 2)):
        loss, (other,) = losses(
            make_plain_config, (1.0,), devices, accumulate_steps=pieces, **same
        )
        np.testing.assert_allclose(loss, one, rtol=1e-6)
        for a, b in zip(*map(jax.tree.leaves, (state, other)), strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-6)


def test_training_with_it_makes_answers_steadier(tmp_path):
    r15 = []
    for weight in (1e-6, 30.0):
        config = make_plain_config(
            loss_consistency=weight, num_train_steps=40, eval_every_steps=40
        )
        trained = train(config, tmp_path / str(weight))
        r15.append(score(trained, "none")["rotation_robustness_15deg"])
    assert r15[1] < 0.8 * r15[0]
