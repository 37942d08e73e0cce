"""What is kept, what comes back, and the files around it."""

import errno
import io
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import chex
import jax
import numpy as np
import pytest
import rich.console
from tiny import make_config

from gzjax.errors import UserError
from gzjax.files import (
    aside_of,
    clear_asides,
    naming,
    open_aside,
    write_json,
    write_text,
)
from gzjax.models import make_model
from gzjax.progress import Progress
from gzjax.steps.optim import make_optimizer
from gzjax.steps.state import make_train_state
from gzjax.training import run_files as layout
from gzjax.training.checkpoint.checkpoints import Checkpoints
from gzjax.training.checkpoint.choice import best_steps, steps_to_keep
from gzjax.training.writers import MetricWriter

RUN = {"config": {"batch_size": 8}, "fingerprint": "f"}


@pytest.fixture(scope="module")
def state():
    config = make_config()
    model, tx = make_model(config, 37), make_optimizer(config)
    return jax.jit(lambda: make_train_state(model, tx, config))()


def test_the_newest_are_kept_and_the_best_of_each_phase():
    rmse = {1: 0.1, 2: 0.3, 4: 0.3, 5: 0.2, 7: 0.4}
    steps = range(1, 9)
    assert best_steps(rmse, 4) == [1, 5, 4, 2]  # of equals the latest
    assert best_steps({}, 1) == []
    assert steps_to_keep(steps, rmse, 2, 1, [8]) == {1, 7, 8}
    assert steps_to_keep(steps, rmse, 1, 1, [4, 8]) == {1, 5, 8}
    assert steps_to_keep(steps, rmse, 1, 2, [4, 8]) == {1, 4, 5, 7, 8}
    assert steps_to_keep(steps, rmse, 1, 0, [4, 8]) == {8}


def test_newest_and_best_are_kept(state, tmp_path):
    with Checkpoints(tmp_path, keep_newest=2, keep_best=1) as checkpoints:
        scores = {1: 0.3, 2: 0.1, 3: 0.2, 4: None, 5: 0.4, 6: None}
        for step, score in scores.items():
            checkpoints.save(step, state, RUN, score)
        checkpoints.wait()
        assert checkpoints.steps == [2, 5, 6]
        assert (checkpoints.newest_step, checkpoints.best_step()) == (6, 2)


