"""Writes scalars to ``metrics.jsonl``, TensorBoard and Weights & Biases."""

import json
import os
import time
import uuid
from pathlib import Path

from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto import event_pb2
from tensorboardX.summary import scalar

from gzjax.errors import UserError
from gzjax.files import naming, write_text
from gzjax.training import run_files as layout


class MetricWriter:
    """Appends scalars; first drops what an interrupted run wrote beyond ``step``.

    Args:
        workdir: the run's folder.
        step: the step at which the run starts or resumes.
        enabled: False in all processes but one, which alone writes.
        config: the run's config as plain data; its ``wandb`` may name a project.

    Raises:
        UserError: wandb cannot begin.
    """

    def __init__(
        self, workdir: Path, step: int, enabled: bool = True, config: dict | None = None
    ):
        self._enabled = enabled
        if not enabled:
            return
        self._wandb = None
        if config and config["wandb"]:
            self._wandb = _Wandb(config["wandb"], Path(workdir), config)
        path = Path(workdir) / layout.METRICS
        if path.exists():
            write_text(path, "".join(_lines_until(path, step)))
        self._path, self._file = path, path.open("a", encoding="utf-8")
        self._board_folder = Path(workdir) / layout.TENSORBOARD
        self._board_folder.mkdir(exist_ok=True)
        # Not SummaryWriter: its thread dies of a full disk, or of a clock that was set
        # back, and then the run waits for it for ever.
        self._board = EventsWriter(
            str(self._board_folder / "events"), f".{os.getpid()}"
        )
        # TensorBoard drops what an earlier file has from this step on.
        start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
        self._add_event(step + 1, file_version="brain.Event:2")
        self._add_event(step + 1, session_log=start)

    def write(self, step: int, scalars: dict[str, float]) -> None:
        """Writes one line, at once; an OSError names a file that cannot be written."""
        if not self._enabled:
            return
        line = json.dumps({"step": step, **scalars}, allow_nan=False)
        with naming(self._path):
            self._file.write(line + "\n")
            self._file.flush()
        for name, value in scalars.items():
            self._add_event(step, summary=scalar(name, value))
        if self._wandb:
            self._wandb.write(step, scalars)

    def close(self, failed: bool = False) -> None:
        """Flushes and closes all; wandb shows the run as ``failed`` or as finished."""
        if not self._enabled:
            return
        with naming(self._path):
            self._file.close()
        with naming(self._board_folder):
            self._board.close()
        if self._wandb:  # last: it may fail
            self._wandb.close(failed)

    def _add_event(self, step: int, **content) -> None:
        event = event_pb2.Event(wall_time=time.time(), step=step, **content)
        with naming(self._board_folder):
            self._board.write_event(event)
            self._board.flush()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.close(failed=kind is not None)


def _lines_until(path, step):
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        try:
            if json.loads(line)["step"] <= step:
                yield line
        except (json.JSONDecodeError, KeyError):
            return  # the line that a kill cut short


class _Wandb:
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
