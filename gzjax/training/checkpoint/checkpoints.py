"""Saves, keeps and restores the checkpoints of a run.

A checkpoint holds the state and the *run*: the description that is needed to judge
whether it may be resumed, and to evaluate it without anything else.
"""

import contextlib
import math
import shutil
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp

from gzjax.errors import UserError
from gzjax.files import MAX_JSON_BYTES
from gzjax.steps.state import TrainState
from gzjax.training.checkpoint.choice import (
    RMSE,
    Policy,
    best_steps,
    read_rmse,
    rmse_of,
)
from gzjax.training.checkpoint.digest import (
    damaged_folders,
    find_damage,
    set_damaged_aside,
    was_evaluated,
    write_digests,
)
from gzjax.training.checkpoint.messages import (
    failing_clearly,
    keep_to_one_message,
    reading_clearly,
)

_REMOVED = "removed"  # folder of checkpoints that are no longer kept
_WEIGHTS = ("params", "batch_stats", "ema_params")
_MAX_WEIGHTS_BYTES = 1 << 32


class Checkpoints:
    """The checkpoints of one run; saves in the background.

    Damaged ones are first set aside as STEP.damaged, unless ``read_only``.

    Args:
        folder: made if missing.
        keep_newest: how many to keep by age.
        keep_best: how many to keep besides, by validation RMSE of each phase.
        phase_stops: the last step of each phase of the training.
        read_only: changes nothing: another process may be training the run.

    Raises:
        UserError: there are checkpoints, but none is intact.
    """

    def __init__(
        self,
        folder: Path,
        keep_newest: int = 1,
        keep_best: int = 1,
        phase_stops: Sequence[int] = (),
        read_only: bool = False,
    ):
        self._folder, self._read_only = Path(folder).absolute(), read_only
        self._saving: int | None = None
        keep_to_one_message()
        if not read_only:
            set_damaged_aside(self._folder)
        self._manager = ocp.CheckpointManager(
            self._folder,
            item_names=("state", "run"),
            options=ocp.CheckpointManagerOptions(
                preservation_policy=Policy(keep_newest, keep_best, phase_stops),
                best_fn=rmse_of,
                best_mode="min",
                cleanup_tmp_directories=not read_only,
                create=not read_only,
                read_only=read_only,
                # A kill within a removal must not leave half a checkpoint.
                todelete_subdir=None if read_only else _REMOVED,
                # The metrics of a damaged checkpoint cannot be read.
                lightweight_initialize=read_only,
                async_options=ocp.AsyncOptions(
                    post_finalization_callback=self._write_digests,
                    # Else, where a folder cannot be made, threads wait for it for
                    # 20 minutes, and the process with them.
                    create_directories_asynchronously=False,
                ),
            ),
        )

    @property
    def newest_step(self) -> int | None:
        """Returns the last step that was saved, or None."""
        return self._manager.latest_step()

    def best_step(self, start: int = -1, stop: float = math.inf) -> int | None:
        """Returns the step of lowest validation RMSE, or None if none was measured.

        Only the steps ``start + 1 .. stop`` count, as those of a phase.
        """
        measured = {
            step: rmse
            for step in self.steps
            if start < step <= stop
            and (rmse := read_rmse(self._folder / str(step))) is not None
        }
        return next(iter(best_steps(measured, 1)), None)

    def lost_best_of(self, start: int, stop: int) -> Path | None:
        """Returns a damaged one that may be better than :meth:`best_step`."""
        best = self.best_step(start, stop)
        limit = math.inf if best is None else read_rmse(self._folder / str(best))
        for step, path in damaged_folders(self._folder):
            if start < step <= stop and step not in self.steps and was_evaluated(path):
                rmse = read_rmse(path)
                if rmse is None or rmse < limit:
                    return path
        return None

    @property
    def steps(self) -> list[int]:
        """Returns all steps that are kept, ascending."""
        return sorted(self._manager.all_steps())

    def damage(self, step: int) -> str | None:
        """Returns what is wrong with a checkpoint's files, or None."""
        return find_damage(self._folder / str(step))

    def save(
        self, step: int, state: TrainState, run: dict, valid_rmse: float | None = None
    ) -> None:
        """Starts to save; ``valid_rmse`` lets this checkpoint be among the best."""
        if step in self._manager.all_steps():
            return
        self.wait()
        metrics = None if valid_rmse is None else {RMSE: valid_rmse}
        args = ocp.args.Composite(
            state=ocp.args.StandardSave(state), run=ocp.args.JsonSave(run)
        )
        self._saving = step
        with failing_clearly(self._folder, self._saving):
            self._manager.save(step, args=args, metrics=metrics, force=True)

    def read_description(self, step: int) -> dict:
        """Reads what :meth:`save` was given as ``run``; it is not trusted.

        Raises:
            UserError: it is too large, or cannot be one.
                :func:`gzjax.training.identity.check_run` checks its content.
        """
        folder = self._folder / str(step) / "run"
        files = [path for path in folder.rglob("*") if not path.is_dir()]
        large = [path for path in files if path.stat().st_size > MAX_JSON_BYTES]
        if large or not all(path.is_file() for path in files):
            raise UserError(f"{folder}: not files of up to {MAX_JSON_BYTES >> 20} MiB")
        args = ocp.args.Composite(run=ocp.args.JsonRestore())
        with reading_clearly(self._folder, step):
            run = self._manager.restore(step, args=args)["run"]
        if not isinstance(run, dict):
            raise UserError(f"{folder} does not hold the description of a run")
        return run

    def restore(self, step: int, template: TrainState) -> TrainState:
        """Reads the state, placed like ``template`` (arrays or abstract shapes)."""
        abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, template)
        args = ocp.args.Composite(state=ocp.args.StandardRestore(abstract))
        with reading_clearly(self._folder, step):
            return self._manager.restore(step, args=args)["state"]

    def read_weights(self, step: int) -> dict:
        """Reads ``params``, ``batch_stats`` and, if they were kept, ``ema_params``.

        They are nested dicts of NumPy arrays, whatever else is saved with them.

        Raises:
            UserError: they cannot be read, or claim to be enormous.
        """
        path = self._folder / str(step) / "state"
        with (
            reading_clearly(self._folder, step),
            ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as reader,
        ):
            metadata = reader.metadata(path).item_metadata
            if metadata is None:
                raise FileNotFoundError("it describes no state")
            saved = metadata.tree
            wanted = {name: saved[name] for name in _WEIGHTS if saved.get(name)}
            # Chunks that are not there are zeros: a small folder can claim any shape.
            num_bytes = sum(
                math.prod(x.shape) * np.dtype(x.dtype).itemsize
                for x in jax.tree.leaves(wanted)
            )
            if num_bytes > _MAX_WEIGHTS_BYTES:
                raise UserError(f"{path} claims to hold {num_bytes:,} bytes of weights")
            as_numpy = ocp.RestoreArgs(restore_type=np.ndarray)
            args = ocp.args.PyTreeRestore(
                wanted, jax.tree.map(lambda _: as_numpy, wanted), partial_restore=True
            )
            return {"batch_stats": {}} | reader.restore(path, args)

    def wait(self) -> None:
        """Waits for the saves under way; raises a UserError if one of them failed."""
        with failing_clearly(self._folder, self._saving):
            self._manager.wait_until_finished()
        if not self._read_only and jax.process_index() == 0:
            shutil.rmtree(self._folder / _REMOVED, ignore_errors=True)

    def close(self) -> None:
        """Waits, then lets go of the folder."""
        self.wait()
        with failing_clearly(self._folder, self._saving):
            self._manager.close()

    def _write_digests(self) -> None:
        # Called between the last write to a checkpoint and its final name.
        for folder in self._folder.glob(f"{self._saving}.orbax-checkpoint-tmp*"):
            write_digests(folder)

    def __enter__(self):
        return self

    def __exit__(self, exception, *_):
        if exception is None:
            self.close()
        else:  # which is what is to be said, not what follows from it
            with contextlib.suppress(UserError):
                self.close()
