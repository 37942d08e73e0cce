"""Launch scripts: what they would run, what they pass on, what they leave behind."""

import contextlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gzjax.cli.flags import make_parser
from gzjax.prediction.chunks import parse_shard

LAUNCH = Path(__file__).parents[2] / "launch"
SCRIPTS = sorted(path.name for path in LAUNCH.glob("*.sh"))
TRIED = {"local.sh", "sweep.py"}  # in earnest, not only dry
SITE = {"ACCOUNT": "me", "PARTITION": "gpu"}
PREDICT = ["--workdir=runs/a b", "--images=cutouts", "--output=out put.csv"]
TPU = {"TPU": "slice", "ZONE": "zone-b"}

# Stands for gzjax.main: notes what it was given, stays, and leaves as it is told.
TRAINER = """
import json, os, pathlib, signal, subprocess, sys, time
index = os.environ.get("GZJAX_PROCESS_ID", "0")
worker = subprocess.Popen(["sleep", "60"])
def leave(number, frame):
    os._exit(128 + number)
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, leave)
ours = {k: v for k, v in os.environ.items() if k.startswith(("GZJAX", "XLA_PYTHON"))}
note = {"argv": sys.argv[1:], "ours": ours, "pids": [os.getpid(), worker.pid]}
path = pathlib.Path(f"note{index}.json")
path.with_suffix(".new").write_text(json.dumps(note))
path.with_suffix(".new").rename(path)
wish = pathlib.Path(f"leave{index}")
while not wish.exists():
    time.sleep(0.02)
os._exit(int(wish.read_text()))
"""
# Stands for a command of a cluster: notes its arguments, and answers.
COMMAND = """#!/bin/sh
printf '%s' "${0##*/}" >>commands
for argument; do printf '\\t%s' "$argument" >>commands; done
echo >>commands
"""


@pytest.fixture
def site(tmp_path):
    """A folder with gzjax.main and the commands of clusters, all of them stand-ins."""
    (tmp_path / "gzjax").mkdir()
    (tmp_path / "gzjax" / "__init__.py").touch()
    (tmp_path / "gzjax" / "main.py").write_text(TRAINER)
    (tmp_path / "bin").mkdir()
    for name, answer in {
        "sbatch": "echo '77;cluster'",
        "srun": "",
        "scontrol": "",
        "gcloud": "",
        "nvidia-smi": "exit 9",
    }.items():
        command(tmp_path, name, answer)
    yield tmp_path
    for path in tmp_path.glob("note?.json"):  # of a test that failed
        for pid in json.loads(path.read_text())["pids"]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def command(site, name, answer):
    path = site / "bin" / name
    path.write_text(f"{COMMAND}{answer}\n")
    path.chmod(0o755)


