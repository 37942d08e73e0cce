"""Prints the runs of a config's ``sweep(add)``, runs them, or writes a SLURM array.

Status: tried on one machine; what --slurm writes is dry-run tested only.

    python launch/sweep.py p4m:small                         # prints the commands
    python launch/sweep.py p4m:small --run --config.data.dir=DOWNLOAD
    python launch/sweep.py p4m --slurm=sweep.sh && sbatch --account=... sweep.sh

A config file defines ``sweep(add)``, which calls ``add(name, learning_rate=0.1)``, or
``add(name, {"model.planes": (8, 16)})`` where keys have dots, once for each run.
``--config.KEY=VALUE`` on the command line changes all of them. All runs are checked
before the first begins. Run the same command again to resume.
"""

import argparse
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

try:
    from gzjax.data import data_folder
    from gzjax.errors import UserError, plain
    from gzjax.files import write_text
    from gzjax.training.check_config import check_config
    from gzjax.training.load_config import (
        load_config,
        run_name,
        run_sweep,
        say_which_config,
    )
except ModuleNotFoundError as error:
    print(
        f"sweep.py: {sys.executable} has no module '{error.name}': call it with the "
        "python of the environment that has gzjax",
        file=sys.stderr,
    )
    sys.exit(2)

BAD_INPUT = 2  # exit codes
STOPPED = (128 + signal.SIGINT, 128 + signal.SIGTERM)


class Run(NamedTuple):
    """One training.

    Attributes:
        name: as ``add`` was given it.
        arguments: of ``python -m gzjax.main``.
    """

    name: str
    arguments: list[str]


def find_runs(
    argument: str, overrides: list[str], output: Path, here: bool = False
) -> list[Run]:
    """Returns the runs of a config's sweep after checking them.

    Args:
        argument: FILE[:VARIANT], as for ``--config``.
        overrides: ``--config.KEY=VALUE`` for all runs.
        output: the folder of the runs' folders, which are called CONFIG-NAME.
        here: whether the data must be found on this machine.

    Raises:
        UserError: no sweep, an empty one, an invalid name or one that comes twice, an
            invalid config, or no data folder.
    """
    common = {_key(override) for override in overrides}
    runs: dict[str, Run] = {}

    def add(name: str, changes: dict | None = None, /, **more):
        given = {**(changes or {}), **more}.items()
        changes = {key.removeprefix("config."): value for key, value in given}
        # A comma would part the folder in two in --workdirs=A,B.
        if not re.fullmatch(r"[\w+=-][\w.+=-]*", str(name)):
            raise UserError(f"run '{name}': name it with letters, digits, . _ + = -")
        if name in runs:
            raise UserError(f"two runs of the sweep are called '{name}'")
        if both := common.intersection(changes):
            raise UserError(f"run '{name}' of the sweep changes config.{min(both)} too")
        own = [f"--config.{key}={value}" for key, value in changes.items()]
        _check(argument, [*overrides, *own], name, here)
        workdir = output / f"{run_name(argument)}-{name}"
        arguments = [f"--config={argument}", f"--workdir={workdir}", *overrides, *own]
        runs[name] = Run(name, arguments)

    say_which_config(argument)
    run_sweep(argument, add)
    if not runs:
        raise UserError(f"the sweep of {argument} adds no run")
    return list(runs.values())


def array_job(argument: str, runs: list[Run]) -> str:
    """Returns a script for ``sbatch``: an array with a task for each run."""
    cases = "\n".join(
        f"{number}) set -- {shlex.join(run.arguments)} ;;"
        for number, run in enumerate(runs, 1)
    )
    slurm = Path(__file__).resolve().with_name("slurm.sh")
    return f"""#!/bin/bash
# The sweep of {argument}, a run per task; written by launch/sweep.py.
# Submit it where gzjax is at hand ($PYTHON, $SETUP: see launch/slurm.sh), with
#     sbatch --account=A --partition=P --gpus-per-node=1 -c 8 --time=9:00:00
#SBATCH --job-name=gzjax-sweep --array=1-{len(runs)} --ntasks=1
#SBATCH --signal=TERM@120 --requeue --open-mode=append
case "$SLURM_ARRAY_TASK_ID" in
{cases}
esac
exec bash {shlex.quote(str(slurm))} "$@"
"""


def run_all(runs: list[Run]) -> int:
    """Trains one after the other, and returns the first exit code that is not 0.

    A run that fails does not end the sweep, unless the first is refused: the data and
    the disk are the same for all.
    """
    codes = {}
    for number, run in enumerate(runs, 1):
        print(f"run {number} of {len(runs)}: {run.name}", flush=True)
        codes[run.name] = _run([sys.executable, "-m", "gzjax.main", *run.arguments])
        if codes[run.name] in STOPPED:
            break
        if number == 1 and codes[run.name] == BAD_INPUT:
            print("sweep.py: the others would be refused too", file=sys.stderr)
            break
    failed = {name: code for name, code in codes.items() if code}
    for name, code in failed.items():
        print(f"sweep.py: {name}: exit code {code}", file=sys.stderr)
    return next(iter(failed.values()), 0)


def _run(command: list[str]) -> int:
    process, early = None, []

    def forward(number, frame):
        del frame
        if process is None:  # it may be there already, with nobody to stop it
            early.append(number)
        else:
            process.send_signal(number)  # it saves, and leaves

    handlers = {n: signal.signal(n, forward) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        process = subprocess.Popen(command)
        for number in early:
            process.send_signal(number)
        code = process.wait()
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    return code if code >= 0 else 128 - code


def _check(argument: str, overrides: list[str], name: str, here: bool) -> None:
    try:
        config = load_config(argument, overrides)
        check_config(config)
        if here and config.data.kind == "challenge":
            data_folder(config.data.dir)
    except UserError as error:
        raise UserError(f"run '{name}': {error}") from error


def _key(override: str) -> str:
    return override.removeprefix("--config.").partition("=")[0]


def main(argv: list[str]) -> int:
    """Runs the command line and returns its exit code."""
    overrides = [a for a in argv if a.startswith("--config.")]
    title = __doc__.partition("\n")[0]
    parser = argparse.ArgumentParser("sweep.py", description=title, allow_abbrev=False)
    parser.add_argument("config", metavar="FILE[:VARIANT]", help="with a sweep(add)")
    parser.add_argument("--output", type=Path, default=Path("runs"), help="(runs)")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--run", action="store_true", help="here, one after the other")
    how.add_argument("--slurm", type=Path, metavar="FILE", help="write an array job")
    args = parser.parse_args([a for a in argv if a not in overrides])
    try:
        runs = find_runs(args.config, overrides, args.output, args.run)
        if args.run:
            return run_all(runs)
        if args.slurm:
            write_text(args.slurm, array_job(args.config, runs))
            print(f"{args.slurm}: {len(runs)} runs; it says how to submit it")
            return 0
    except (UserError, OSError) as error:
        print(f"sweep.py: {plain(str(error))}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:  # between two runs
        return 128 + signal.SIGINT
    for run in runs:
        print(shlex.join(["python", "-m", "gzjax.main", *run.arguments]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
