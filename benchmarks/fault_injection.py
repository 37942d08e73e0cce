"""Real trainings, disturbed: what is done to them, and what must be true afterwards.

Shared by faults.py and tests/benchmarks/test_faults.py. A :class:`Ground`
holds the galaxies and what the undisturbed training gives; a :class:`Trial` is one
training, in processes of its own, that :data:`fault_kinds.FAULTS` disturb.
"""

import dataclasses
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import jax
import numpy as np
from compiling import QUICKLY
from tiny import make_plain_config, plain_flags

from gzjax.data.synthetic.folder import write_folder
from gzjax.data.synthetic.source import SyntheticSource
from gzjax.training.checkpoint.digest import DAMAGED
from gzjax.training.checkpoint.saved import SavedCheckpoints
from gzjax.training.experiment import Experiment
from gzjax.trees import GZ2

GZJAX = (sys.executable, "-m", "gzjax.main")
STEPS = 16
CHANGES = {
    "num_train_steps": STEPS,
    "eval_every_steps": 8,
    "checkpoint_every_steps": 2,
    "log_every_steps": 1,
}
DATA = {"data.kind": "challenge", "data.dir": "data", "data.pixel_scale": 4}
MARK = "GZJAX_FAULT"  # in the environment of every process of a trial
RESUMED = "resuming from step"
FINISHED = "nothing left to train"
TIMEOUT_SEC = 180
# Runs what follows without root's right to write where the modes forbid it.
NO_OVERRIDE = [
    sys.executable,
    "-c",
    "import ctypes, os, sys\n"
    "libc = ctypes.CDLL(None)\n"
    "libc.prctl(24, 1, 0, 0, 0)\n"  # PR_CAPBSET_DROP: CAP_DAC_OVERRIDE
    "libc.prctl(24, 2, 0, 0, 0)\n"  # CAP_DAC_READ_SEARCH
    "os.execv(sys.argv[1], sys.argv[1:])",
]


