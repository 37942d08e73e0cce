"""The faults: each disturbs a :class:`fault_injection.Trial` at a random moment."""

import contextlib
import dataclasses
import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from fault_injection import NO_OVERRIDE, Trial, finish

# A sitecustomize that sets the clock back from when a file appears on.
_CLOCK = """
import os, time
def _shifted(real, unit):
    def clock():
        try:
            with open(os.environ["GZJAX_CLOCK"]) as file:
                return real() - type(real())(float(file.read() or 0) * unit)
        except OSError:
            return real()
    return clock
time.time, time.time_ns = _shifted(time.time, 1), _shifted(time.time_ns, 10**9)
"""


@dataclasses.dataclass
class Disturbed:
    """What a fault left behind.

    Attributes:
        code: exit code of the training that was disturbed; None: it had to be killed.
        output: what it said.
        what: the fault, in words.
        mend: does what the message asks for.
        damaged: steps whose checkpoints are no longer intact.
        environment: of the training that is then run.
    """

    code: int | None
    output: str
    what: str = ""
    mend: Callable[[], object] = lambda: None
    damaged: tuple[int, ...] = ()
    environment: dict[str, str] = dataclasses.field(default_factory=dict)


def kill_trainer(trial: Trial) -> Disturbed:
    """SIGKILL."""
    trial.num_workers = trial.rng.choice([0, 1])
    return Disturbed(
        *trial.disturbed_by(signal.SIGKILL), f"{trial.num_workers} workers"
    )


def kill_worker(trial: Trial) -> Disturbed:
    """SIGKILL of a loader process."""
    trial.num_workers = 1
    process = trial.start()
    trial.wait_for_moment(process)
    loaders = [pid for pid in trial.processes() if _is_loader(pid)]
    for pid in loaders:
        os.kill(pid, signal.SIGKILL)
    return Disturbed(*finish(process), f"{len(loaders)} loaders")


def sigterm(trial: Trial) -> Disturbed:
    """As launchers send it."""
    trial.num_workers = trial.rng.choice([0, 1])
    code, output = trial.disturbed_by(signal.SIGTERM, again=True)
    said = re.search(r"stopped; step \d+ is saved", output)
    return Disturbed(code, output, said[0] if said else "said nothing of a stop")


def sigint(trial: Trial) -> Disturbed:
    """As Ctrl-C sends it to the trainer."""
    return Disturbed(*trial.disturbed_by(signal.SIGINT))


def disk_full(trial: Trial) -> Disturbed:
    """No file grows beyond a size from a moment on: EFBIG, in place of ENOSPC."""
    process = trial.start()
    trial.wait_for_moment(process)
    limit = trial.rng.choice([0, 100, 1000, 5000, 10_000])
    try:
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (limit, limit))
    except ProcessLookupError:
        limit = None
    return Disturbed(*finish(process), f"files of at most {limit} bytes")


def truncated_checkpoint(trial: Trial) -> Disturbed:
    """A file of the newest checkpoint loses its end, after a kill."""
    return _damage_newest(trial, lambda data: data[: trial.rng.randrange(len(data))])


def flipped_byte(trial: Trial) -> Disturbed:
    """A byte of the newest checkpoint changes, after a kill."""

    def flip(data):
        at = trial.rng.randrange(len(data))
        changed = data[at] ^ trial.rng.randrange(1, 256)
        return data[:at] + bytes([changed]) + data[at + 1 :]

    return _damage_newest(trial, flip)


def image_deleted(trial: Trial) -> Disturbed:
    """Images go in mid-run, and are put back."""
    return _change_images(trial, lambda path, _: path.unlink())


def image_truncated(trial: Trial) -> Disturbed:
    """Images lose their ends in mid-run, and are put back."""

    def cut(path, data):
        path.write_bytes(data[: trial.rng.randrange(len(data))])

    return _change_images(trial, cut)


def data_read_only(trial: Trial) -> Disturbed:
    """Nobody may write to the galaxies, from the start or in mid-run."""
    process = trial.start(NO_OVERRIDE)
    if trial.rng.random() < 0.5:
        trial.wait_for_moment(process)
    chmod(trial.data, 0o555, 0o444)
    assert not may_write(trial.data)
    return Disturbed(*finish(process), mend=lambda: chmod(trial.data))


