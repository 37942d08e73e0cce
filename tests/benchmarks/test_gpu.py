"""The program for GPUs runs whole at tiny sizes; what does not fit is named."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from compiling import QUICKLY
from gpu import supervise
from gpu_results import Results

BENCHMARKS = Path(__file__).parent.parent.parent / "benchmarks"
# A process that works on the parts a, b, c; what it does with each is the argument.
WORKER = f"""
import os, sys, time
sys.path.insert(0, {str(BENCHMARKS)!r})
from pathlib import Path
from gpu_results import Results
results = Results(Path(sys.argv[1]))
results.describe({{}}, ["a", "b", "c"])
for name in results.plan:
    if not results.of(name):
        results.begin(name)
        if name == "a":
            os._exit(3)
        if name == "c":
            time.sleep(60)
        results.end(name, 2.0, result={{"x": 1}})
"""


def test_everything_runs_at_tiny_sizes_and_only_once(tmp_path):
    output = tmp_path / "gpu.json"
    command = [sys.executable, BENCHMARKS / "gpu.py", "--tiny", f"--output={output}"]
    env = os.environ | {"XLA_FLAGS": QUICKLY}  # one device
    first = subprocess.run(command, env=env, capture_output=True, text=True)
    assert first.returncode == 0, first.stdout + first.stderr
    results = Results(output)
    kinds = ["losses", "update", "equivariance", "peak", *4 * ["step"]]
    kinds += ["training", "fed", "prediction"]
    assert [name.split()[0] for name in results.plan] == kinds
    assert all(map(results.result, results.plan))
    for title in ("Checks", "Matrix products", "Training steps", "fed from"):
        assert title in first.stdout
    again = subprocess.run(command, env=env, capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert Results(output).data == results.data
    assert "11 of 11 parts" in again.stdout


def test_a_dead_process_costs_one_part_and_the_time_ends_the_last(tmp_path):
    results = Results(tmp_path / "gpu.json")
    command = [sys.executable, "-c", WORKER, str(results.path)]
    start = time.time()
    assert supervise(results, command, start + 8) is None
    assert time.time() - start < 30
    assert "exit code 3" in results.of("a")["failed"]
    assert results.result("b") == {"x": 1}
    assert "when the time was over" in results.of("c")["left_out"]
    results.forget_failures()
    assert list(results.data["parts"]) == ["b"]


@pytest.mark.parametrize(("left", "fits"), [(3.0, True), (1.0, False)])
def test_a_part_begins_only_if_one_like_it_took_less(left, fits, tmp_path):
    results = Results(tmp_path / "gpu.json")
    results.end("step a", 2.0, result={})
    results.end("step b", 50.0, failed="x")
    why = results.why_left_out("step c", 100, left)
    assert (why is None) == fits
    assert "100 s" in results.why_left_out("fed", 100, left)


def test_figures_of_another_machine_are_not_mixed(tmp_path):
    results = Results(tmp_path / "gpu.json")
    assert results.describe({"machine": {"device": "A"}}, ["a"]) is None
    other = Results(results.path)
    assert "holds figures" in other.describe({"machine": {"device": "B"}}, ["a"])
    assert json.loads(results.path.read_text())["machine"] == {"device": "A"}