class Ground:
    """Galaxies in ``folder``, and what an undisturbed training on them ends with.

    Attributes:
        folder: holds ``data`` and the undisturbed ``run``.
        seconds: how long the undisturbed training took.
        expected: its :func:`results`.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        source = SyntheticSource(44, 0, 106)
        write_folder(source, folder / "data")
        config = make_plain_config(**CHANGES)
        programs = Experiment(config, GZ2).programs
        self.template = programs.abstract_state()
        self.data = tree_digest(folder / "data")
        start = time.monotonic()
        code, output = finish(launch(folder, str(uuid.uuid4())))
        assert code == 0, output
        self.seconds = time.monotonic() - start
        self.expected = results(folder / "run", self.template)


@dataclasses.dataclass
class Trial:
    """One disturbed training, in a folder with galaxies of its own.

    Attributes:
        ground: what it is compared with.
        folder: of this trial; made.
        rng: of this trial: decides all that is random.
        moment: the step after which the fault comes; None: a random moment.
    """

    ground: Ground
    folder: Path
    rng: random.Random
    moment: int | None = None

    def __post_init__(self):
        self.mark = str(uuid.uuid4())
        self.num_workers = 0
        self.folder.mkdir()
        shutil.copytree(self.ground.folder / "data", self.data)

    @property
    def data(self) -> Path:
        """The galaxies of this trial."""
        return self.folder / "data"

    @property
    def workdir(self) -> Path:
        """The run."""
        return self.folder / "run"

    @property
    def checkpoints(self) -> dict[int, Path]:
        """Those with a final name, by step."""
        there = (self.workdir / "checkpoints").glob("*")
        return {int(p.name): p for p in sorted(there) if p.name.isdecimal()}

    def take_finished(self) -> None:
        """Makes the run that of the undisturbed training."""
        shutil.rmtree(self.workdir, ignore_errors=True)
        shutil.copytree(self.ground.folder / "run", self.workdir)

    def start(self, prefix: list[str] = (), **environment) -> subprocess.Popen:
        """The training command; the same at each call."""
        return launch(self.folder, self.mark, self.num_workers, prefix, environment)

    def wait_for_moment(self, process: subprocess.Popen) -> None:
        """Until ``moment``, or a random one: mostly within the steps."""
        if self.moment is None and self.rng.random() < 0.2:  # or any at all
            _wait(process, self.rng.uniform(0, self.ground.seconds))
            return
        steps = self.moment or self.rng.randint(1, STEPS)
        deadline = time.monotonic() + TIMEOUT_SEC
        while process.poll() is None and time.monotonic() < deadline:
            path = self.workdir / "metrics.jsonl"
            if path.exists() and path.read_bytes().count(b"train/loss") >= steps:
                break
            time.sleep(0.005)
        if self.moment is None:
            _wait(process, self.rng.uniform(0, 0.2))

    def disturbed_by(self, number: int, again: bool = False) -> tuple[int, str]:
        """Starts a training, and sends it a signal at a random moment.

        Some launchers signal a process and its group: it comes ``again`` at once.
        """
        process = self.start()
        self.wait_for_moment(process)
        process.send_signal(number)
        if again:
            time.sleep(0.02)
            process.send_signal(number)
        return finish(process)

    def processes(self) -> list[int]:
        """Those of this trial that still run."""
        return [pid for pid, mark in _marks() if mark == self.mark.encode()]

    def orphans(self, wait_sec: float = 5.0) -> list[int]:
        """Processes that outlive their trainer by so long; they are ended."""
        deadline = time.monotonic() + wait_sec
        while (left := self.processes()) and time.monotonic() < deadline:
            time.sleep(0.1)
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        return left


def launch(folder, mark, num_workers=0, prefix=(), environment=()) -> subprocess.Popen:
    """The training command in ``folder``, one device, output captured together."""
    changes = CHANGES | DATA | {"data.num_workers": num_workers}
    return subprocess.Popen(
        [*prefix, *GZJAX, "--workdir=run", *plain_flags(**changes)],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
            "XLA_FLAGS": QUICKLY,
            MARK: mark,
            **dict(environment),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process: subprocess.Popen) -> tuple[int, str]:
    """Exit code and output; a run that hangs is ended, with the code None."""
    try:
        output, _ = process.communicate(timeout=TIMEOUT_SEC)
        return process.returncode, output
    except subprocess.TimeoutExpired:
        process.kill()
        output, _ = process.communicate()
        return None, f"{output}\nHANGS: killed after {TIMEOUT_SEC} s"


def results(workdir: Path, template) -> dict[str, str]:
    """Digests of all that a finished training must reproduce bit for bit."""
    checkpoints = SavedCheckpoints(workdir / "checkpoints")
    assert checkpoints.newest_step == STEPS, checkpoints.steps
    state = checkpoints.restore(STEPS, template)
    found = {
        name: _digest_of_arrays(getattr(state, name))
        for name in ("params", "batch_stats", "opt_state")
    }
    for path in sorted([*workdir.glob("*.csv"), *workdir.glob("evaluation-*.json")]):
        found[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
    lines = [
        json.loads(x) for x in (workdir / "metrics.jsonl").read_text().split("\n")[:-1]
    ]
    found["metrics.jsonl"] = json.dumps(
        [{k: v for k, v in line.items() if k != "img_per_sec"} for line in lines]
    )
    return found


def half_written(folder: Path) -> list[str]:
    """Names of files below ``folder`` that are torn or were to be temporary."""
    found = []
    for path in sorted(folder.rglob("*")):
        if DAMAGED in str(path.relative_to(folder)):  # kept as it was found
            continue
        text = path.read_bytes() if path.is_file() else b""
        if path.name.endswith(".partial") or "orbax-checkpoint-tmp" in path.name:
            found.append(str(path.relative_to(folder)))
        elif path.suffix == ".json":
            try:
                json.loads(text)
            except ValueError:
                found.append(str(path.relative_to(folder)))
    if (folder / "checkpoints" / "removed").exists():
        found.append("checkpoints/removed")
    return found


def tree_digest(folder: Path) -> str:
    """Of names and contents of all files below ``folder``."""
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        digest.update(f"{path.relative_to(folder)}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _digest_of_arrays(tree) -> str:
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(tree):
        digest.update(np.asarray(leaf).tobytes())
    return digest.hexdigest()


def _wait(process: subprocess.Popen, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)


def _marks():
    """``(pid, mark)`` of every process that has one."""
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            for entry in path.read_bytes().split(b"\0"):
                name, _, value = entry.partition(b"=")
                if name == MARK.encode():
                    yield int(path.parent.name), value
        except OSError:  # it has ended, or is another user's
            continue
