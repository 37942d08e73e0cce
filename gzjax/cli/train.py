"""The train command: a config's run, in a folder of its own."""

from collections.abc import Sequence
from pathlib import Path

from gzjax.cli.join import joined
from gzjax.progress import say
from gzjax.training.load_config import (
    check_paths,
    load_config,
    run_name,
    say_which_config,
)


def train(
    config: str,
    *,
    workdir: Path | None = None,
    init_from: str = "",
    profile: str | None = None,
    overrides: Sequence[str] = (),
    **processes: str,
) -> None:
    """Trains or resumes a run, then scores it on its validation split."""
    given = [f"--config.init_from={init_from}"] if init_from else []
    # What is wrong or missing is reported before JAX starts and the processes meet.
    loaded = load_config(config, [*overrides, *given])
    workdir = workdir or Path("runs", run_name(config))
    check_paths(loaded, workdir)
    with joined(**processes):
        say(f"training {config} in {workdir}")
        say_which_config(config)

        from gzjax.evaluation.evaluate import train_and_evaluate

        train_and_evaluate(loaded, workdir, profile)
