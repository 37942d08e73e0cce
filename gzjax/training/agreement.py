"""Checks that all processes train the same, and see the same run folder."""

import hashlib
import json
import secrets
import time
from pathlib import Path

import jax
import numpy as np
from jax.experimental import multihost_utils

from gzjax.errors import UserError

_PATIENCE_SEC = 20.0  # disks on a network show files late
# What each host has for itself. The tree's content and the data's fingerprint are
# compared, not where they lie; one process alone reports.
_OWN_KEYS = ("tree", "wandb")
_OWN_DATA_KEYS = ("dir", "labels", "images", "detections", "num_workers", "num_threads")


def check_same_training(run: dict) -> None:
    """Raises a UserError in all processes if their descriptions ``run`` differ.

    Otherwise they would compute something wrong, or wait for each other for ever.
    """
    if jax.process_count() == 1:
        return
    own = _digests(run)
    digests = multihost_utils.process_allgather(np.stack(list(own.values())))
    differs = (digests != digests[0]).any(axis=-1)  # [process, what]
    if not differs.any():
        return
    lines = [
        f"  {what}: process {', '.join(map(str, np.flatnonzero(differing)))}"
        for what, differing in zip(own, differs.T, strict=True)
        if differing.any()
    ]
    raise UserError(
        "the processes do not train the same; other than process 0 has\n"
        + "\n".join(lines)
        + "\nWhat to do: give all the same command and the same copy of the data"
    )


def _digests(run):
    """Returns what a difference is called → uint8 ``[32]``."""
    config = {k: v for k, v in run["config"].items() if k not in _OWN_KEYS}
    config["data"] = {
        k: v for k, v in config["data"].items() if k not in _OWN_DATA_KEYS
    }
    compared = {
        "another config": config,
        "another decision tree": run["tree"],
        "other data (ids, votes, images or detections)": run["fingerprint"],
    }
    texts = {what: json.dumps(x, sort_keys=True) for what, x in compared.items()}
    return {
        what: np.frombuffer(hashlib.sha256(text.encode()).digest(), np.uint8)
        for what, text in texts.items()
    }


def check_shared(folder: Path) -> None:
    """Makes the folder; raises a UserError if a process does not see it.

    Otherwise saving would wait for ever.
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
    if blind := ", ".join(map(str, np.flatnonzero(~seen))):
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
