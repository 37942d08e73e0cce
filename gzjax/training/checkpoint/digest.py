"""Checkpoints that changed on the disk: known by the digests saved with them."""

import contextlib
import hashlib
import itertools
import json
import time
from pathlib import Path

from gzjax.files import MAX_JSON_BYTES, open_regular, read_bytes

DIGESTS = "digests.json"  # in a checkpoint's folder: {name: [bytes, SHA-256]}
DAMAGED = ".damaged"  # STEP.damaged: set aside

# Orbax adds the time of the commit after the digests are written, and the names of
# what wrote the items in a thread of its own, perhaps later than all else.
_METADATA, _ADDED_LATER = "_CHECKPOINT_METADATA", "commit_timestamp_nsecs"
_ADDED_SOON, _SOON_SEC = "item_handlers", 10.0
_MAX_TIME_NSECS = 2**62  # the year 2116
_NO_SUCH_JSON = (LookupError, ValueError, TypeError, AttributeError, RecursionError)
_UNREAD = "commit_success.txt"  # Orbax writes it, and nobody reads it


def write_digests(folder: Path) -> None:
    """Writes the digests of all files of a checkpoint, which must be whole."""
    unread = {DIGESTS, _UNREAD}
    if not _is_complete(folder / _METADATA):
        unread.add(_METADATA)  # which may yet change: better unknown than damaged
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    digests = {
        path.relative_to(folder).as_posix(): [path.stat().st_size, _digest(path)]
        for path in files
        if path.name not in unread
    }
    (folder / DIGESTS).write_text(json.dumps(digests, indent=1), encoding="utf-8")


def find_damage(folder: Path, part: str = "") -> str | None:
    """Returns what is wrong with a checkpoint's files, or None if it is intact.

    Args:
        folder: the checkpoint's.
        part: only the files whose names begin so are checked.
    """
    try:
        digests = json.loads(read_bytes(folder / DIGESTS, MAX_JSON_BYTES))
        for name, (num_bytes, digest) in digests.items():
            if name.startswith(part) and _differs(folder / name, num_bytes, digest):
                return f"{name} is not what was saved"
    except FileNotFoundError as error:
        # A run that is going on removes whole checkpoints.
        return f"{Path(error.filename).name} is missing" if folder.is_dir() else None
    except OSError as error:
        return f"{error.filename} cannot be read: {error.strerror}"
    except _NO_SUCH_JSON:
        return f"{DIGESTS} is not what was saved"
    return None


def was_evaluated(folder: Path) -> bool:
    """Returns whether a checkpoint has metrics, or had them by its digests."""
    if (folder / "metrics").is_dir():
        return True
    damage = find_damage(folder, "metrics/")
    return damage is not None and not damage.startswith(DIGESTS)


def step_folders(folder: Path) -> dict[int, Path]:
    """Returns the checkpoints in ``folder`` by step, ascending."""
    if not folder.is_dir():
        return {}
    there = [path for path in folder.iterdir() if path.name.isdecimal()]
    return {int(path.name): path for path in sorted(there, key=lambda p: int(p.name))}


def set_damaged_aside(folder: Path) -> dict[Path, str]:
    """Renames the damaged checkpoints in ``folder``; it never deletes anything.

    Returns:
        The new path of each, and what is wrong with it.
    """
    found = {path: find_damage(path) for path in step_folders(folder).values()}
    return {_set_aside(path): damage for path, damage in found.items() if damage}


def _set_aside(path: Path) -> Path:
    endings = itertools.chain([DAMAGED], (f"{DAMAGED}-{n}" for n in itertools.count(2)))
    free = (path.with_name(path.name + ending) for ending in endings)
    return path.rename(next(aside for aside in free if not aside.exists()))


def damaged_folders(folder: Path) -> dict[int, list[Path]]:
    """Returns what :func:`set_damaged_aside` made in ``folder``, by step."""
    found: dict[int, list[Path]] = {}
    for path in sorted(folder.glob(f"*{DAMAGED}*")):
        step = path.name.partition(DAMAGED)[0]
        if step.isdecimal():
            found.setdefault(int(step), []).append(path)
    return found


def _is_complete(metadata: Path) -> bool:
    """Waits for what Orbax adds soon; False if it does not come."""
    deadline = time.monotonic() + _SOON_SEC
    while time.monotonic() < deadline:
        with contextlib.suppress(*_NO_SUCH_JSON, OSError):  # in the middle of a write
            if json.loads(metadata.read_bytes())[_ADDED_SOON]:
                return True
        time.sleep(0.002)
    return False


def _differs(path: Path, num_bytes: int, digest: str) -> bool:
    if path.name != _METADATA and path.stat().st_size != num_bytes:
        return True  # and is not read: it may be huge
    return _digest(path) != digest


def _digest(path: Path) -> str:
    if path.name == _METADATA:
        return _digest_of_metadata(path)
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest_of_metadata(path: Path) -> str:
    """Without what is added later; "" if that is no time, or the file no JSON."""
    try:
        content = json.loads(read_bytes(path, MAX_JSON_BYTES))
        time = content.pop(_ADDED_LATER, None) or 1
        if not 0 < int(time) < _MAX_TIME_NSECS:
            return ""
    except (*_NO_SUCH_JSON, OverflowError):
        return ""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
