"""Several real processes on this machine train as one, stop as one, and end as one."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest
from compiling import QUICKLY
from interruption import LONG, final_params, finish, wait_for_step
from test_join import free_port
from tiny import (
    flags,
    make_config,
    make_plain_config,
    make_view_config,
    plain_flags,
    view_flags,
)

from gzjax.cli.processes.meeting import HEARTBEAT_SEC
from gzjax.data.pipeline import train_batches
from gzjax.steps.compiled import Programs
from gzjax.steps.mesh import make_mesh, to_devices
from gzjax.training.experiment import Experiment
from gzjax.trees import GZ2

DONE = 143, 143  # 128 + SIGTERM


def start(workdir, arguments, process=(), num_devices=2, **environment):
    """A training; ``process``: flags of one of several."""
    command = [sys.executable, "-m", "gzjax.main", "train", f"--workdir={workdir}"]
    count = f"--xla_force_host_platform_device_count={num_devices}"
    return subprocess.Popen(
        [*command, *arguments, *process],
        env={**os.environ, "XLA_FLAGS": f"{QUICKLY} {count}", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@contextlib.contextmanager
def two(workdir, arguments, workdirs=None, of_one=(), **environment):
    """Two processes of one run, of two devices each; none outlives the test.

    ``of_one``: flags of process 1 alone.
    """
    of_all = f"--coordinator=127.0.0.1:{free_port()}", "--num_processes=2"
    own = (*of_all, "--process_id=0"), (*of_all, "--process_id=1", *of_one)
    both = [
        start(folder, arguments, process, **environment)
        for folder, process in zip(workdirs or (workdir, workdir), own, strict=True)
    ]
    try:
        yield both
    finally:
        for process in both:
            if process.poll() is None:
                process.kill()
            process.communicate()


def finish_two(both):
    (code0, output0), (code1, output1) = map(finish, both)
    return (code0, code1), (output0, output1)


def first_update(config, num_devices):
    """Parameters after one step in this process."""
    experiment = Experiment(config, GZ2)
    experiment.mesh = make_mesh(jax.devices()[:num_devices])
    phases = experiment.programs.phases
    experiment.programs = Programs(phases, GZ2, experiment.mesh)
    train = experiment.splits["train"]
    with contextlib.closing(
        train_batches(experiment.source, train, config, 0)
    ) as batches:
        (batch,) = to_devices([next(batches)], experiment.mesh)
    programs = experiment.programs
    state, _ = programs.train_step(0)(programs.make_state(), batch)
    return jax.tree.leaves(state.params)


def test_two_processes_train_as_one_and_stop_after_the_same_step(tmp_path):
    changes = dict.fromkeys(
        ["num_train_steps", "eval_every_steps", "keep_newest"], 1000
    )
    changes |= {"checkpoint_every_steps": 1, "head_warmup_steps": 0}
    with two(tmp_path, plain_flags(**changes)) as both:
        wait_for_step(tmp_path, 2, both[0])
        both[1].send_signal(signal.SIGTERM)
        codes, outputs = finish_two(both)
    assert codes == DONE, outputs
    assert "process 0 of 2 (by flags)" in outputs[0]
    saved = int(re.search(r"stopped; step (\d+) is saved", outputs[0])[1])
    steps = sorted(int(path.name) for path in (tmp_path / "checkpoints").glob("[0-9]*"))
    assert steps == list(range(1, saved + 1))
    assert all("Traceback" not in output for output in outputs)
    config = make_plain_config(**changes)
    together = final_params(tmp_path, 1, config)
    for num_devices in (4, 1):
        alone = first_update(config, num_devices)
        for a, b in zip(together, alone, strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dtype", "steps", "atol"), [("float32", 1, 1e-6), ("float64", 20, 1e-10)]
)
@pytest.mark.parametrize("network", ["group_cnn", "view_net"])
def test_processes_and_devices_agree(network, dtype, steps, atol, tmp_path):
    counts = ["num_train_steps", "eval_every_steps", "checkpoint_every_steps"]
    changes = {"dtype": dtype, "head_warmup_steps": 0, **dict.fromkeys(counts, steps)}
    arguments = ["--config=p4m", *flags(**changes)]
    config = make_config(**changes)
    if network == "view_net":
        arguments, config = view_flags(**changes), make_view_config(**changes)
    x64 = {"JAX_ENABLE_X64": str(int(dtype == "float64"))}
    with two(tmp_path / "2x2", arguments, **x64) as both:
        codes, outputs = finish_two(both)
        assert codes == (0, 0), outputs
    for num_devices in (4, 1):
        folder = tmp_path / f"1x{num_devices}"
        code, output = finish(start(folder, arguments, (), num_devices, **x64))
        assert code == 0, output
    with jax.enable_x64(dtype == "float64"):
        together, four, one = (
            final_params(tmp_path / name, steps, config)
            for name in ("2x2", "1x4", "1x1")
        )
    assert all(leaf.dtype == dtype for leaf in together)
    for a, b, c in zip(together, four, one, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=atol)
        np.testing.assert_allclose(a, c, rtol=0, atol=atol)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("undisturbed")
    with two(workdir, plain_flags(**LONG)) as both:
        codes, outputs = finish_two(both)
        assert codes == (0, 0), outputs
    return final_params(workdir)


@pytest.mark.slow
@pytest.mark.parametrize("number", [0, 1])
def test_asked_to_stop_they_go_on_with_any_number_of_devices(
    number, undisturbed, tmp_path
):
    stopped = tmp_path / "stopped"
    with two(stopped, plain_flags(**LONG)) as both:
        wait_for_step(stopped, 10, both[0])
        both[number].send_signal(signal.SIGTERM)
        codes, outputs = finish_two(both)
        assert codes == DONE, outputs
    step = int(re.search(r"stopped; step (\d+) is saved", outputs[0])[1])
    assert 10 <= step < 60
    for num_devices in (1, 2, 4):
        folder = tmp_path / str(num_devices)
        shutil.copytree(stopped, folder)
        code, output = finish(start(folder, plain_flags(**LONG), (), num_devices))
        assert code == 0, output
        assert f"resuming from step {step}" in output
        for a, b in zip(final_params(folder), undisturbed, strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=2e-3)  # rounding grows
    with two(stopped, plain_flags(**LONG)) as both:
        codes, outputs = finish_two(both)
        assert codes == (0, 0), outputs
    for a, b in zip(final_params(stopped), undisturbed, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.slow
@pytest.mark.parametrize("number", [0, 1])
def test_one_is_killed_and_the_other_leaves_and_the_rerun_goes_on(
    number, undisturbed, tmp_path
):
    arguments = plain_flags(**LONG | {"data.num_workers": 1})
    with two(tmp_path, arguments) as both:
        wait_for_step(tmp_path, 20, both[0])
        both[number].send_signal(signal.SIGKILL)
        begun = time.monotonic()
        code, output = finish(both[1 - number])
        assert time.monotonic() - begun < HEARTBEAT_SEC + 30
        # By JAX, or by what they compute together, whichever notices first.
        assert code in (-signal.SIGABRT, 1), output
    with two(tmp_path, arguments) as both:
        codes, outputs = finish_two(both)
        assert codes == (0, 0), outputs
        assert "resuming from step" in outputs[0]
    for a, b in zip(final_params(tmp_path), undisturbed, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_a_damaged_checkpoint_is_set_aside_once(undisturbed, tmp_path):
    arguments = plain_flags(**LONG)
    with two(tmp_path, arguments) as both:
        wait_for_step(tmp_path, 60, both[0])
        assert finish_two(both)[0] == (0, 0)
    newest = tmp_path / "checkpoints" / "60"
    victim = max((newest / "state").rglob("*"), key=lambda path: path.stat().st_size)
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 1
    victim.write_bytes(content)
    with two(tmp_path, arguments) as both:
        codes, outputs = finish_two(both)
    assert codes == (0, 0), outputs
    assert [output.count("damaged:") for output in outputs] == [1, 0]
    assert "resuming from step 50" in outputs[0]
    assert (tmp_path / "checkpoints" / "60.damaged").is_dir()
    for a, b in zip(final_params(tmp_path), undisturbed, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_what_is_wrong_is_said_by_both_and_nobody_hangs(tmp_path):
    def refused(message, arguments, **options):
        begun = time.monotonic()
        with two(tmp_path / "run", arguments, **options) as both:
            codes, outputs = finish_two(both)
        assert codes == (2, 2), outputs
        assert all(message in output for output in outputs)
        assert not (tmp_path / "run").exists()
        assert time.monotonic() - begun < 60

    refused("4 devices cannot share", plain_flags(batch_size=6))
    folders = tmp_path / "a", tmp_path / "b"
    refused("is not seen by process 1", plain_flags(), workdirs=folders)
    of_one = ("--config.learning_rate=0.5",)
    refused("  another config: process 1\n", plain_flags(), of_one=of_one)
