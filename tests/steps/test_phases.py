"""Phases of a training: what they keep, what they restart, and how they resume."""

import re
import shutil

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict
from tiny import make_config, make_plain_config

from gzjax.errors import UserError
from gzjax.evaluation.evaluate import train_and_evaluate
from gzjax.steps.compiled import Programs
from gzjax.steps.phases import make_phases
from gzjax.training.checkpoint.saved import SavedCheckpoints
from gzjax.training.experiment import Experiment
from gzjax.training.identity import check_same_run
from gzjax.training.stop_signals import StopSignals
from gzjax.trees import GZ2

COARSE = {"num_train_steps": 4, "head_warmup_steps": 1}
FINE = {
    "num_train_steps": 3,
    "head_warmup_steps": 0,
    "loss": "fine_code",
    "learning_rate": 0.01,
    "schedule": {"kind": "cosine"},
    "model": {"dropout_rates": (0.0, 0.1)},
    "augment": {"zoom": 1.1},
}


def make_phased(fine=FINE, **changes):
    config = make_plain_config(eval_every_steps=2, **changes)
    config.phases = ConfigDict({"phase1": COARSE, "phase2": fine})
    return config


def check_same(a, b):
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_array_equal(x, y)


def test_a_phase_is_a_config_of_its_own():
    config = make_phased()
    first, second = make_phases(config)
    assert (first.name, first.start, first.stop) == ("phase1", 0, 4)
    assert (second.name, second.start, second.stop) == ("phase2", 4, 7)
    assert (first.config.loss, second.config.loss) == ("coarse", "fine_code")
    assert second.config.schedule.kind == "cosine"
    assert second.config.schedule.decay_factor == config.schedule.decay_factor
    assert second.config.model.dropout_rates == (0.0, 0.1)
    assert second.config.model.filters == config.model.filters
    assert second.config.augment.zoom == 1.1
    # Another stream: no galaxy is placed twice alike.
    assert first.config.seed == config.seed != second.config.seed
    assert [first.head(step) for step in (0, 1, 4)] == ["clip", "divisive", "divisive"]
    assert second.head(4) == "divisive"


