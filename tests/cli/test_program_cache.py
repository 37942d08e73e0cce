"""Compiled programs are kept between commands; where they cannot be, nothing breaks."""

import contextlib
import os
import subprocess
import sys

import pytest

from gzjax.cli.program_cache import MAX_BYTES, keep_programs
from gzjax.main import main

# Compiles as a command does, and prints what it is given and makes.
PROGRAM = """
import resource, sys
from gzjax.cli.program_cache import keep_programs
keep_programs()
import jax
hits = []
jax.monitoring.register_event_listener(
    lambda event, **_: hits.append(event) if event.endswith("cache_hits") else None
)
if "--full" in sys.argv:
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))
x = jax.random.normal(jax.random.key(0), (50, 50))
for f in (jax.numpy.linalg.qr, jax.numpy.linalg.svd):
    print([float(y.sum()) for y in jax.jit(f)(x)])
print("hits:", len(hits))
"""


def start(folder, *flags, **changes):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("JAX_")}
    environment["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *flags],
        env=environment | {"GZJAX_CACHE": str(folder)} | changes,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process):
    said, complaint = process.communicate()
    assert process.returncode == 0, complaint
    *results, hits = said.splitlines()
    return results, int(hits.removeprefix("hits: ")), complaint


def entries(folder):
    return sorted(folder.glob("*/*-cache"))


@pytest.fixture(scope="module")
def without():
    return finish(start("off"))[0]


def test_programs_come_back_and_two_can_write_at_once(tmp_path, without):
    for process in [start(tmp_path), start(tmp_path)]:
        results, _, complaint = finish(process)
        assert (results, complaint) == (without, "")
    results, hits, complaint = finish(start(tmp_path))
    assert (results, complaint) == (without, "")
    assert hits >= 2


def test_a_damaged_program_is_replaced_in_silence(tmp_path, without):
    finish(start(tmp_path))
    before = {path: path.read_bytes() for path in entries(tmp_path)}
    torn, flipped = list(before)[:2]
    torn.write_bytes(before[torn][:-99])
    flipped.write_bytes(before[flipped][:-1] + bytes([before[flipped][-1] ^ 1]))
    results, _, complaint = finish(start(tmp_path))
    assert (results, complaint) == (without, "")
    results, hits, complaint = finish(start(tmp_path))
    assert (results, complaint) == (without, "")
    assert hits >= 2


def test_a_full_disk_costs_one_sentence(tmp_path, without):
    results, hits, complaint = finish(start(tmp_path, "--full"))
    assert (results, hits) == (without, 0)
    assert complaint.count("\n") == 1
    assert "cannot keep compiled programs (OSError: [Errno 27] File too" in complaint
    assert entries(tmp_path)  # torn ones
    results, _, complaint = finish(start(tmp_path))
    assert (results, complaint) == (without, "")
    assert finish(start(tmp_path))[1] >= 2


@pytest.mark.parametrize(
    ("folder", "changes", "why"),
    [
        ("/proc/self/cmdline", {}, "Not a directory"),
        ("/proc/1/gzjax", {}, "No such file or directory"),
        ("", {"XDG_CACHE_HOME": "/sys/gzjax"}, "Operation not permitted|Read-only"),
        ("", {"HOME": "/dev/null", "XDG_CACHE_HOME": "here"}, "Not a directory"),
    ],
)
def test_a_folder_that_cannot_be_made_costs_one_sentence(
    folder, changes, why, monkeypatch, capsys
):
    for name, value in changes.items():
        monkeypatch.setenv(name, value)
    environment = {"GZJAX_CACHE": folder, **changes}
    keep_programs(environment)
    assert "JAX_COMPILATION_CACHE_DIR" not in environment
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert any(words in said for words in why.split("|")), said


def test_the_user_decides_where(tmp_path, monkeypatch):
    monkeypatch.setattr("warnings.showwarning", None)
    for name, value in (("GZJAX_CACHE", "Off"), ("JAX_COMPILATION_CACHE_DIR", "")):
        environment = {name: value}
        before = dict(environment)
        keep_programs(environment)
        assert environment == before
    environment = {
        "XDG_CACHE_HOME": str(tmp_path),
        "JAX_COMPILATION_CACHE_MAX_SIZE": "9",
    }
    keep_programs(environment)
    folder = tmp_path / "gzjax" / os.listdir(tmp_path / "gzjax")[0]
    assert environment["JAX_COMPILATION_CACHE_DIR"] == str(folder)
    assert environment["JAX_COMPILATION_CACHE_MAX_SIZE"] == "9"
    assert MAX_BYTES < 1 << 30


def test_another_cpu_has_another_folder_and_old_ones_go(tmp_path, monkeypatch):
    monkeypatch.setattr("warnings.showwarning", None)
    folders = []
    for cores in ({0}, {0, 1}):
        monkeypatch.setattr("os.sched_getaffinity", lambda _, cores=cores: cores)
        keep_programs(environment := {"GZJAX_CACHE": str(tmp_path)})
        folders.append(environment["JAX_COMPILATION_CACHE_DIR"])
    assert len(set(folders)) == 2
    (tmp_path / "mine").mkdir()
    for path in tmp_path.iterdir():
        os.utime(path, (0, 0))
    keep_programs({"GZJAX_CACHE": str(tmp_path)})
    assert {str(path) for path in tmp_path.iterdir()} == {
        folders[1],
        str(tmp_path / "mine"),
    }


def test_only_a_process_alone_keeps_them(monkeypatch):
    kept = []
    monkeypatch.setattr("gzjax.cli.program_cache.keep_programs", lambda: kept.append(1))
    monkeypatch.setattr("gzjax.cli.join.joined", lambda **_: contextlib.nullcontext())
    monkeypatch.setattr("gzjax.evaluation.evaluate.evaluate", lambda **_: {})
    several = ["--coordinator=127.0.0.1:9", "--num_processes=2", "--process_id=0"]
    assert main(["evaluate", "--workdir=x", *several]) == 0
    assert not kept
    assert main(["evaluate", "--workdir=x"]) == 0
    assert kept