def start(site, script, *arguments, **variables):
    """A process of the script, without what the suite itself was started with."""
    ours = ("SLURM", "GZJAX", "XLA", "TPU", "JAX", "CUDA", "DRY_RUN")
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
    path = f"{site / 'bin'}:{os.environ['PATH']}"
    return subprocess.Popen(
        [LAUNCH / script, *arguments],
        cwd=site,
        env={**inherited, "PYTHON": sys.executable, "PATH": path, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def launch(site, script, *arguments, **variables):
    """Its exit code, and the words of each line that it printed."""
    process = start(site, script, *arguments, **variables)
    out, err = process.communicate(timeout=30)
    return process.returncode, [shlex.split(line) for line in out.splitlines()], err


def noted(site):
    """The commands of clusters that were run, as words."""
    path = site / "commands"
    text = path.read_text() if path.exists() else ""
    return [line.split("\t") for line in text.splitlines()]


def of_gzjax(words):
    """What gzjax.main itself makes of a command."""
    assert words[-1] not in ("&", ";")
    rest = words[words.index("gzjax.main") + 1 :]
    assert words[words.index("gzjax.main") - 2 :][:2] == [sys.executable, "-m"]
    overrides = [word for word in rest if word.startswith("--config.")]
    args = make_parser().parse_args([w for w in rest if w not in overrides])
    return args, overrides


def wait_for(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def notes(site, count):
    paths = [site / f"note{i}.json" for i in range(count)]
    wait_for(lambda: all(path.exists() for path in paths))
    return [json.loads(path.read_text()) for path in paths]


def tell_to_leave(site, index, code):
    path = site / "told"
    path.write_text(str(code))
    path.rename(site / f"leave{index}")


def is_running(pid):
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def test_nothing_claims_to_be_tried_that_was_not():
    for path in LAUNCH.iterdir():
        if path.name.startswith("__"):
            continue
        lines = [line.strip("# ") for line in path.read_text().splitlines()]
        status = [line for line in lines if line.startswith("Status: ")]
        assert len(status) == 1, path
        if path.name in TRIED:
            assert status[0].startswith("Status: tried on one machine")
            assert "dry-run tested only" in status[0]  # for what needs more than that
        else:
            assert status[0].startswith("Status: dry-run tested only; never run on a ")
            assert " tried" not in path.read_text()


@pytest.mark.parametrize("script", SCRIPTS)
def test_shellcheck_finds_nothing(script):
    shellcheck = shutil.which("shellcheck", path=Path(sys.executable).parent)
    assert shellcheck, "pip install -e '.[dev]'"
    checked = subprocess.run(
        [shellcheck, LAUNCH / script], capture_output=True, text=True
    )
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize(
    ("script", "arguments", "variables", "message"),
    [
        ("local.sh", [], {}, "give the arguments of train"),
        ("local.sh", ["--config=p4m"], {"NPROC": "two"}, "NPROC=two: give a number"),
        ("local.sh", ["--config=p4m"], {"NPROC": "2", "GPUS": "1"}, "cannot share 1"),
        ("local.sh", ["--config=p4m"], {"NPROC": "2", "GPUS": "3"}, "cannot share 3"),
        ("local.sh", ["--config=p4m"], {"ALLOCATOR": "/none.so"}, "/none.so: no such"),
        ("slurm.sh", [], SITE, "give the arguments of train"),
        ("slurm.sh", ["--config=p4m"], {"PARTITION": "gpu"}, "ACCOUNT is not set"),
        ("slurm.sh", ["--config=p4m"], {"ACCOUNT": "me"}, "PARTITION is not set"),
        ("slurm.sh", ["--config=p4m"], {**SITE, "NODES": "two"}, "NODES=two: give a"),
        ("slurm.sh", ["--config=p4m"], {**SITE, "GPUS_PER_NODE": "a:"}, "TYPE:NUMBER"),
        ("slurm_predict.sh", [], SITE, "give the arguments of predict"),
        ("slurm_predict.sh", PREDICT, {**SITE, "SHARDS": "0"}, "SHARDS=0: give a"),
        ("slurm_predict.sh", ["--output=x.csv"], {}, "ACCOUNT is not set"),
        ("slurm_predict.sh", ["--workdir=r"], SITE, "give --output=FILE"),
        ("tpu_vm.sh", ["stop"], {"ZONE": "b"}, "TPU is not set"),
        ("tpu_vm.sh", ["stop"], {"TPU": "a"}, "ZONE is not set"),
        ("tpu_vm.sh", ["fly"], TPU, "give install, train, watch or stop"),
        ("tpu_vm.sh", ["train"], TPU, "train needs arguments"),
        ("tpu_vm.sh", ["install", "none.whl"], TPU, "install needs a wheel"),
    ],
)
def test_what_is_missing_is_named(script, arguments, variables, message, site):
    code, lines, error = launch(site, script, *arguments, **variables)
    assert code == 2
    assert error.startswith(f"{script}: ")
    assert message in error
    assert not lines
    assert {words[0] for words in noted(site)} <= {"nvidia-smi"}  # only looks


@pytest.mark.parametrize("script", ["slurm.sh", "slurm_predict.sh"])
def test_slurm_is_submitted_where_there_is_slurm(script, site):
    (site / "bin" / "sbatch").unlink()
    code, _, error = launch(site, script, *PREDICT, **SITE)
    assert (code, noted(site)) == (2, [])
    assert "there is no sbatch here" in error
    assert launch(site, script, "--dry-run", *PREDICT, **SITE)[0] == 0


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_and_dry_run_run_nothing(script, site):
    before = set(site.iterdir())
    asked = start(site, script, "train", "--help")
    assert "Status: " in asked.communicate(timeout=30)[0]
    assert asked.returncode == 0
    given = ["--config=p4m", "--output=x.csv"]
    if script == "tpu_vm.sh":
        given = ["train", "--config=p4m"]
    for arguments, variables in (
        (["--dry-run", *given], {}),
        ([*given, "--dry-run"], {}),
        (given, {"DRY_RUN": "1"}),
    ):
        code, lines, _ = launch(site, script, *arguments, **SITE, **TPU, **variables)
        assert code == 0
        assert any("gzjax.main" in " ".join(line) for line in lines)
        assert not any("--dry-run" in line for line in lines)
    assert {path.name for path in set(site.iterdir()) - before} <= {"commands"}
    assert {words[0] for words in noted(site)} <= {"nvidia-smi"}  # only looks


def test_local_processes_share_the_gpus(site):
    arguments = ["--dry-run", "--config=p4m", "--config.view.mean=(0, 1)"]
    variables = {"NPROC": "2", "GPUS": "4", "PORT": "1234"}
    _, lines, _ = launch(site, "local.sh", *arguments, **variables)
    assert len(lines) == 2
    for index, (words, devices) in enumerate(zip(lines, ["0,1", "2,3"], strict=True)):
        variables = dict(word.split("=") for word in words[1 : words.index("-m") - 1])
        assert variables == {
            "XLA_PYTHON_CLIENT_MEM_FRACTION": "0.9",
            "GZJAX_COORDINATOR": "127.0.0.1:1234",
            "GZJAX_NUM_PROCESSES": "2",
            "GZJAX_PROCESS_ID": str(index),
            "GZJAX_LOCAL_DEVICES": devices,
        }
        args, overrides = of_gzjax(words)
        assert args.config == "p4m"
        assert overrides == ["--config.view.mean=(0, 1)"]


@pytest.mark.parametrize(
    ("variables", "count"),
    [
        ({}, 3),
        ({"CUDA_VISIBLE_DEVICES": "1,2"}, 2),
        ({"CUDA_VISIBLE_DEVICES": ""}, 0),
        ({"CUDA_VISIBLE_DEVICES": "-1"}, 0),
        ({"CUDA_VISIBLE_DEVICES": "GPU-8,MIG-9"}, 2),
        ({"JAX_PLATFORMS": "cpu"}, 0),
    ],
)
def test_local_counts_the_gpus_that_jax_would_see(variables, count, site):
    command(site, "nvidia-smi", "printf 'GPU 0\\nGPU 1\\nGPU 2\\n'")
    _, [words], _ = launch(site, "local.sh", "--dry-run", "--config=p4m", **variables)
    assert ("XLA_PYTHON_CLIENT_MEM_FRACTION=0.9" in words) == (count > 0)
    code, _, error = launch(
        site, "local.sh", "--dry-run", "--config=p4m", NPROC="9", **variables
    )
    assert code == (2 if count else 0)  # without any, they share the CPU
    assert (f"NPROC=9 processes cannot share {count} GPUs" in error) == (count > 0)


def test_local_preloads_the_allocator_that_is_asked_for(site):
    (site / "malloc.so").touch()
    variables = {"ALLOCATOR": "malloc.so", "LD_PRELOAD": "", "DRY_RUN": "1"}
    _, [words], _ = launch(site, "local.sh", "--config=p4m", **variables)
    assert words[:2] == ["env", "LD_PRELOAD=malloc.so"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_local_passes_signals_on_and_leaves_nothing_behind(number, site):
    process = start(site, "local.sh", "--config=p4m", NPROC="2")
    both = notes(site, 2)
    process.send_signal(number)
    process.communicate(timeout=20)
    assert process.returncode == 128 + number
    assert [note["ours"]["GZJAX_PROCESS_ID"] for note in both] == ["0", "1"]
    assert both[0]["argv"] == ["train", "--config=p4m"]
    assert not any(is_running(pid) for note in both for pid in note["pids"])


@pytest.mark.parametrize(
    ("leaving", "code"),
    [
        ([(0, 0), (1, 0)], 0),
        ([(0, 0), (1, 4)], 4),
        ([(1, 4), (0, 3)], 4),
        ([(1, 5)], 5),  # the other one stays: it is ended
    ],
)
def test_local_returns_the_code_of_the_first_that_failed(leaving, code, site):
    grace = {"GRACE_SEC": "1"} if len(leaving) == 1 else {}
    process = start(site, "local.sh", "--config=p4m", NPROC="2", **grace)
    both = notes(site, 2)
    for index, each in leaving:
        tell_to_leave(site, index, each)
        wait_for(lambda pid=both[index]["pids"][0]: not is_running(pid))
        time.sleep(0.5)  # longer than it takes to notice
    process.communicate(timeout=20)
    assert process.returncode == code
    assert not any(is_running(pid) for note in both for pid in note["pids"])


def test_local_alone_is_no_process_of_several(site):
    tell_to_leave(site, 0, 0)
    assert launch(site, "local.sh", "--config=p4m")[0] == 0
    [note] = notes(site, 1)
    assert note["ours"] == {}


def test_slurm_submits_itself(site):
    sizes = {"NODES": "2", "TASKS_PER_NODE": "4", "GPUS_PER_NODE": "a100:4"}
    code, _, _ = launch(site, "slurm.sh", "--config=p4m", **SITE, **sizes)
    [words] = noted(site)
    assert code == 0
    assert words[0] == "sbatch"
    assert {"--account=me", "--partition=gpu", "--nodes=2"} < set(words)
    assert {"--ntasks-per-node=4", "--gpus-per-node=a100:4"} < set(words)
    assert {"--signal=TERM@120", "--requeue"} < set(words)
    assert words[-2:] == [str(LAUNCH / "slurm.sh"), "--config=p4m"]


def test_slurm_without_account_or_gpus_asks_for_none(site):
    variables = {"ACCOUNT": "", "PARTITION": "", "GPUS_PER_NODE": "0"}
    launch(site, "slurm.sh", "--config=p4m", **variables)
    [words] = noted(site)
    options = ("--account", "--partition", "--gpus")
    assert not [word for word in words if word.startswith(options)]


@pytest.mark.parametrize("code", [0, 2, 143])
@pytest.mark.parametrize(
    ("script", "role", "runs"),
    [("slurm.sh", [], "train"), ("slurm_predict.sh", ["shard"], "predict")],
)
def test_slurm_is_queued_again_when_it_was_stopped(script, role, runs, code, site):
    (site / "setup").write_text("export FROM_SETUP=1\n")
    command(site, "srun", f'echo "setup=$FROM_SETUP"\nexit {code}')
    job = {"SLURM_JOB_ID": "5", "SLURM_ARRAY_TASK_ID": "1", "SETUP": "./setup"}
    given = PREDICT if role else ["--config=p4m", "--config.seed=1"]
    got, lines, _ = launch(site, script, *role, *given, **job, SLURM_CPUS_PER_TASK="7")
    assert got == code
    assert lines[0] == ["setup=1"]
    ran, *after = noted(site)
    assert ran[0] == "srun"
    assert "--cpus-per-task=7" in ran
    args, overrides = of_gzjax(ran)
    assert (args.command, overrides) == (runs, [] if role else ["--config.seed=1"])
    assert after == ([["scontrol", "requeue", "5"]] if code == 143 else [])


@pytest.mark.parametrize(
    ("script", "role"), [("slurm.sh", []), ("slurm_predict.sh", ["shard"])]
)
def test_slurm_is_not_queued_again_when_it_was_cancelled(script, role, site):
    command(site, "srun", "touch running; sleep 0.5; exit 143")
    job = {"SLURM_JOB_ID": "5", "SLURM_ARRAY_TASK_ID": "1"}
    process = start(site, script, *role, "--config=p4m", **job)
    wait_for((site / "running").exists)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)
    assert process.returncode == 143
    assert [words[0] for words in noted(site)] == ["srun"]


def test_slurm_predict_submits_an_array_and_a_merge_after_it(site):
    code, _, _ = launch(site, "slurm_predict.sh", *PREDICT, **SITE, SHARDS="6")
    array, merge = noted(site)
    script = str(LAUNCH / "slurm_predict.sh")
    assert code == 0
    assert {"--array=1-6%6", "--gpus-per-node=1", "--requeue"} < set(array)
    assert "--dependency=afterok:77" in merge
    assert not [word for word in merge if "gpu" in word and "partition" not in word]
    assert array[array.index(script) :] == [script, "shard", *PREDICT]
    assert merge[merge.index(script) :] == [script, "merge", *PREDICT]


def test_slurm_predict_does_shares_and_merges_them(site):
    for task in range(1, 4):
        job = {"SLURM_JOB_ID": "8", "SLURM_ARRAY_TASK_ID": str(task), "SHARDS": "3"}
        assert launch(site, "slurm_predict.sh", "shard", *PREDICT, **job)[0] == 0
    shares = [of_gzjax(words)[0] for words in noted(site)]
    assert [parse_shard(args.shard) for args in shares] == [(0, 3), (1, 3), (2, 3)]
    assert [args.workdirs for args in shares] == [["runs/a b"]] * 3
    apart = [*PREDICT[:2], "--output", "out put.csv"]
    for given in (PREDICT, apart):
        _, [words], _ = launch(site, "slurm_predict.sh", "merge", *given, DRY_RUN="1")
        assert of_gzjax(words)[0].output == "out put.csv"


def test_tpu_vm_asks_all_hosts(site):
    wheel = site / "gzjax-1-py3-none-any.whl"
    wheel.touch()
    for arguments in (["install", wheel.name], ["watch"], ["stop"]):
        assert launch(site, "tpu_vm.sh", *arguments, **TPU, PROJECT="mine")[0] == 0
    copy, *shells = noted(site)
    assert copy[1:7] == ["compute", "tpus", "tpu-vm", "scp", wheel.name, "slice:"]
    for words in (copy, *shells):
        assert {"--zone=zone-b", "--worker=all", "--project=mine"} < set(words)
    assert "./gzjax-1-py3-none-any.whl'[tpu]'" in shells[0][6]


def test_tpu_vm_trains_is_watched_and_stopped(site):
    # A host of the slice is this machine, in this folder, and slow to begin.
    slow = r"s/nohup\(.*\)&  *echo/{ sleep 0.5; exec nohup\1; } \& echo/"
    command(
        site, "gcloud", f"""eval "$(printf %s "$6" | cut -c 11- | sed '{slow}')\""""
    )
    train = start(site, "tpu_vm.sh", "train", "--config=p4m", "--config.seed=1", **TPU)
    [note] = notes(site, 1)
    assert note["argv"] == ["train", "--config=p4m", "--config.seed=1"]
    code, _, error = launch(site, "tpu_vm.sh", "train", "--config=p4m", **TPU)
    assert (code, error) == (2, "already training: watch, or stop first\n")
    assert launch(site, "tpu_vm.sh", "stop", **TPU)[0] == 0
    train.communicate(timeout=20)  # it was watching
    assert train.returncode == 0
    assert not is_running(note["pids"][0])
