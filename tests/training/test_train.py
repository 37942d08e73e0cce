"""Training: the same result however it is cut, and nothing saved that is broken."""

import json
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import make_config, make_plain_config

from gzjax.errors import UserError
from gzjax.evaluation.evaluate import train_and_evaluate
from gzjax.ops.groups import act
from gzjax.steps import mesh as sharding
from gzjax.training.checkpoint.checkpoints import Checkpoints
from gzjax.training.experiment import Experiment
from gzjax.training.stop_signals import StopSignals
from gzjax.trees import GZ2

REQUESTED = StopSignals.requested


def check_same_state(a, b, atol=0.0):
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_allclose(x, y, rtol=0, atol=atol)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("finished")
    return workdir, train_and_evaluate(make_config(), workdir)


def read_metrics(workdir):
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_run_leaves_what_the_layout_says(finished):
    workdir, state = finished
    assert int(state.step) == 6
    metrics = read_metrics(workdir)
    assert [m["step"] for m in metrics if "train/loss" in m] == [1, 2, 3, 4, 5, 6]
    assert [m["step"] for m in metrics if "valid/rmse" in m] == [3, 6]
    assert json.loads((workdir / "config.json").read_text())["batch_size"] == 8
    assert list((workdir / "tensorboard").iterdir())
    with Checkpoints(workdir / "checkpoints") as checkpoints:
        assert checkpoints.newest_step == 6
        run = checkpoints.read_description(6)
    assert run["tree"]["name"] == "gz2"
    assert len(run["fingerprint"]) == 64
    assert {"jax", "flax", "gzjax"} <= run["versions"].keys()


def stop_after(step, monkeypatch):
    """Sends SIGTERM after a step, as launchers do."""

    def requested(self, done):
        if done == step:
            signal.raise_signal(signal.SIGTERM)
        return REQUESTED(self, done)

    monkeypatch.setattr(StopSignals, "requested", requested)


def test_stopped_and_resumed_run_ends_bit_for_bit_the_same(
    finished, tmp_path, monkeypatch, capsys
):
    for step in (1, 3, 5):  # in the warm-up, after it, and beside a checkpoint
        stop_after(step, monkeypatch)
        with pytest.raises(SystemExit) as stopped:
            train_and_evaluate(make_config(data__num_threads=1), tmp_path)
        assert stopped.value.code == 128 + signal.SIGTERM
        assert f"stopped; step {step} is saved" in capsys.readouterr().err
        with Checkpoints(tmp_path / "checkpoints") as checkpoints:
            assert checkpoints.newest_step == step
    stop_after(None, monkeypatch)
    check_same_state(train_and_evaluate(make_config(), tmp_path), finished[1])
    assert "resuming from step 5" in capsys.readouterr().err
    metrics = read_metrics(tmp_path)
    assert [m["step"] for m in metrics if "train/loss" in m] == [1, 2, 3, 4, 5, 6]
    scores, undisturbed = (
        [m for m in lines if "valid/rmse" in m]
        for lines in (metrics, read_metrics(finished[0]))
    )
    assert scores == undisturbed


def test_rerunning_a_finished_run_changes_nothing(finished):
    workdir, state = finished
    before = (workdir / "metrics.jsonl").read_text()
    check_same_state(train_and_evaluate(make_config(), workdir), state)
    assert (workdir / "metrics.jsonl").read_text() == before


def test_another_config_is_refused_with_the_keys_that_differ(finished):
    workdir, _ = finished
    config = make_config(learning_rate=0.01, model__dropout_rate=0.1, keep_best=3)
    with pytest.raises(UserError) as error:
        train_and_evaluate(config, workdir)
    message = str(error.value)
    assert "config.learning_rate: 0.05 there, 0.01 here" in message
    assert "config.model.dropout_rate: 0.5 there, 0.1 here" in message
    assert "keep_best" not in message


def test_other_data_is_refused(finished, monkeypatch):
    workdir, _ = finished
    monkeypatch.setattr(
        "gzjax.data.synthetic.source.SyntheticSource.fingerprint", "0" * 64
    )
    with pytest.raises(
        UserError, match="the data: other ids, votes, images or detections"
    ):
        train_and_evaluate(make_config(), workdir)


@pytest.mark.slow  # a quick one: test_distributed
def test_devices_do_not_change_20_steps_in_float64(tmp_path, monkeypatch):
    with jax.enable_x64(True):
        every = {"eval_every_steps": 20, "checkpoint_every_steps": 20}
        config = make_config(
            num_train_steps=20, dtype="float64", head_warmup_steps=0, **every
        )
        four = train_and_evaluate(config, tmp_path / "4")
        one_device = sharding.make_mesh(jax.devices()[:1])
        monkeypatch.setattr("gzjax.training.experiment.make_mesh", lambda: one_device)
        one = train_and_evaluate(config, tmp_path / "1")
        assert jax.tree.leaves(one.params)[0].dtype == jnp.float64
        check_same_state(one.params, four.params, atol=1e-10)


def test_not_finite_loss_stops_with_the_step_and_keeps_the_last_good(tmp_path):
    train_and_evaluate(make_plain_config(num_train_steps=2), tmp_path)
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        good = checkpoints.restore(
            2, Experiment(make_plain_config(), GZ2).programs.abstract_state()
        )
        poisoned = jax.tree.map(lambda p: p.at[...].set(jnp.inf), good.params)
        bad = good.replace(params=poisoned, step=good.step + 1)
        checkpoints.save(3, bad, checkpoints.read_description(2))
    with (
        jax.debug_nans(False),
        pytest.raises(UserError, match=r"not finite at step 4; step 3 is kept"),
    ):
        train_and_evaluate(
            make_plain_config(log_every_steps=6, checkpoint_every_steps=6), tmp_path
        )


def test_state_that_is_not_finite_is_never_saved(tmp_path):
    config = make_plain_config(
        learning_rate=1e30, head_warmup_steps=0, num_train_steps=2
    )
    with (
        jax.debug_nans(False),
        pytest.raises(UserError, match="no checkpoint was saved"),
    ):
        train_and_evaluate(config, tmp_path)


def test_averaged_parameters_follow_and_are_what_is_evaluated(tmp_path):
    config = make_plain_config(ema_decay=0.9, num_train_steps=1)
    state = train_and_evaluate(config, tmp_path)
    assert state.eval_variables()["params"] is state.ema_params
    fresh = Experiment(config, GZ2).programs.make_state()
    expected = jax.tree.map(lambda a, b: 0.9 * a + 0.1 * b, fresh.params, state.params)
    check_same_state(state.ema_params, expected, atol=1e-6)
    with pytest.raises(AssertionError):
        check_same_state(state.ema_params, state.params, atol=1e-6)


def test_momentum_restarts_after_the_warm_up(tmp_path):
    config = make_plain_config(num_train_steps=2, head_warmup_steps=2)
    state = train_and_evaluate(config, tmp_path)
    velocities = jax.tree.leaves(state.opt_state[1].trace)
    assert not any(v.any() for v in velocities)


def test_trained_network_is_invariant(finished):
    _, state = finished
    experiment = Experiment(make_config(), GZ2)
    images = jax.random.uniform(jax.random.key(5), (4, 62, 62, 3))
    apply = jax.jit(
        lambda x: experiment.programs.model.apply(state.eval_variables(), x, False)
    )
    for element in range(1, 8):
        np.testing.assert_allclose(
            apply(act(images, element)), apply(images), atol=1e-4
        )
