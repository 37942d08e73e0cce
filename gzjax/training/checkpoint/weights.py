"""Reads the weights of a checkpoint, whatever network and optimiser it is of."""

import math
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp

from gzjax.errors import UserError

_NAMES = ("params", "batch_stats", "ema_params")
_MAX_BYTES = 1 << 32


def read_weights(path: Path) -> dict:
    """Returns ``params``, ``batch_stats``, and ``ema_params`` if they were kept.

    Raises:
        UserError: they claim to be enormous.
        FileNotFoundError: ``path`` does not hold a state.
    """
    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as reader:
        metadata = reader.metadata(path).item_metadata
        if metadata is None:
            raise FileNotFoundError("it describes no state")
        saved = metadata.tree
        wanted = {name: saved[name] for name in _NAMES if saved.get(name)}
        _check_bytes(jax.tree.leaves(wanted), path)
        as_numpy = ocp.RestoreArgs(restore_type=np.ndarray)
        args = ocp.args.PyTreeRestore(
            wanted, jax.tree.map(lambda _: as_numpy, wanted), partial_restore=True
        )
        return {"batch_stats": {}} | reader.restore(path, args)


def _check_bytes(arrays, path: Path) -> None:
    # Chunks that are not there are zeros: a small folder can claim any shape.
    num_bytes = sum(math.prod(x.shape) * np.dtype(x.dtype).itemsize for x in arrays)
    if num_bytes > _MAX_BYTES:
        raise UserError(f"{path} claims to hold {num_bytes:,} bytes of weights")
