"""The train command: a config's run, in a folder of its own."""

from collections.abc import Sequence
from pathlib import Path

from gzjax.evaluation.evaluate import train_and_evaluate
from gzjax.training.find_config import say_which_config
from gzjax.training.load_config import load_config, run_name


def train(
    config: str,
    *,
    workdir: Path | None = None,
    init_from: str = "",
    profile: str | None = None,
    overrides: Sequence[str] = (),
) -> None:
    """Trains or resumes a run, then scores it on its validation split.

    Args:
        config: see :func:`gzjax.training.load_config.load_config`.
        workdir: the run's folder, by default ``runs/CONFIG-VARIANT``.
        init_from: replaces ``config.init_from`` if given.
        profile: see :func:`gzjax.training.loop.train`.
        overrides: ``--config.KEY=VALUE``.
    """
    given = [f"--config.init_from={init_from}"] if init_from else []
    loaded = load_config(config, [*overrides, *given])
    say_which_config(config)
    train_and_evaluate(loaded, workdir or Path("runs", run_name(config)), profile)
