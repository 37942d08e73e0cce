"""A list on disk of what is done, that survives a process killed at any moment."""

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path

from gzjax.errors import UserError
from gzjax.files import write_text


class Journal:
    """Results by number: one line of JSON each, on the disk before it is counted.

    Attributes:
        done: number → result, of this run and those before.
    """

    def __init__(self, path: Path, done: dict[int, dict]):
        self._path = path
        self.done = done

    def add(self, number: int, result: dict) -> None:
        """Writes a result; returns when it is on the disk."""
        with open(self._path, "a", encoding="utf-8") as file:
            file.write(_line({"number": number, **result}))
            file.flush()
            os.fsync(file.fileno())
        self.done[number] = result

    def remove(self) -> None:
        """The work is complete."""
        self._path.unlink()


def open_journal(path: Path, identity: dict, done: dict[int, dict]) -> Journal:
    """The journal at ``path``, written anew: a torn line would swallow the next one.

    Args:
        path: of the file.
        identity: of the work.
        done: results to begin with, of :func:`read_journal` for example.
    """
    lines = [identity, *({"number": n, **done[n]} for n in sorted(done))]
    write_text(path, "".join(map(_line, lines)))
    return Journal(path, done)


def read_journal(path: Path) -> tuple[dict | None, dict[int, dict]]:
    """Identity and results of a journal, be it torn; None: there is none."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n")[:-1]
    except FileNotFoundError:
        return None, {}
    entries = []
    for line in lines:
        with contextlib.suppress(ValueError):
            entries.append(json.loads(line))
    head, *rest = entries or [{}]
    results = [x for x in rest if isinstance(x, dict) and "number" in x]
    return head, {result.pop("number"): result for result in results}


def _line(entry: dict) -> str:
    return json.dumps(entry, sort_keys=True) + "\n"


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Holds ``folder``, made if missing; a UserError if another process does.

    The lock ends with the process, however that ends. A folder that was made for
    nothing is removed again.
    """
    is_new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(
                f"{folder}: another process is writing it\nWhat to do: wait for it, "
                "or name another folder"
            ) from error
        except OSError:
            pass  # a file system without locks
        yield
    finally:
        if is_new:
            with contextlib.suppress(OSError):
                folder.rmdir()
        os.close(handle)
