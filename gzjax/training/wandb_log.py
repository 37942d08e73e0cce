"""Reports scalars to Weights & Biases, if the config names a project there."""

import uuid
from pathlib import Path

from gzjax.errors import UserError
from gzjax.files import write_text
from gzjax.training import run_files as layout


class WandbLog:
    """A run of a project, the same one when a training is resumed.

    A resumed training reports some steps again; wandb drops them, and nothing is lost:
    they are the same numbers.

    Args:
        project: ``PROJECT`` or ``ENTITY/PROJECT``.
        workdir: the run's folder; wandb keeps its files in it.
        config: the run's config as plain data.

    Raises:
        UserError: wandb cannot begin: no account, or no network.
    """

    def __init__(self, project: str, workdir: Path, config: dict):
        import wandb

        entity, _, name = project.rpartition("/")
        try:
            self._run = wandb.init(
                project=name,
                entity=entity or None,
                id=_run_id(workdir / layout.WANDB_ID),
                resume="allow",
                name=workdir.resolve().name,
                dir=workdir,
                config=config,
                settings=wandb.Settings(console="off"),  # bars are no log
            )
        except wandb.Error as error:
            raise UserError(
                f"config.wandb={project}: wandb cannot begin: {error}\nWhat to do: "
                "wandb login; or WANDB_MODE=offline before the command, and later "
                f"wandb sync {workdir}/wandb/offline-run-*"
            ) from error

    def write(self, step: int, scalars: dict[str, float]) -> None:
        """Hands them to wandb's own process, whose failures disturb no training."""
        self._run.log(scalars, step=step)

    def close(self, failed: bool = False) -> None:
        """Waits until wandb has sent or kept everything, as failed or as finished."""
        self._run.finish(exit_code=int(failed))


def _run_id(path: Path) -> str:
    if not path.exists():
        write_text(path, uuid.uuid4().hex[:12] + "\n")
    return path.read_text(encoding="utf-8").strip()