def data_unreadable(trial: Trial) -> Disturbed:
    """Nobody may read the images any more, in mid-run; then they may again."""
    trial.num_workers = trial.rng.choice([0, 1])
    process = trial.start(NO_OVERRIDE)
    trial.wait_for_moment(process)
    chmod(trial.data, 0, 0)
    code, output = finish(process)
    chmod(trial.data)
    return Disturbed(code, output)


def run_read_only(trial: Trial) -> Disturbed:
    """Nobody may write to the run any more, in mid-run; then they may again."""
    process = trial.start(NO_OVERRIDE)
    trial.wait_for_moment(process)
    trial.workdir.mkdir(exist_ok=True)
    chmod(trial.workdir, 0o555, 0o444)
    code, output = finish(process)
    chmod(trial.workdir)
    return Disturbed(code, output)


def clock_set_back(trial: Trial) -> Disturbed:
    """Python's clock jumps back, up to three years; then the trainer is killed."""
    clock, site = trial.folder / "clock", trial.folder / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(_CLOCK)
    environment = {
        "GZJAX_CLOCK": str(clock),
        "PYTHONPATH": f"{site}:{os.environ.get('PYTHONPATH', '')}",
    }
    process = trial.start(**environment)
    trial.wait_for_moment(process)
    back = 10 ** trial.rng.uniform(0, 8)
    clock.write_text(str(back))
    if trial.rng.random() < 0.7:
        time.sleep(trial.rng.uniform(0, 1))
        process.send_signal(signal.SIGKILL)
    left = trial.rng.choice([environment, {}])
    return Disturbed(*finish(process), f"{back:.0f} s", environment=left)


FAULTS = [
    kill_trainer,
    kill_worker,
    sigterm,
    sigint,
    disk_full,
    truncated_checkpoint,
    flipped_byte,
    image_deleted,
    image_truncated,
    data_read_only,
    data_unreadable,
    run_read_only,
    clock_set_back,
]


def chmod(folder: Path, of_folders: int = 0o755, of_files: int = 0o644) -> None:
    """Changes the modes of ``folder`` and all below it."""
    folder.chmod(0o755)
    for path in sorted(folder.rglob("*"), reverse=True):  # the innermost first
        with contextlib.suppress(FileNotFoundError):  # the training removed it
            path.chmod(of_folders if path.is_dir() else of_files)
    folder.chmod(of_folders)


def may_write(folder: Path) -> bool:
    """Whether a process without root's privileges may make a file there."""
    script = f"open({str(folder / 'probe')!r}, 'w')"
    command = [*NO_OVERRIDE, sys.executable, "-c", script]
    return subprocess.run(command, capture_output=True).returncode == 0


def _is_loader(pid: int) -> bool:
    try:
        return b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def _damage_newest(trial, change) -> Disturbed:
    code, output = 0, ""
    if trial.moment is None and trial.rng.random() < 0.7:
        code, output = trial.disturbed_by(signal.SIGKILL)
    if not trial.checkpoints:
        trial.take_finished()
    step, folder = max(trial.checkpoints.items())
    path = trial.rng.choice(sorted(p for p in folder.rglob("*") if p.is_file()))
    path.write_bytes(change(path.read_bytes()))
    what = f"{path.relative_to(folder)} of step {step}"
    return Disturbed(code, output, what, damaged=(step,))


def _change_images(trial, change) -> Disturbed:
    trial.num_workers = trial.rng.choice([0, 1])
    process = trial.start()
    trial.wait_for_moment(process)
    images = sorted((trial.data / "images_training_rev1").iterdir())
    chosen = trial.rng.sample(images, trial.rng.choice([1, 10, 40]))
    before = {path: path.read_bytes() for path in chosen}
    for path, data in before.items():
        change(path, data)

    def put_back():
        for path, data in before.items():
            path.write_bytes(data)

    return Disturbed(*finish(process), f"{len(chosen)} images", put_back)
