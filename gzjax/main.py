"""The command line: ``python -m gzjax.main [MODE] --flag=value ...``.

    [train]     --config=configs/p4m.py [--workdir=DIR] [--config.key=value ...]
    evaluate    --workdir=DIR [--data=DIR] [--averaging=none|c4|d4]
                [--split=valid|test|train|all] [--checkpoint=newest|best|STEP]
    synthesize  --output=DIR [--num_galaxies=N] [--seed=N] [--size_px=N]
"""

# Loader processes import this module again: everything heavy is imported on use.
import difflib
import importlib.resources
import os
import sys
from pathlib import Path

from absl import flags

from gzjax.errors import UserError


def train(flag_values) -> None:
    """Trains or resumes, then evaluates the last checkpoint."""
    if not flag_values.config_given:
        raise UserError("no config: give --config=configs/p4m.py (--help shows more)")
    from gzjax.evaluate import evaluate, say_scores
    from gzjax.train import train_and_evaluate

    config = flag_values.config
    workdir = Path(flag_values.workdir or Path("runs", _run_name(flag_values.path)))
    train_and_evaluate(config, workdir)
    if config.split.kind != "all" and config.split.valid:
        say_scores(evaluate(workdir, config.data.dir), workdir)


def evaluate_(flag_values) -> None:
    """Scores a checkpoint."""
    from gzjax.evaluate import evaluate, say_scores

    workdir = Path(_required(flag_values, "workdir"))
    names = {"data_dir": "data", "averaging": "averaging", "split": "split",
             "checkpoint": "checkpoint"}  # fmt: skip
    given = {name: getattr(flag_values, flag) for name, flag in names.items()}
    say_scores(evaluate(workdir, **given), workdir)
