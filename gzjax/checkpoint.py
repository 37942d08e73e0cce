"""Checkpoints: the only module that knows Orbax.

A checkpoint holds the state and the *run*: what is needed to judge whether it may be
resumed, and to evaluate it without anything else (config, tree, versions, data).
"""

import bisect
import itertools
import logging
import math
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers

from gzjax.errors import UserError
from gzjax.train_state import TrainState

# Orbax reports every file, and warns of every checkpoint that was not evaluated.
logging.getLogger("absl").setLevel(logging.ERROR)


_MAX_WEIGHT_BYTES = 1 << 32


def _rmse(metrics: dict) -> float:
    return metrics["valid/rmse"]


class _BestOfEachPhase(checkpoint_managers.PreservationPolicy):
    """Keeps the ``num`` best checkpoints of every phase: the next may start there."""

    def __init__(self, num: int, phase_stops: Sequence[int]):
        self._stops = sorted(phase_stops)
        self._best = checkpoint_managers.BestN(
            n=num,
            get_metric_fn=_rmse,
            reverse=True,
            keep_checkpoints_without_metrics=False,
        )

    def should_preserve(self, checkpoints, *, context):
        kept = []
        phases = itertools.groupby(
            checkpoints, lambda c: bisect.bisect_left(self._stops, c.step)
        )
        for _, of_phase in phases:
            kept += self._best.should_preserve(list(of_phase), context=context)
        return kept


def _check_bytes(arrays, path: Path) -> None:
    # Chunks that are not there are zeros: a small folder can claim any shape.
    num_bytes = sum(math.prod(x.shape) * np.dtype(x.dtype).itemsize for x in arrays)
    if num_bytes > _MAX_WEIGHT_BYTES:
        raise UserError(f"{path} claims to hold {num_bytes:,} bytes of weights")


class Checkpoints:
    """The checkpoints of one run; saves in the background.

    Args:
        folder: made if missing.
        keep_newest: how many to keep by age.
        keep_best: how many to keep by validation RMSE of each phase, besides.
        phase_stops: the last step of each phase of the training.
        read_only: changes nothing there: a training run may be writing.
    """

    def __init__(
        self,
        folder: Path,
        keep_newest: int = 1,
        keep_best: int = 1,
        phase_stops: Sequence[int] = (),
        read_only: bool = False,
    ):
        policy = checkpoint_managers.AnyPreservationPolicy(
            [
                checkpoint_managers.LatestN(keep_newest),
                _BestOfEachPhase(keep_best, phase_stops),
            ]
        )
        self._manager = ocp.CheckpointManager(
            Path(folder).absolute(),
            item_names=("state", "run"),
            options=ocp.CheckpointManagerOptions(
                preservation_policy=policy,
                best_fn=_rmse,
                best_mode="min",
                cleanup_tmp_directories=not read_only,
                create=not read_only,
                read_only=read_only,
            ),
        )

    @property
    def newest_step(self) -> int | None:
        """None where there is no checkpoint."""
        return self._manager.latest_step()

    @property
    def best_step(self) -> int | None:
        """By validation RMSE; None where none was measured."""
        return self._manager.best_step()

    def best_step_of(self, start: int, stop: int) -> int | None:
        """The best of the steps ``start + 1 .. stop``, those of a phase."""
        measured = {
            step: _rmse(metrics)
            for step in self._manager.all_steps()
            if start < step <= stop and (metrics := self._manager.metrics(step))
        }
        # Of equals the latest, as Orbax has it.
        return min(sorted(measured, reverse=True), key=measured.get, default=None)

    @property
    def steps(self) -> list[int]:
        """All that are kept, ascending."""
        return sorted(self._manager.all_steps())

    def save(
        self, step: int, state: TrainState, run: dict, valid_rmse: float | None = None
    ) -> None:
        """Starts to save; ``valid_rmse`` lets this checkpoint be among the best."""
        if step in self._manager.all_steps():
            return
        metrics = None if valid_rmse is None else {"valid/rmse": valid_rmse}
        saved = self._manager.save(
            step,
            args=ocp.args.Composite(
                state=ocp.args.StandardSave(state), run=ocp.args.JsonSave(run)
            ),
            metrics=metrics,
            force=True,
        )
        if not saved:
            raise UserError(f"the checkpoint of step {step} could not be saved")

    def read_run(self, step: int) -> dict:
        """What :meth:`save` was given as ``run``."""
        args = ocp.args.Composite(run=ocp.args.JsonRestore())
        return self._manager.restore(step, args=args)["run"]

    def restore(self, step: int, template: TrainState) -> TrainState:
        """The state, placed like ``template`` (arrays or their abstract shapes)."""
        abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, template)
        args = ocp.args.Composite(state=ocp.args.StandardRestore(abstract))
        return self._manager.restore(step, args=args)["state"]

    def read_weights(self, step: int) -> dict:
        """What the network needs of a saved state, whatever else is saved with it.

        Returns:
            ``params`` and ``batch_stats``, and ``ema_params`` if they were kept, as
            nested dicts of NumPy arrays.
        """
        with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as reader:
            path = self._manager.directory / str(step) / "state"
            saved = reader.metadata(path).item_metadata.tree
            names = ("params", "batch_stats", "ema_params")
            wanted = {name: saved[name] for name in names if saved.get(name)}
            _check_bytes(jax.tree.leaves(wanted), path)
            as_numpy = ocp.RestoreArgs(restore_type=np.ndarray)
            args = ocp.args.PyTreeRestore(
                wanted, jax.tree.map(lambda _: as_numpy, wanted), partial_restore=True
            )
            return {"batch_stats": {}} | reader.restore(path, args)

    def wait(self) -> None:
        """Until the saves under way are finished."""
        self._manager.wait_until_finished()

    def close(self) -> None:
        """Waits, then lets go of the folder."""
        self.wait()
        self._manager.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
