"""Writes scalars for people and programs, and a trace of a few steps."""

import contextlib
import json
import os
import sys
import time
import uuid
from pathlib import Path

import jax

from gzjax.errors import UserError
from gzjax.files import naming, write_text
from gzjax.progress import say
from gzjax.training import run_files as layout
from gzjax.training.curves import read_rows

# Of the steps that this process makes, from 1: what is compiled or filled up at the
# start lies before them.
FIRST, COUNT = 10, 5


class MetricWriter:
    """Appends scalars; first drops what an interrupted run wrote beyond ``step``.

    They go to ``metrics.jsonl``, TensorBoard and Weights & Biases.

    Args:
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
        self._wandb = _start_wandb(workdir, config) if config else None
        self._path = workdir / layout.METRICS
        if self._path.exists():
            kept = [row for row in read_rows(self._path) if row["step"] <= step]
            write_text(self._path, "".join(json.dumps(x) + "\n" for x in kept))
        self._file = self._path.open("a", encoding="utf-8")
        self._board_folder = workdir / layout.TENSORBOARD
        self._board_folder.mkdir(exist_ok=True)
        events, self._event, self._session, self._scalar = _import_tensorboard()
        # Not SummaryWriter: its thread dies of a full disk, or of a clock that was set
        # back, and then the run waits for it for ever.
        self._board = events(str(self._board_folder / "events"), f".{os.getpid()}")
        # TensorBoard drops what an earlier file has from this step on.
        self._add_event(step + 1, file_version="brain.Event:2")
        self._add_event(step + 1, session_log=self._session(status=self._session.START))

    def write(self, step: int, scalars: dict[str, float]) -> None:
        """Writes one line, at once; an OSError names a file that cannot be written."""
        if not self._enabled:
            return
        line = json.dumps({"step": step, **scalars}, allow_nan=False)
        with naming(self._path):
            self._file.write(line + "\n")
            self._file.flush()
        for name, value in scalars.items():
            self._add_event(step, summary=self._scalar(name, value))
        if self._wandb:
            # A resumed training reports some steps again; wandb drops them, and
            # nothing is lost: they are the same numbers.
            self._wandb.log(scalars, step=step)

    def close(self, failed: bool = False) -> None:
        """Flushes and closes all; wandb shows the run as ``failed`` or as finished."""
        if not self._enabled:
            return
        with naming(self._path):
            self._file.close()
        with naming(self._board_folder):
            self._board.close()
        if self._wandb:  # last: it may fail, and waits until all is sent or kept
            self._wandb.finish(exit_code=int(failed))

    def _add_event(self, step: int, **content) -> None:
        event = self._event(wall_time=time.time(), step=step, **content)
        with naming(self._board_folder):
            self._board.write_event(event)
            self._board.flush()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.close(failed=kind is not None)


def _import_tensorboard():
    """Imports tensorboardX without PyTorch, whose import would take seconds."""
    hide = "torch" not in sys.modules
    if hide:
        sys.modules["torch"] = None
    try:
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import Event, SessionLog
        from tensorboardX.summary import scalar
    finally:
        if hide:
            del sys.modules["torch"]
    return EventsWriter, Event, SessionLog, scalar


def _start_wandb(workdir: Path, config: dict):
    """Starts or resumes the run of ``config["wandb"]``, PROJECT or ENTITY/PROJECT."""
    project = config["wandb"]
    if not project:
        return None
    import wandb

    path = workdir / layout.WANDB_ID
    if not path.exists():
        write_text(path, uuid.uuid4().hex[:12] + "\n")
    entity, _, name = project.rpartition("/")
    try:
        return wandb.init(
            project=name,
            entity=entity or None,
            id=path.read_text(encoding="utf-8").strip(),
            resume="allow",
            name=workdir.resolve().name,
            dir=workdir,
            config=config,
            settings=wandb.Settings(console="off"),  # bars are no log
        )
    except wandb.Error as error:
        raise UserError(
            f"config.wandb={project}: wandb cannot begin: {error}\nWhat to do: wandb "
            "login; or WANDB_MODE=offline before the command, and later wandb sync "
            f"{workdir}/wandb/offline-run-*"
        ) from error


class StepProfile:
    """Context manager: traces the 10th to the 14th step that is made within it.

    Of fewer steps it traces the last five, but never the first unless it is the only
    one. ``start`` and ``stop`` are the updates made before and at the end; without a
    ``folder`` nothing is traced.
    """

    def __init__(self, folder: Path | None, start: int, stop: int):
        made = stop - start
        first = max(min(FIRST, made - COUNT + 1), min(2, made))
        self._folder, self._running = folder, False
        self._first, self._last = start + first, start + min(first + COUNT - 1, made)

    def before(self, step: int) -> contextlib.AbstractContextManager:
        """Returns the context of step ``step``, from 1; the first begins the trace."""
        if self._folder is None or not self._first <= step <= self._last:
            return contextlib.nullcontext()
        if step == self._first:
            options = jax.profiler.ProfileOptions()
            options.python_tracer_level = 0  # a record of every call: large, and slow
            jax.profiler.start_trace(self._folder, profiler_options=options)
            self._running = True
        return jax.profiler.StepTraceAnnotation("train", step_num=step)

    def after(self, step: int, loss: jax.Array) -> None:
        """Ends the trace if ``step`` was the last one, when its loss is there."""
        if self._running and step == self._last:
            loss.block_until_ready()
            self.__exit__()
            say(
                f"profile of the steps {self._first} to {self._last}: {self._folder}; "
                "look at it with xprof (pip install xprof), or its trace.json.gz in "
                "https://ui.perfetto.dev"
            )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._running:
            self._running = False
            jax.profiler.stop_trace()
