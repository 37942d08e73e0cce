"""Several processes write one checkpoint: they need a folder that all of them see."""

import secrets
import time
from pathlib import Path

import jax
import numpy as np
from jax.experimental import multihost_utils

from gzjax.errors import UserError

_PATIENCE_SEC = 20.0  # disks on a network show files late


def check_shared(folder: Path) -> None:
    """Raises a UserError in all processes if one does not see what process 0 writes.

    Saving would wait for ever. Makes the folder.
    """
    if jax.process_count() == 1:
        return
    token = multihost_utils.broadcast_one_to_all(np.uint32(secrets.randbits(32)))
    marker = folder / f".shared-{int(token):08x}"
    if jax.process_index() == 0:
        folder.mkdir(parents=True, exist_ok=True)
        marker.touch()
    multihost_utils.sync_global_devices("marked")
    seen = multihost_utils.process_allgather(np.bool_(_is_seen(marker)))
    if jax.process_index() == 0:
        marker.unlink(missing_ok=True)
    blind = ", ".join(map(str, np.flatnonzero(~seen)))
    if blind:
        raise UserError(
            f"what process 0 writes into {folder} is not seen by process {blind}\n"
            "What to do: give a --workdir on a disk that the hosts of all processes "
            "share"
        )


def _is_seen(marker: Path) -> bool:
    deadline = time.monotonic() + _PATIENCE_SEC
    while not marker.exists():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True
