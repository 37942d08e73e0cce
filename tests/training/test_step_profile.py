"""A trace of a few steps: which, where, and that it ends whatever happens."""

import jax
import jax.numpy as jnp
import pytest
from tiny import make_plain_config

from gzjax.cli.flags import make_parser
from gzjax.evaluation.evaluate import train_and_evaluate
from gzjax.training import run_files as layout
from gzjax.training.writers import StepProfile


def test_training_leaves_a_small_trace_and_says_where(tmp_path, capsys):
    config = make_plain_config(num_train_steps=3, checkpoint_every_steps=3)
    train_and_evaluate(config, tmp_path, profile="")
    folder = tmp_path / layout.PROFILE
    assert f"profile of the steps 2 to 3: {folder}" in "".join(capsys.readouterr())
    (trace,) = folder.rglob("*.xplane.pb")
    assert 0 < sum(p.stat().st_size for p in folder.rglob("*.*")) < 10_000_000
    assert b"train_step" in trace.read_bytes()


@pytest.fixture
def calls(monkeypatch):
    """What is asked of JAX's profiler."""
    calls = []
    monkeypatch.setattr(
        jax.profiler, "start_trace", lambda *_, **__: calls.append("start")
    )
    monkeypatch.setattr(jax.profiler, "stop_trace", lambda: calls.append("stop"))
    return calls


def traced(calls, folder, start, stop):
    """The steps of a run that are between the profiler's start and its end."""
    calls.clear()
    with StepProfile(folder, start, stop) as profile:
        for step in range(start + 1, stop + 1):
            with profile.before(step):
                calls.append(step)
            profile.after(step, jnp.zeros(()))
    if "start" not in calls:
        return None
    assert calls.count("start") == calls.count("stop") == 1
    return calls[calls.index("start") + 1 : calls.index("stop")]


@pytest.mark.parametrize(
    ("start", "stop", "steps"),
    [
        (0, 100, [10, 11, 12, 13, 14]),
        (40, 100, [50, 51, 52, 53, 54]),  # resumed
        (0, 12, [8, 9, 10, 11, 12]),
        (0, 4, [2, 3, 4]),
        (7, 8, [8]),
    ],
)
def test_steps_after_the_first_or_else_the_last(calls, tmp_path, start, stop, steps):
    assert traced(calls, tmp_path, start, stop) == steps
    assert traced(calls, None, start, stop) is None


def test_trace_of_a_training_that_stops_meanwhile_ends(calls, tmp_path):
    with StepProfile(tmp_path, 0, 100) as profile, profile.before(10):
        assert calls == ["start"]
    assert calls == ["start", "stop"]


def test_flag_names_a_folder_or_leaves_it_to_the_run():
    parse = make_parser().parse_args
    assert parse(["train", "--config=p4m"]).profile is None
    assert parse(["train", "--config=p4m", "--profile"]).profile == ""
    assert parse(["train", "--profile=x", "--config=p4m"]).profile == "x"
