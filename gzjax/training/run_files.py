"""Finds the folder of a run or of a shipped network, and names the files in it."""

import re
from pathlib import Path

CHECKPOINTS = "checkpoints"  # Orbax, one folder per step
METRICS = "metrics.jsonl"  # one object per line: {"step": ..., "train/loss": ...}
CONFIG = "config.json"  # the run's config, for people; programs read the checkpoint
TENSORBOARD = "tensorboard"
WANDB_ID = "wandb-id.txt"  # of the run there, if the config asks for it
MODEL_WEIGHTS = "model.safetensors"  # of an export, beside a CONFIG; no run has it
CARD, CARD_NUMBERS = "CARD.md", "card.json"  # of a shipped network
CALIBRATION = "calibration.safetensors"  # by calibrate; also in an export
PROFILE = "profile"  # a trace of some steps, by train --profile

DEFAULT = "gz2"  # the network of the package that predicts if no run is named
_SHIPPED = Path(__file__).parents[1] / "pretrained"


def shipped() -> dict[str, Path]:
    """Returns the folder of each network that comes with the package, by its name."""
    found = sorted(_SHIPPED.glob(f"*/{MODEL_WEIGHTS}"))
    return {path.parent.name: path.parent for path in found}


def find_folder(workdir: str | Path) -> Path:
    """Returns the folder of a run or export, or of the shipped network of this name.

    A folder of that name with a run or an export in it goes before the package's.
    """
    folder = Path(workdir).expanduser()
    return folder if is_network(folder) else shipped().get(str(workdir), folder)


def results_folder(workdir: str | Path) -> Path:
    """Returns where the evaluations of a run are written.

    That is the run's own folder. For a shipped network it is ``runs/pretrained/NAME``,
    since the package may be read-only.
    """
    folder = find_folder(workdir)
    if folder.parent == _SHIPPED:
        return Path("runs", "pretrained", folder.name)
    return folder


def is_network(folder: Path) -> bool:
    """Returns whether a folder holds a run or an export of weights."""
    return (folder / CHECKPOINTS).is_dir() or is_model_folder(folder)


def is_model_folder(path: Path) -> bool:
    """Returns whether a folder holds exported weights, and not a run."""
    return (path / MODEL_WEIGHTS).exists() and not (path / CHECKPOINTS).is_dir()


def label_of(
    split: str, averaging: str, step: int | None = None, data: str = ""
) -> str:
    """Returns a label like ``valid-none``. ``data``: a fingerprint; "": the run's."""
    of_step = "" if step is None else f"-step{step}"
    return f"{split}-{averaging}{of_step}" + (f"-data{data[:8]}" if data else "")


def parse_label(label: str) -> tuple[str, ...]:
    """Returns the four parts that :func:`label_of` joined, "" if left out."""
    parts = r"(\w+)-([\w.,]+)(?:-step(\d+))?(?:-data(\w+))?"
    if not (match := re.fullmatch(parts, label)):
        raise ValueError(f"{label!r:.60} is not the label of an evaluation")
    return match.groups("")


def evaluation_name(label: str) -> str:
    """Names the scores: JSON."""
    return f"evaluation-{label}.json"


def predictions_name(label: str) -> str:
    """Names the vote fractions: CSV, ``GalaxyID`` and a column per answer."""
    return f"predictions-{label}.csv"


def targets_name(label: str) -> str:
    """Names the true vote fractions of the same galaxies: CSV."""
    return f"targets-{label}.csv"


def names_name(label: str) -> str:
    """Names the table of the galaxies' names: CSV, ``GalaxyID`` and ``name``."""
    return f"names-{label}.csv"


def ensemble_name(label: str) -> str:
    """Names the scores of an ensemble and its fitted weights: JSON."""
    return f"ensemble-{label}.json"
