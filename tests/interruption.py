"""A training in a process of its own, for tests that interrupt it."""

import time

import jax
from tiny import make_plain_config

from gzjax.training.checkpoint.checkpoints import Checkpoints
from gzjax.training.experiment import Experiment
from gzjax.trees import GZ2

LONG = {
    "num_train_steps": 60,
    "eval_every_steps": 60,
    "log_every_steps": 5,
    "checkpoint_every_steps": 10,
}


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


def final_params(workdir, step=60, config=None):
    config = config or make_plain_config(**LONG)
    template = Experiment(config, GZ2).programs.abstract_state()
    with Checkpoints(workdir / "checkpoints") as checkpoints:
        return jax.tree.leaves(checkpoints.restore(step, template).params)