def test_without_phases_the_run_is_one():
    config = make_config()
    (only,) = make_phases(config)
    assert only.config is config
    assert (only.name, only.start, only.stop) == ("", 0, 6)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of both phases, and what the second started with."""
    entered = {}
    enter = Programs.enter

    def noted(self, phase, state):
        before = jax.device_get(state)
        entered[phase.name] = before, jax.device_get(enter(self, phase, state))
        return enter(self, phase, state)

    workdir = tmp_path_factory.mktemp("phased")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Programs, "enter", noted)
        state = train_and_evaluate(make_phased(keep_newest=9), workdir)
    return workdir, state, entered


def test_the_next_phase_keeps_parameters_and_restarts_the_optimiser(finished):
    workdir, state, entered = finished
    assert int(state.step) == 7
    assert list(entered) == ["phase2"]
    before, after = entered["phase2"]
    check_same(before.params, after.params)
    check_same(before.batch_stats, after.batch_stats)
    assert int(after.step) == 4
    assert any(leaf.any() for leaf in jax.tree.leaves(before.opt_state))
    assert not any(leaf.any() for leaf in jax.tree.leaves(after.opt_state))
    experiment = Experiment(make_phased(), GZ2)
    checkpoints = SavedCheckpoints(workdir / "checkpoints")
    at_the_end = checkpoints.restore(4, experiment.programs.abstract_state(4))
    check_same(at_the_end.params, before.params)
    # And that is where the second begins: it moved on from there.
    with pytest.raises(AssertionError):
        check_same(state.params, before.params)


def described(config):
    run = {"config": config, "tree": GZ2.to_dict(), "fingerprint": "", "versions": {}}
    return run | {"train_mean": [0.0] * GZ2.num_answers}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_train_steps": 5}, "the steps of config.phases"),
        ({"phases": {"phase1": {}}}, "the steps of config.phases"),
        ({"keep_best": 3}, "config.keep_best: 1 there, 3 here"),
        ({"eval_every_steps": 3}, "config.eval_every_steps: 2 there, 3 here"),
    ],
)
def test_a_run_does_not_go_on_with_other_phases(changes, message):
    config = make_phased({"start_from": "best"}).to_dict()
    config["phases"] = {"phase1": {}, "phase2": {"start_from": "best"}}
    old = described(config)
    check_same_run(old, old, "here")
    with pytest.raises(UserError, match=re.escape(message)):
        check_same_run(old, old | {"config": config | changes}, "here")
    # Only the last phase may become longer.
    longer = {"phase1": {"num_train_steps": 6}, "phase2": {"start_from": "best"}}
    first = old | {"config": config | {"phases": longer}}
    last = old | {"config": first["config"] | {"num_train_steps": 9}}
    check_same_run(first, last, "here")


def test_a_phase_of_a_run_without_phases_is_refused():
    plain = make_config().to_dict()
    old = described(plain)
    phased = old | {"config": plain | {"phases": {"a": {}, "b": {}}}}
    with pytest.raises(UserError, match=r"steps of config\.phases"):
        check_same_run(old, phased, "here")


def stop_after(step, monkeypatch):
    monkeypatch.setattr(StopSignals, "requested", lambda self, done: done == step)


def test_a_run_killed_in_either_phase_ends_bit_for_bit_the_same(
    finished, tmp_path, monkeypatch
):
    for step in (2, 4, 5):  # in the first, at its end, in the second
        stop_after(step, monkeypatch)
        with pytest.raises(SystemExit):
            train_and_evaluate(make_phased(keep_newest=9), tmp_path)
    stop_after(None, monkeypatch)
    state = train_and_evaluate(make_phased(keep_newest=9), tmp_path)
    check_same(state, finished[1])


def test_a_phase_starts_from_the_best_of_the_one_before(tmp_path, monkeypatch):
    """The best of the *phase*; also when the run was stopped between the two."""
    scores = {2: 0.3, 4: 0.4, 6: 0.1, 7: 0.2}
    monkeypatch.setattr(
        Experiment, "valid_rmse", lambda self, state, step: scores[step]
    )
    fine = {**FINE, "start_from": "best", "optimizer": "adam"}
    config = make_phased(fine, keep_newest=1, ema_decay=0.5)
    config.phases.phase1.head_warmup_steps = 0  # one program less
    entered, enter = [], Programs.enter
    noted = lambda *args: entered.append(enter(*args)) or enter(*args)  # noqa: E731
    monkeypatch.setattr(Programs, "enter", noted)
    undisturbed = train_and_evaluate(config, tmp_path / "a")
    checkpoints = SavedCheckpoints(tmp_path / "a" / "checkpoints")
    # Of each phase the best is kept, beside the newest.
    assert checkpoints.steps == [2, 6, 7]
    assert checkpoints.best_step() == 6
    assert checkpoints.best_step(0, 4) == 2
    experiment = Experiment(config, GZ2)
    best = checkpoints.restore(2, experiment.programs.abstract_state(2))
    (started,) = entered
    check_same(started.params, best.ema_params)  # which is what was measured
    check_same(started.batch_stats, best.batch_stats)
    assert int(started.step) == 4

    stop_after(4, monkeypatch)
    with pytest.raises(SystemExit):
        train_and_evaluate(config, tmp_path / "b")
    stop_after(None, monkeypatch)
    checkpoints = SavedCheckpoints(tmp_path / "b" / "checkpoints")
    last = checkpoints.restore(4, experiment.programs.abstract_state(4))
    with pytest.raises(AssertionError):  # the negative control
        check_same(last.ema_params, best.ema_params)
    shutil.copytree(tmp_path / "b", tmp_path / "d")
    check_same(train_and_evaluate(config, tmp_path / "b"), undisturbed)
    # Without the best one it is said, instead of starting from another.
    (tmp_path / "d" / "checkpoints" / "2" / "run" / "metadata").write_bytes(b"")
    with pytest.raises(UserError, match=r"2\.damaged is damaged, and may be the best"):
        train_and_evaluate(config, tmp_path / "d")


def test_best_without_galaxies_to_validate_on_is_refused(tmp_path):
    config = make_phased({**FINE, "start_from": "best"}, split__kind="all")
    with pytest.raises(UserError, match="no galaxies to validate on: give 'last'"):
        train_and_evaluate(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_focal_loss_remembers_across_a_stop_and_not_across_phases(
    tmp_path, monkeypatch
):
    config = make_phased({**FINE, "loss": "focal"}, loss="focal")
    stop_after(6, monkeypatch)
    with pytest.raises(SystemExit):
        train_and_evaluate(config, tmp_path / "a")
    stop_after(None, monkeypatch)
    resumed = train_and_evaluate(config, tmp_path / "a")
    check_same(resumed, train_and_evaluate(config, tmp_path / "b"))
    assert resumed.running_errors.shape == (37,)
    # Of three batches alone: a mean square error is below 1.
    assert 0 < float(resumed.running_errors.max()) < 1 - 0.99**3
