"""Saves, keeps and restores the checkpoints of a run.

A checkpoint holds the state and the *run*: the description that is needed to judge
whether it may be resumed, and to evaluate it without anything else.
"""

import contextlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import jax
import orbax.checkpoint as ocp

from gzjax.errors import UserError
from gzjax.files import MAX_JSON_BYTES, read_bytes
from gzjax.progress import say
from gzjax.steps.mesh import of_first
from gzjax.steps.state import TrainState
from gzjax.training.checkpoint.choice import RMSE, Policy, best_steps, rmse_of
from gzjax.training.checkpoint.digest import (
    damaged_folders,
    find_damage,
    set_damaged_aside,
    step_folders,
    was_evaluated,
    write_digests,
)
from gzjax.training.checkpoint.messages import (
    failing_clearly,
    keep_to_one_message,
    reading_clearly,
)
from gzjax.training.checkpoint.weights import read_weights

_REMOVED = "removed"  # folder of checkpoints that are no longer kept


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
            self._set_damaged_aside()
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
        """The last step that was saved, or None."""
        return self._manager.latest_step()

    @property
    def best_step(self) -> int | None:
        """The step of lowest validation RMSE, or None if none was measured."""
        return self.best_step_of(-1, max(self.steps, default=0))

    def best_step_of(self, start: int, stop: int) -> int | None:
        """Returns the best of the steps ``start + 1 .. stop`` of a phase."""
        measured = {
            step: rmse
            for step in self.steps
            if start < step <= stop and (rmse := self._rmse_of(str(step))) is not None
        }
        return next(iter(best_steps(measured, 1)), None)

    def lost_best_of(self, start: int, stop: int) -> Path | None:
        """Returns a damaged one that may be better than :meth:`best_step_of`."""
        best = self.best_step_of(start, stop)
        limit = float("inf") if best is None else self._rmse_of(str(best))
        for step, folders in damaged_folders(self._folder).items():
            if not start < step <= stop or step in self.steps:
                continue
            for path in folders:
                rmse = self._rmse_of(path.name)
                if was_evaluated(path) and (rmse is None or rmse < limit):
                    return path
        return None

    @property
    def steps(self) -> list[int]:
        """All steps that are kept, ascending."""
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
            UserError: it is too large, or nothing that could be one. Its content is
                checked by :func:`gzjax.training.description.check_run`.
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
        """
        with reading_clearly(self._folder, step):
            return read_weights(self._folder / str(step) / "state")

    def wait(self) -> None:
        """Waits until the saves under way are finished.

        Raises:
            UserError: one of them failed.
        """
        with failing_clearly(self._folder, self._saving):
            self._manager.wait_until_finished()
        if not self._read_only and jax.process_index() == 0:
            shutil.rmtree(self._folder / _REMOVED, ignore_errors=True)

    def close(self) -> None:
        """Waits, then lets go of the folder."""
        self.wait()
        with failing_clearly(self._folder, self._saving):
            self._manager.close()

    def _set_damaged_aside(self) -> None:
        none_left = False
        if jax.process_index() == 0:
            moved = set_damaged_aside(self._folder)
            for path, damage in moved.items():
                say(f"damaged: {path.with_suffix('')} ({damage}); now {path.name}")
            none_left = bool(moved) and not step_folders(self._folder)
        if of_first(none_left):
            raise UserError(
                f"{self._folder} holds no intact checkpoint any more. The same command "
                "starts again, from step 0"
            )

    def _rmse_of(self, name: str) -> float | None:
        """Returns None if it is not measured, damaged, or removed meanwhile."""
        folder = self._folder / name
        if find_damage(folder, "metrics/"):
            return None
        try:
            data = read_bytes(folder / "metrics" / "metrics", MAX_JSON_BYTES)
            return float(rmse_of(json.loads(data)))
        except (OSError, ValueError, TypeError, LookupError, RecursionError):
            return None

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
