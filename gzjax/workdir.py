"""The layout of a run folder, and how its files are written: aside, then renamed."""

import contextlib
import json
import os
import platform
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO

CHECKPOINTS = "checkpoints"  # Orbax, one folder per step
METRICS = "metrics.jsonl"  # one object per line: {"step": ..., "train/loss": ...}
CONFIG = "config.json"  # the run's config, for people; programs read the checkpoint
TENSORBOARD = "tensorboard"
WANDB_ID = "wandb-id.txt"  # of the run there, if the config asks for it
MODEL_WEIGHTS = "model.safetensors"  # of an export, beside a CONFIG; no run has it
PROFILE = "profile"  # a trace of some steps, by train --profile


def evaluation_name(label: str) -> str:
    """The scores: JSON. ``label`` says of what, for example ``valid-none``."""
    return f"evaluation-{label}.json"


def predictions_name(label: str) -> str:
    """The vote fractions: CSV, ``GalaxyID`` and a column per answer."""
    return f"predictions-{label}.csv"


def targets_name(label: str) -> str:
    """The true vote fractions of the galaxies of ``predictions_name(label)``: CSV."""
    return f"targets-{label}.csv"


def names_name(label: str) -> str:
    """Which id is which galaxy, if ids are no names: CSV, ``GalaxyID`` and ``name``."""
    return f"names-{label}.csv"


def ensemble_name(label: str) -> str:
    """The scores of an ensemble and its fitted weights: JSON."""
    return f"ensemble-{label}.json"


def aside_of(path: Path) -> Path:
    """Where this process writes ``path`` before it is whole; machines share disks."""
    return path.with_name(f".{path.name}.{platform.node()}-{os.getpid()}.partial")


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Adds ``path`` to an OSError that names no file, as those of writing do not."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


@contextlib.contextmanager
def open_aside(path: Path, mode: str = "w") -> Iterator[IO]:
    """Opens a file to write, whole or not at all: it replaces ``path`` at the end."""
    aside = aside_of(path)
    text = {} if "b" in mode else {"encoding": "utf-8", "newline": ""}
    try:
        with naming(path), open(aside, mode, **text) as file:
            yield file
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def clear_asides(folder: Path) -> None:
    """Removes what killed processes of this machine left of :func:`open_aside`."""
    ending = re.compile(rf"\.{re.escape(platform.node())}-(\d+)\.partial$")
    for path in folder.glob(".*.partial"):
        match = ending.search(path.name)
        if match and not _is_alive(int(match[1])):
            path.unlink(missing_ok=True)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's
        return True
    return True


def write_text(path: Path, text: str) -> None:
    """Writes the whole file or leaves the old one untouched."""
    with open_aside(path) as file:
        file.write(text)


def write_json(path: Path, content: dict) -> None:
    """Writes JSON whole; see :func:`write_text`."""
    write_text(path, json.dumps(content, indent=2, sort_keys=True) + "\n")
