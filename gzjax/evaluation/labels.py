"""Finds the files of an evaluation by its label, or says how to make them."""

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from gzjax.data.averaging import averaging_set
from gzjax.errors import UserError
from gzjax.training import run_files as layout


def check_workdirs(workdirs: Sequence[str | Path], at_least: int = 1) -> list[Path]:
    """Returns the paths of ``--workdirs``, each a different folder.

    Raises:
        UserError: a folder is given twice, or there are too few.
    """
    folders = [Path(workdir) for workdir in workdirs]
    seen = set()
    for folder in folders:
        if folder.resolve() in seen:
            raise UserError(f"--workdirs has {folder} twice: give each run once")
        seen.add(folder.resolve())
    if len(folders) < at_least:
        given = f"--workdirs has {len(folders)} of them"
        raise UserError(f"{given}: give at least {at_least}, --workdirs=A,B,...")
    return folders


def is_label(label: str) -> bool:
    """Returns whether ``label`` can be a part of a file's name."""
    return bool(re.fullmatch(r"[\w.,-]+", label))


def check_label(label: str) -> None:
    """Raises a UserError unless :func:`is_label`."""
    if not is_label(label):
        raise UserError(f"'{label}' is not a label; give one like valid-none or all-d4")


def missing_message(run: Path, name: str, label: str) -> str:
    """Returns how to make the file ``name`` of ``label`` that a run lacks."""
    folder = layout.results_folder(run)
    if not folder.is_dir() and folder == run:
        return f"{folder} is not a folder; give --workdirs=A,B,... of evaluated runs"
    if any(folder.glob(layout.ensemble_name("*"))):
        how = f"it is a blend: make it again, with --apply={label}"
    else:
        how = f"make it with\n  {evaluate_command(run, label)}"
    found = sorted(folder.glob(layout.predictions_name("*")))
    labels = ", ".join(p.stem.partition("-")[2] for p in found) or "none"
    return f"{folder} has no {name}; {how}\nLabels of predictions there: {labels}"


def evaluate_command(folder: Path, label: str) -> str:
    """Returns the command of ``evaluate`` that makes the files of ``label``."""
    split, averaging, step, data = "SPLIT", "", "", ""
    try:
        split, averaging, step, data = layout.parse_label(label)
        averaging_set(averaging)
    except (UserError, ValueError):
        averaging = "SET"
    command = ["python", "-m", "gzjax.main", "evaluate", f"--workdir={folder}"]
    command += [f"--split={split}", f"--averaging={averaging}"]
    command += [f"--checkpoint={step}"] if step else []
    command += ["--data=FOLDER"] if data else []
    return shlex.join(command)
