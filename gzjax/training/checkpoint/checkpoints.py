"""Saves, keeps and restores the checkpoints of a run.

A checkpoint holds the state and the *run*: the description that is needed to judge
whether it may be resumed, and to evaluate it without anything else.
"""

import contextlib
import itertools
import shutil
from collections.abc import Sequence
from pathlib import Path

import jax
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers

from gzjax.errors import UserError
from gzjax.progress import say
from gzjax.steps.mesh import of_first
from gzjax.steps.state import TrainState
from gzjax.training.checkpoint.choice import RMSE, rmse_of, steps_to_keep
from gzjax.training.checkpoint.digest import (
    DAMAGED,
    find_damage,
    step_folders,
    write_digests,
)
from gzjax.training.checkpoint.messages import failing_clearly
from gzjax.training.checkpoint.saved import SavedCheckpoints

_REMOVED = "removed"  # folder of checkpoints that are no longer kept


class Policy(checkpoint_managers.PreservationPolicy):
    """Keeps :func:`steps_to_keep`, called with these arguments, in Orbax's words."""

    def __init__(self, *arguments):
        self._arguments = arguments

    def should_preserve(self, checkpoints, *, context):
        """Returns for each checkpoint whether it is kept."""
        del context
        rmse = {c.step: rmse_of(c.metrics) for c in checkpoints if c.metrics}
        steps = [c.step for c in checkpoints]
        kept = steps_to_keep(steps, rmse, *self._arguments)
        return [step in kept for step in steps]


class Checkpoints(SavedCheckpoints):
    """The checkpoints of a training; saves in the background.

    Damaged ones are first set aside as STEP.damaged.

    Args:
        folder: made if missing.
        keep_newest: how many to keep by age.
        keep_best: how many to keep besides, by validation RMSE of each phase.
        phase_stops: the last step of each phase of the training.

    Raises:
        UserError: there are checkpoints, but none is intact.
    """

    def __init__(
        self,
        folder: Path,
        keep_newest: int = 1,
        keep_best: int = 1,
        phase_stops: Sequence[int] = (),
    ):
        super().__init__(folder)
        self._saving: int | None = None
        set_damaged_aside(self.folder)
        self._manager = ocp.CheckpointManager(
            self.folder,
            item_names=("state", "run"),
            options=ocp.CheckpointManagerOptions(
                preservation_policy=Policy(keep_newest, keep_best, phase_stops),
                best_fn=rmse_of,
                best_mode="min",
                cleanup_tmp_directories=True,
                # A kill within a removal must not leave half a checkpoint.
                todelete_subdir=_REMOVED,
                async_options=ocp.AsyncOptions(
                    post_finalization_callback=self._write_digests,
                    # Else, where a folder cannot be made, threads wait for it for
                    # 20 minutes, and the process with them.
                    create_directories_asynchronously=False,
                ),
            ),
        )

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
        with failing_clearly(self.folder, self._saving):
            self._manager.save(step, args=args, metrics=metrics, force=True)

    def wait(self) -> None:
        """Waits for the saves under way; raises a UserError if one of them failed."""
        with failing_clearly(self.folder, self._saving):
            self._manager.wait_until_finished()
        if jax.process_index() == 0:
            shutil.rmtree(self.folder / _REMOVED, ignore_errors=True)

    def close(self) -> None:
        """Waits, then lets go of the folder."""
        self.wait()
        with failing_clearly(self.folder, self._saving):
            self._manager.close()

    def _write_digests(self) -> None:
        # Called between the last write to a checkpoint and its final name.
        for folder in self.folder.glob(f"{self._saving}.orbax-checkpoint-tmp*"):
            write_digests(folder)

    def __enter__(self):
        return self

    def __exit__(self, exception, *_):
        if exception is None:
            self.close()
        else:  # which is what is to be said, not what follows from it
            with contextlib.suppress(UserError):
                self.close()


def set_damaged_aside(folder: Path) -> None:
    """Renames damaged checkpoints; raises a UserError if there are no others."""
    none_left = False
    if jax.process_index() == 0:
        found = {path: find_damage(path) for path in step_folders(folder).values()}
        for path, damage in found.items():
            if damage:
                say(f"damaged: {path} ({damage}); now {_set_aside(path).name}")
        none_left = bool(found) and all(found.values())
    if of_first(none_left):
        raise UserError(
            f"{folder} holds no intact checkpoint any more. The same command starts "
            "again, from step 0"
        )


def _set_aside(path: Path) -> Path:
    endings = itertools.chain([DAMAGED], (f"{DAMAGED}-{n}" for n in itertools.count(2)))
    free = (path.with_name(path.name + ending) for ending in endings)
    return path.rename(next(aside for aside in free if not aside.exists()))
