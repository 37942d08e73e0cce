"""The program for GPUs runs whole at tiny sizes; what does not fit is named."""

import json
import os
import subprocess
import sys
import time
from argparse import Namespace
from pathlib import Path

import gpu_parts
import gpu_tables
import pytest
import train_step
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


def test_a_cpu_is_not_taken_for_a_gpu(tmp_path, capsys):
    output = tmp_path / "gpu.json"
    assert gpu_parts.work(Namespace(tiny=False, output=output)) == 1
    assert "finds no accelerator" in capsys.readouterr().err
    assert not output.exists()


def test_batches_are_halved_until_the_card_holds_them(tmp_path, monkeypatch):
    def measure(config, batch_size, **rest):
        assert config.compute_dtype == "bfloat16"
        if batch_size > 200:
            raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory")
        return {"batch": batch_size, "share_of_peak": rest["peak"]}

    monkeypatch.setattr(train_step, "measure", measure)
    monkeypatch.setattr(gpu_parts, "free_memory", lambda: None)
    results = Results(tmp_path / "gpu.json")
    results.end("peak", 1.0, result={"bfloat16": 7.0})
    bench = gpu_parts.Bench(results, tiny=False, torch_compile=False)
    found = bench.step("p4m bfloat16")
    assert found["batch"] == 128
    assert found["out_of_memory_with"] == [512, 256]
    assert found["share_of_peak"] == 7.0


def test_every_config_is_timed_once(tmp_path):
    bench = gpu_parts.Bench(Results(tmp_path / "gpu.json"), False, False)
    names = [part.name for part in bench.parts()]
    assert len(set(names)) == len(names)
    timed = {name.split()[1] for name in names if name.startswith("step ")}
    assert timed >= set(train_step.default_configs())
    assert names.index("prediction") < names.index("step resnet float32")


@pytest.mark.parametrize(("value", "code"), [(0.5, 0), (2.0, 1), (float("nan"), 1)])
def test_a_check_that_does_not_hold_is_an_exit_code(value, code, tmp_path, capsys):
    results = Results(tmp_path / "gpu.json")
    results.describe({}, ["losses", "peak"])
    check = {"what": "a loss", "value": value, "limit": 1.0}
    results.end("losses", 1.0, result={"checks": [check]})
    results.end("peak", 0.0, left_out="takes about 20 s, 3 s were left")
    assert gpu_tables.report(results) == code
    said = capsys.readouterr().out
    assert (" NO |" in said) == bool(code)
    assert "peak: left out: takes about 20 s" in said
    assert "1 of 2 parts" in said
