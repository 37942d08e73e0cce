"""Sweeps: all runs are checked at first; printed, run, or written as an array job."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gzjax.errors import UserError
from gzjax.training.load_config import load_config

LAUNCH = Path(__file__).parents[2] / "launch"
CONFIGS = Path(__file__).parents[2] / "configs"
SWEPT = sorted(p.stem for p in CONFIGS.glob("*.py") if "def sweep(" in p.read_text())

sys.path.insert(0, str(LAUNCH))
import sweep  # noqa: E402 - it lies beside the package

# A training that ends as its seed says: 0, 3, or by the signal that it is sent.
TRAINER = """
import pathlib, signal, sys, time
seed = sys.argv[-1].partition("=")[2]
pathlib.Path(f"began{seed}").touch()
if seed == "9":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    pathlib.Path("ready").touch()
    time.sleep(60)
sys.exit(int(seed))
"""


def write(folder, body):
    """A config file with ``sweep(add)`` of these lines."""
    path = folder / "mine.py"
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    path.write_text(
        "from gzjax.configs import base\n"
        "def get_config():\n"
        "    return base.get_config()\n"
        f"def sweep(add):\n{lines}"
    )
    return str(path)


@pytest.mark.parametrize("name", SWEPT)
def test_sweeps_of_the_package_can_be_trained(name):
    for variant in ("", ":small" if name == "p4m" else ":quick"):
        runs = sweep.find_runs(name + variant, [], Path("runs"))
        assert len(runs) > 1
        assert len({str(run.arguments[2:]) for run in runs}) == len(runs)


def test_a_run_is_what_its_name_and_keys_say(tmp_path):
    argument = write(
        tmp_path,
        "add('wide', {'model.planes': (8, 16), 'config.seed': 3})\n"
        "add('slow', learning_rate=0.001, **{'schedule.kind': 'cosine'})\n",
    )
    overrides = ["--config.data.dir=my data"]
    wide, slow = sweep.find_runs(argument, overrides, tmp_path)
    assert wide.arguments[:2] == [
        f"--config={argument}",
        f"--workdir={tmp_path}/mine-wide",
    ]
    config = load_config(argument, wide.arguments[2:])
    assert (config.model.planes, config.seed) == ((8, 16), 3)
    config = load_config(argument, slow.arguments[2:])
    assert (config.learning_rate, config.schedule.kind) == (0.001, "cosine")
    assert config.data.dir == "my data"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("pass", "mine.py adds no run"),
        ("add('a', seed=1)\nadd('a', seed=2)", "two runs of the sweep are called 'a'"),
        ("add('a,b', seed=1)", "'a,b' is no name of a run"),
        ("add('../a', seed=1)", "'../a' is no name of a run"),
        ("add('a', sed=1)", "run 'a': no key 'sed' in the config; nearest: 'seed'"),
        ("add('a', seed='x')", "run 'a': .*seed=x"),
        ("add('a', loss='mse')", "run 'a': config.loss is 'mse'; there are: coarse"),
        ("add('a', averaging='e8')", "run 'a': .*e8"),
        ("add('a', batch_size=8)", "config.batch_size is what the sweep changes, in"),
        ("add('a', seed=1 / 0)", "mine.py, line 6: ZeroDivisionError"),
    ],
)
def test_what_cannot_be_is_one_message(body, message, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("GZJAX_DATA", str(tmp_path))
    argument = write(
        tmp_path, f"add('good', seed=1)\n{body}" if "add" in body else body
    )
    argv = [argument, "--config.batch_size=4", "--run"]
    assert sweep.main(argv) == 2  # before the good one is run
    printed = capsys.readouterr()
    assert re.search(message, printed.err, re.S), printed.err
    assert printed.err.startswith("sweep.py: ")
    assert not printed.out


def test_runs_without_data_do_not_begin(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("GZJAX_DATA", raising=False)
    argument = write(tmp_path, "add('a', seed=1)")
    assert sweep.main([argument, "--run"]) == 2
    assert "run 'a': no data folder" in capsys.readouterr().err
    assert sweep.main([argument]) == 0  # they may be for another machine


def test_a_python_without_gzjax_is_named(tmp_path):
    command = [sys.executable, "-I", "-S", LAUNCH / "sweep.py", "p4m:small"]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert ended.returncode == 2
    assert ended.stderr.startswith(f"sweep.py: {sys.executable} has no module '")
    assert len(ended.stderr.splitlines()) == 1


def test_a_config_without_a_sweep_says_so():
    with pytest.raises(UserError, match=r"p4\.py has no sweep\(add\), as configs/p4m"):
        sweep.find_runs("p4", [], Path("runs"))


def test_commands_are_printed_so_that_a_shell_reads_them(tmp_path, capsys):
    argument = write(tmp_path, "add('a', **{'data.dir': 'my data'})")
    assert sweep.main([argument, "--output=here"]) == 0
    [line] = capsys.readouterr().out.splitlines()
    assert shlex.split(line) == [
        "python", "-m", "gzjax.main", f"--config={argument}", "--workdir=here/mine-a",
        "--config.data.dir=my data",
    ]  # fmt: skip


def test_which_config_is_swept_is_said_once(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    path = Path(write(tmp_path, "add('a', seed=1)\nadd('b', seed=2)"))
    path.rename(tmp_path / "p4m.py")
    assert sweep.main(["p4m.py"]) == 0
    said = "config: the file p4m.py; for the package's, p4m\n"
    assert capsys.readouterr().err == said


def test_array_job_has_a_task_for_each_run(tmp_path, capsys):
    argument = write(tmp_path, "for i in (3, 4): add(f's{i}', seed=i, init_from='a b')")
    script = tmp_path / "array.sh"
    assert sweep.main([argument, f"--slurm={script}"]) == 0
    assert "2 runs" in capsys.readouterr().out
    assert "#SBATCH --job-name=gzjax-sweep --array=1-2 " in script.read_text()
    for task, seed in (("1", "3"), ("2", "4")):
        job = {"SLURM_JOB_ID": "1", "SLURM_ARRAY_TASK_ID": task, "DRY_RUN": "1"}
        out = subprocess.check_output(["bash", script], env={**os.environ, **job})
        words = shlex.split(out.decode())
        assert words[0] == "srun"
        assert words[-5:] == [
            "train", f"--config={argument}", f"--workdir=runs/mine-s{seed}",
            f"--config.seed={seed}", "--config.init_from=a b",
        ]  # fmt: skip
    shellcheck = shutil.which("shellcheck", path=Path(sys.executable).parent)
    subprocess.run([shellcheck, script], check=True)


@pytest.fixture
def trainer(tmp_path, monkeypatch):
    (tmp_path / "gzjax").mkdir()
    (tmp_path / "gzjax" / "__init__.py").touch()
    (tmp_path / "gzjax" / "main.py").write_text(TRAINER)
    monkeypatch.chdir(tmp_path)  # where python -m looks first


def runs_of(*seeds):
    return [sweep.Run(f"run{seed}", [f"--config.seed={seed}"]) for seed in seeds]


def test_a_failed_run_does_not_end_the_sweep(trainer, tmp_path, capfd):
    assert sweep.run_all(runs_of(0, 3, 4, 1)) == 3
    printed = capfd.readouterr()
    assert "run 4 of 4: run1" in printed.out
    assert "run3: exit code 3" in printed.err
    assert (tmp_path / "began1").exists()


def test_a_sweep_whose_first_run_is_refused_ends(trainer, tmp_path, capfd):
    assert sweep.run_all(runs_of(2, 0)) == 2
    assert "the others would be told the same" in capfd.readouterr().err
    assert not (tmp_path / "began0").exists()


def test_a_signal_while_a_training_begins_leaves_none_behind(
    trainer, tmp_path, monkeypatch
):
    begin = subprocess.Popen

    def begin_and_be_signalled(command):
        process = begin(command)
        while not (tmp_path / "ready").exists():
            assert process.poll() is None
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGTERM)
        return process

    monkeypatch.setattr(subprocess, "Popen", begin_and_be_signalled)
    assert sweep.run_all(runs_of(9, 1)) == 143
    assert not (tmp_path / "began1").exists()


def test_a_signal_is_passed_on_and_ends_the_sweep(trainer, tmp_path, monkeypatch):
    monkeypatch.setenv("GZJAX_DATA", str(tmp_path))
    argument = write(tmp_path, "for i in (0, 9, 1): add(f's{i}', seed=i)")
    process = subprocess.Popen([sys.executable, LAUNCH / "sweep.py", argument, "--run"])
    while not (tmp_path / "ready").exists():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 143
    assert not (tmp_path / "began1").exists()