def test_state_and_run_come_back(state, tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(7, state, RUN, 0.5)
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.read_description(7) == RUN
        back = checkpoints.restore(7, state)
    assert jax.tree.structure(back) == jax.tree.structure(state)
    for a, b in zip(jax.tree.leaves(back), jax.tree.leaves(state), strict=True):
        np.testing.assert_array_equal(a, b)


def test_weights_come_back_whatever_else_was_saved(state, tmp_path):
    of_another_program = {"moments": np.ones(3), "scale": np.zeros(2)}
    averaged = jax.tree.map(lambda x: x + 1, state.params)
    with Checkpoints(tmp_path, keep_newest=2) as checkpoints:
        checkpoints.save(7, state.replace(opt_state=of_another_program), RUN)
        checkpoints.save(8, state.replace(ema_params=averaged, batch_stats={}), RUN)
        checkpoints.wait()
        expected = {"params": state.params, "batch_stats": state.batch_stats}
        chex.assert_trees_all_equal(checkpoints.read_weights(7), expected)
        expected |= {"ema_params": averaged, "batch_stats": {}}
        weights = checkpoints.read_weights(8)
        chex.assert_trees_all_equal(weights, expected)
    assert all(isinstance(x, np.ndarray) for x in jax.tree.leaves(weights))


def test_metrics_of_steps_that_are_repeated_are_dropped(tmp_path):
    with MetricWriter(tmp_path, 0) as writer:
        for step in range(1, 6):
            writer.write(step, {"train/loss": step / 10})
    path = tmp_path / layout.METRICS
    spoilt = [b"3", b"\xff", b'{"step": "x"}', b"[" * 10**5, b'{"step": 2, "a": null}']
    spoilt.append(b'{"step": 6, "tra')  # a kill cut it short
    path.write_bytes(path.read_bytes() + b"\n".join(spoilt))
    with MetricWriter(tmp_path, 3) as writer:
        writer.write(4, {"train/loss": 9.0})
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    losses = {m["step"]: m["train/loss"] for m in lines}
    assert losses == {1: 0.1, 2: 0.2, 3: 0.3, 4: 9.0}
    assert len(lines) == 4


@pytest.mark.parametrize(
    ("step", "data", "parts"),
    [
        (None, "", ("", "")),
        (0, "", ("0", "")),
        (12, "89abcdef01", ("12", "89abcdef")),
        (None, "89abcdef01", ("", "89abcdef")),
    ],
)
def test_labels_come_apart_as_they_were_made(step, data, parts):
    label = layout.label_of("valid", "rot8x2x1,1.5", step, data)
    assert layout.parse_label(label) == ("valid", "rot8x2x1,1.5", *parts)


def test_files_are_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "scores.json"
    write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    with pytest.raises(UserError, match="a number in it is NaN"):
        write_json(path, {"a": float("nan")})
    with pytest.raises(UnicodeEncodeError):
        write_text(path, "\ud800")
    assert json.loads(path.read_text()) == {"a": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_what_killed_processes_left_aside_is_cleared(tmp_path):
    path = tmp_path / "scores.json"
    mine = aside_of(path)
    ended = subprocess.Popen(["true"])
    ended.wait()
    theirs = mine.with_name(mine.name.replace(str(os.getpid()), str(ended.pid)))
    elsewhere = path.with_name(f".scores.json.other-host-{ended.pid}.partial")
    for aside in (mine, theirs, elsewhere):
        aside.write_text("{")
    clear_asides(tmp_path)
    assert set(tmp_path.iterdir()) == {mine, elsewhere}


def test_a_full_disk_is_named(tmp_path):
    with pytest.raises(OSError, match=r"No space left on device: '/x/m.jsonl'"):
        fill_disk(naming(Path("/x/m.jsonl")))
    with pytest.raises(OSError, match=r"No space left on device: .*scores.json'"):
        fill_disk(open_aside(tmp_path / "scores.json"))
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").touch()
    for path in (tmp_path / "missing" / "a", tmp_path / "file" / "a", tmp_path):
        with pytest.raises(OSError, match=r"\] [\w ]+: '[^>]*'$") as error:
            write_text(path, "")
        assert error.value.filename == str(path)


def fill_disk(context):
    with context:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_tensorboard_is_written_at_once_and_without_threads(tmp_path):
    before = threading.active_count()
    with MetricWriter(tmp_path, 0) as writer:
        writer.write(1, {"train/loss": 0.5})
        assert threading.active_count() == before
        (events,) = (tmp_path / layout.TENSORBOARD).iterdir()
        assert b"train/loss" in events.read_bytes()


def test_nothing_imports_torch(tmp_path):
    (tmp_path / "torch.py").write_text("raise SystemExit('torch is imported')")
    root = Path(__file__).parents[2] / "gzjax"
    names = [
        ".".join(("gzjax", *path.relative_to(root).with_suffix("").parts))
        for path in root.rglob("*.py")
        if path.name != "__init__.py"
    ]
    code = (
        "import importlib, pathlib, sys\n"
        "*modules, folder = sys.argv[1:]\n"
        "for name in modules: importlib.import_module(name)\n"
        "sys.modules['gzjax.training.writers'].MetricWriter(pathlib.Path(folder), 0)"
    )
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-c", code, *names, str(tmp_path)]
    subprocess.run(command, env=environment, check=True)


def test_bars_nest_on_a_terminal(monkeypatch):
    terminal = rich.console.Console(file=io.StringIO(), force_terminal=True, width=80)
    monkeypatch.setattr("gzjax.progress.console", terminal)
    with Progress("training", 4) as outer, Progress("predicting", 9) as inner:
        outer.update(3, "loss 0.5")
        inner.update(7)
    shown = terminal.file.getvalue()
    assert "training" in shown
    assert "3/4" in shown


def test_progress_is_lines_where_there_is_no_terminal(capsys):
    with Progress("counting", 4, every_sec=0.0, before="opening the gate") as progress:
        for done in range(1, 5):
            progress.update(done, "sheep")
    first, *lines = capsys.readouterr().err.splitlines()
    assert first == "counting: opening the gate"
    assert len(lines) == 4
    assert lines[1].startswith("counting 2/4  sheep  ")
    assert lines[3].endswith(" 0 s left")


def test_time_left_does_not_count_what_came_before_the_first_step(capsys, monkeypatch):
    times = iter([0, 100, 101, 102])  # compiled for 100 s
    monkeypatch.setattr("gzjax.progress.time.monotonic", lambda: next(times))
    with Progress("counting", 5, every_sec=0.0) as progress:
        for done in range(1, 4):
            progress.update(done)
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["counting 1/5", "counting 2/5  3 s left", "counting 3/5  2 s left"]
