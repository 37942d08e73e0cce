"""Checkpoints that changed on the disk: known by the digests saved with them."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

from gzjax.files import MAX_JSON_BYTES, open_regular, read_bytes

DIGESTS = "digests.json"  # in a checkpoint's folder: {name: [bytes, SHA-256]}
DAMAGED = ".damaged"  # STEP.damaged: set aside

# Reading a checkpoint does not need these, and Orbax still changes the first one after
# the digests are written.
_UNREAD = ("_CHECKPOINT_METADATA", "commit_success.txt")
_INVALID_JSON = (LookupError, ValueError, TypeError, AttributeError, RecursionError)


def write_digests(folder: Path) -> None:
    """Writes the digests of all files of a checkpoint, which must be whole."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    digests = {
        path.relative_to(folder).as_posix(): [path.stat().st_size, _digest(path)]
        for path in files
        if path.name not in (DIGESTS, *_UNREAD)
    }
    (folder / DIGESTS).write_text(json.dumps(digests, indent=1), encoding="utf-8")


def find_damage(folder: Path, part: str = "") -> str | None:
    """Returns what is wrong with a checkpoint's files, or None if it is intact.

    Only the files whose names begin with ``part`` are checked.
    """
    try:
        digests = json.loads(read_bytes(folder / DIGESTS, MAX_JSON_BYTES))
        for name, (num_bytes, digest) in digests.items():
            path = folder / name
            if not name.startswith(part) or name in _UNREAD:
                continue
            # A file of another length is not read: it may be huge.
            if path.stat().st_size != num_bytes or _digest(path) != digest:
                return f"{name} is not what was saved"
    except FileNotFoundError as error:
        # A run that is going on removes whole checkpoints.
        return f"{Path(error.filename).name} is missing" if folder.is_dir() else None
    except OSError as error:
        return f"{error.filename} cannot be read: {error.strerror}"
    except _INVALID_JSON:
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
    there = (path for path in folder.glob("*") if path.name.isdecimal())
    found = {
        int(path.name): path
        for path in there
        if path.name == str(int(path.name)) and path.is_dir()
    }
    return dict(sorted(found.items()))


def damaged_folders(folder: Path) -> Iterator[tuple[int, Path]]:
    """Yields the step and path of what a training set aside as damaged."""
    for path in sorted(folder.glob(f"*{DAMAGED}*")):
        step = path.name.partition(DAMAGED)[0]
        if step.isdecimal():
            yield int(step), path


def _digest(path: Path) -> str:
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
