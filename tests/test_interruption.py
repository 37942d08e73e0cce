"""Real processes: killed at any moment, or asked to stop.

Quick ones: test_faults (killed), test_distributed (asked to stop).
"""

import os
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest
from compiling import QUICKLY
from tiny import make_plain_config, plain_flags

from gzjax.training.checkpoint import Checkpoints
from gzjax.training.experiment import Experiment
from gzjax.trees import GZ2

pytestmark = pytest.mark.slow
LONG = {"num_train_steps": 40, "eval_every_steps": 40, "log_every_steps": 5,
        "checkpoint_every_steps": 10}  # fmt: skip
# One device per process.
ENVIRONMENT = {**os.environ, "XLA_FLAGS": QUICKLY}


def start(workdir, **changes):
    argv = [sys.executable, "-m", "gzjax.main", f"--workdir={workdir}",
            *plain_flags(**{**LONG, **changes})]  # fmt: skip
    return subprocess.Popen(
        argv,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process):
    output, _ = process.communicate(timeout=400)
    return process.returncode, output


def wait_for_step(workdir, step, process, timeout_sec=120):
    deadline = time.monotonic() + timeout_sec
    while time.monotonic() < deadline:
        if (workdir / "checkpoints" / str(step)).is_dir():
            return
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.02)
    raise TimeoutError(f"no checkpoint of step {step}")


def final_params(workdir, step=40, config=None):
    config = config or make_plain_config(**LONG)
    template = Experiment(config, GZ2).programs.abstract_state()
    with Checkpoints(workdir / "checkpoints") as checkpoints:
        return jax.tree.leaves(checkpoints.restore(step, template).params)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("undisturbed")
    code, output = finish(start(workdir))
    assert code == 0, output
    return final_params(workdir)


@pytest.mark.parametrize(
    ("workers", "kills"),
    [(0, (10,)), (2, (10, 30))],
)
def test_killed_run_ends_bit_for_bit_the_same(undisturbed, workers, kills, tmp_path):
    changes = {"data.num_workers": workers}
    for step in kills:
        process = start(tmp_path, **changes)
        wait_for_step(tmp_path, step, process)
        process.send_signal(signal.SIGKILL)
        assert finish(process)[0] == -signal.SIGKILL
    code, output = finish(start(tmp_path, **changes))
    assert code == 0, output
    assert "going on from step" in output
    for ours, theirs in zip(final_params(tmp_path), undisturbed, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_asked_to_stop_it_saves_and_says_so(undisturbed, number, tmp_path):
    changes = {"checkpoint_every_steps": 13, "data.num_workers": 1}
    process = start(tmp_path, **changes)
    wait_for_step(tmp_path, 13, process)
    process.send_signal(number)
    time.sleep(0.02)
    process.send_signal(number)  # as launchers do, to a process and to its group
    code, output = finish(process)
    assert code == 128 + number, output
    assert "The same command goes on from it" in output
    assert "Traceback" not in output
    assert "leaked" not in output
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        stopped = checkpoints.newest_step
    assert 13 <= stopped < 40
    assert finish(start(tmp_path, **changes))[0] == 0
    for ours, theirs in zip(final_params(tmp_path), undisturbed, strict=True):
        np.testing.assert_array_equal(ours, theirs)
