"""Reads the checkpoints of a run and changes nothing: another process may train it.

It imports JAX and Orbax only to read weights: other faults of a run are found at once.
"""

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gzjax.errors import UserError
from gzjax.files import MAX_JSON_BYTES, read_bytes
from gzjax.training.checkpoint.choice import best_steps, read_rmse
from gzjax.training.checkpoint.digest import (
    damaged_folders,
    find_damage,
    step_folders,
    was_evaluated,
)
from gzjax.training.checkpoint.messages import keep_to_one_message, reading_clearly

if TYPE_CHECKING:
    from gzjax.steps.state import TrainState

_WEIGHTS = ("params", "batch_stats", "ema_params")
_MAX_WEIGHTS_BYTES = 1 << 32


class SavedCheckpoints:
    """The checkpoints that a folder holds."""

    def __init__(self, folder: Path):
        self.folder = Path(folder).absolute()
        keep_to_one_message()

    @property
    def steps(self) -> list[int]:
        """Returns all steps that are kept, ascending."""
        return list(step_folders(self.folder))

    @property
    def newest_step(self) -> int | None:
        """Returns the last step that was saved, or None."""
        return max(self.steps, default=None)

    def best_step(self, start: int = -1, stop: float = math.inf) -> int | None:
        """Returns the step of lowest validation RMSE, or None if none was measured.

        Only the steps ``start + 1 .. stop`` count, as those of a phase.
        """
        measured = {
            step: rmse
            for step in self.steps
            if start < step <= stop
            and (rmse := read_rmse(self.folder / str(step))) is not None
        }
        return next(iter(best_steps(measured, 1)), None)

    def lost_best_of(self, start: int, stop: int) -> Path | None:
        """Returns a damaged one that may be better than :meth:`best_step`."""
        best = self.best_step(start, stop)
        limit = math.inf if best is None else read_rmse(self.folder / str(best))
        for step, path in damaged_folders(self.folder):
            if start < step <= stop and step not in self.steps and was_evaluated(path):
                rmse = read_rmse(path)
                if rmse is None or rmse < limit:
                    return path
        return None

    def damage(self, step: int) -> str | None:
        """Returns what is wrong with a checkpoint's files, or None."""
        return find_damage(self.folder / str(step))

    def read_description(self, step: int) -> dict:
        """Reads the description of the run; it is not trusted.

        Raises:
            UserError: it cannot be read, is too large, or is not a JSON object.
                :func:`gzjax.training.identity.check_run` checks its content.
        """
        path = self.folder / str(step) / "run" / "metadata"
        with reading_clearly(self.folder, step):
            run = json.loads(read_bytes(path, MAX_JSON_BYTES))
            if not isinstance(run, dict):
                raise ValueError("run/metadata does not hold the description of a run")
        return run

    def restore(self, step: int, template: "TrainState") -> "TrainState":
        """Reads the state, placed like ``template`` (arrays or abstract shapes)."""
        import jax
        import orbax.checkpoint as ocp

        abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, template)
        path = self.folder / str(step) / "state"
        with reading_clearly(self.folder, step), ocp.StandardCheckpointer() as reader:
            return reader.restore(path, abstract)

    def read_weights(self, step: int) -> dict:
        """Reads ``params``, ``batch_stats`` and, if they were kept, ``ema_params``.

        They are nested dicts of NumPy arrays, whatever else is saved with them.

        Raises:
            UserError: they cannot be read, or claim to be enormous.
        """
        import jax
        import orbax.checkpoint as ocp

        path = self.folder / str(step) / "state"
        with (
            reading_clearly(self.folder, step),
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
