"""Processes that meet begin; those that do not say why, and leave within the time."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading

import jax
import pytest

from gzjax.cli.join import initialize_distributed
from gzjax.cli.processes.meeting import meet
from gzjax.cli.processes.place import Place
from gzjax.errors import UserError

BODY = """
import time
from gzjax.cli.join import joined
from gzjax.errors import UserError
try:
    with joined():
        print("begun", flush=True)
        {body}
except UserError as error:
    raise SystemExit(f"refused: {{error}}")
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start(address, process_id, count, body, timeout_sec):
    variables = {
        "GZJAX_COORDINATOR": address,
        "GZJAX_NUM_PROCESSES": str(count),
        "GZJAX_PROCESS_ID": str(process_id),
        "GZJAX_INIT_TIMEOUT_SEC": str(timeout_sec),
    }
    return subprocess.Popen(
        [sys.executable, "-c", BODY.format(body=body)],
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def run(*places, body="pass", timeout_sec=60, port=None):
    """Exit codes and outputs of processes with these ids and counts."""
    address = f"127.0.0.1:{port or free_port()}"
    processes = [start(address, *place, body, timeout_sec) for place in places]
    try:
        outputs = [process.communicate(timeout=60)[0] for process in processes]
    finally:
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            process.wait()
    return [process.returncode for process in processes], outputs


def test_they_meet_and_leave_together():
    codes, outputs = run((0, 2), (1, 2))
    assert codes == [0, 0], outputs
    for number, output in enumerate(outputs):
        assert f"process {number} of 2 (by variables) joins the others" in output
        assert "begun" in output


@pytest.mark.parametrize("places", [[(0, 3), (1, 3)], [(1, 2)], [(0, 3), (1, 2)]])
def test_one_that_does_not_come_is_waited_for_no_longer_than_told(places):
    codes, outputs = run(*places, timeout_sec=1)
    assert codes == [2] * len(places), outputs
    for (number, count), output in zip(places, outputs, strict=True):
        assert f"process {number} waited 1 s for {count} processes to meet" in output
        assert f"What to do: start {count} processes" in output
        assert "begun" not in output
        assert "stack trace" not in output


def test_counts_that_disagree_are_named_by_all():
    codes, outputs = run((0, 2), (1, 3))
    assert codes == [2, 2], outputs
    for output in outputs:
        assert "different --num_processes (process 0: 2, process 1: 3)" in output
        assert "begun" not in output


def test_a_port_that_is_taken_is_named():
    dual = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if dual else socket.AF_INET
    with socket.create_server(("", 0), family=family, dualstack_ipv6=dual) as server:
        port = server.getsockname()[1]
        codes, (output,) = run((0, 2), port=port)
    assert codes == [1], output
    assert f"refused: process 0 cannot listen on port {port} (Address" in output
    assert "another --coordinator" in output


def test_what_fails_in_all_is_said_by_all():
    codes, outputs = run((0, 2), (1, 2), body="raise UserError('no space left')")
    assert codes == [2, 2], outputs
    for number, output in enumerate(outputs):
        assert f"gzjax: process {number}: no space left" in output


def test_when_process_0_fails_the_others_do_not_wait():
    body = "import jax; jax.process_index() and time.sleep(50); 1 / 0"
    codes, outputs = run((0, 2), (1, 2), body=body)
    assert codes == [1, -signal.SIGABRT], outputs
    assert "process 0: ZeroDivisionError: division by zero" in outputs[0]
    assert "Traceback" in outputs[0]


def test_a_process_alone_starts_nothing_and_may_ask_twice():
    for _ in range(2):
        assert initialize_distributed(environment={}) is None
    assert not jax.distributed.is_initialized()
    with pytest.raises(UserError, match="--num_processes=2 alone"):
        initialize_distributed(num_processes=2, environment={})


def test_a_tpu_host_without_its_pod_says_what_to_do(monkeypatch):
    def fail(**options):
        raise RuntimeError("no metadata")

    monkeypatch.setattr("gzjax.cli.join._is_tpu_host", lambda environment: True)
    monkeypatch.setattr("jax.distributed.initialize", fail)
    with pytest.raises(UserError, match=r"no metadata\n.*--num_processes=1 for this"):
        initialize_distributed(environment={})
    assert initialize_distributed(num_processes=1, environment={}) is None


def test_what_jax_refuses_is_said_and_kills_nothing_later(monkeypatch):
    def fail(*_, **options):
        raise RuntimeError("called before")

    monkeypatch.setattr("jax.distributed.initialize", fail)
    with pytest.raises(UserError, match="processes cannot be joined: called before"):
        meet(Place("flags", 2, 0, f"127.0.0.1:{free_port()}", None), 50)
    timers = [x for x in threading.enumerate() if isinstance(x, threading.Timer)]
    assert all(timer.finished.is_set() for timer in timers)


def test_a_process_alone_takes_the_gpus_that_it_is_given(monkeypatch):
    updates = {}
    monkeypatch.setattr("jax.config.update", updates.__setitem__)
    environment = {"JAX_PLATFORMS": "cuda", "CUDA_VISIBLE_DEVICES": "4,5,6"}
    initialize_distributed(local_devices="2,0", environment=environment)
    assert updates["jax_cuda_visible_devices"] == "0,2"
