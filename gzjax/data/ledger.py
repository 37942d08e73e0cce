"""A ledger of resumable work: what it belongs to, and which items are done.

Only the command that began the work resumes it. All that its results depend on
(arguments, data, versions) is its *identity*, a JSON-ready dict. Whoever keeps results
in files of other kinds uses :func:`check_same` alone.
"""

import contextlib
import fcntl
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from gzjax.data.workers import map_in_processes
from gzjax.errors import READ_ERRORS, UserError, reason
from gzjax.files import MAX_TABLE_BYTES, open_aside, read_bytes, read_json
from gzjax.progress import Progress


class Ledger:
    """The results of resumable work: a file with the identity, then a line for each.

    The file at ``path`` is written anew, with the JSON-ready results ``done`` by key to
    begin with, for example those of :func:`read_done`. A killed process leaves at most
    a torn last line, whose item is then done again.
    """

    def __init__(self, path: Path, identity: dict, done: Mapping[int | str, Any]):
        self._path = path
        self.done = dict(done)
        with open_aside(path) as file:
            file.write(json.dumps({"identity": identity}, sort_keys=True) + "\n")
            _append(file, self.done)

    def add(self, results: Mapping[int | str, Any]) -> None:
        """Adds results by key; returns when they are on the disk."""
        with open(self._path, "a", encoding="utf-8") as file:
            _append(file, results)
        self.done |= results

    def finish(
        self, title: str, total: int, work: Callable, items: Sequence, num_workers
    ) -> None:
        """Adds what ``work(item)`` returns, results by key, until there are ``total``.

        See :func:`gzjax.data.workers.map_in_processes` for the arguments.
        """
        with (
            contextlib.closing(map_in_processes(work, items, num_workers)) as found,
            Progress(title, total, len(self.done)) as progress,
        ):
            for results in found:
                self.add(results)
                progress.update(len(self.done))

    def remove(self) -> None:
        """Removes the file: the work is complete."""
        self._path.unlink()


def _append(file, results: Mapping[int | str, Any]) -> None:
    file.writelines(json.dumps(item, sort_keys=True) + "\n" for item in results.items())
    file.flush()
    os.fsync(file.fileno())


def read_done(path: Path, identity: dict, what_to_do: str) -> dict[int | str, Any]:
    """Returns the results in the ledger at ``path``, {} if there is no such file.

    Raises:
        UserError: the ledger has another identity, or cannot be read; ``what_to_do``
            ends the message.
    """
    try:
        lines = read_bytes(path, MAX_TABLE_BYTES).split(b"\n")
        there = dict(json.loads(lines[0])["identity"])
    except FileNotFoundError:
        return {}
    except (TypeError, *READ_ERRORS) as error:
        message = f"{path} is damaged, or of an older gzjax: {reason(error)}"
        raise UserError(f"{message}\n{what_to_do}") from error
    check_same(there, identity, path, what_to_do)
    done = {}
    for line in lines[1:]:
        with contextlib.suppress(ValueError, TypeError, RecursionError):  # torn
            key, result = json.loads(line)
            done[key] = result
    return done


def check_same(there: dict, here: dict, path: Path, what_to_do: str) -> None:
    """Compares the identity read from ``path`` with that of this command.

    Raises:
        UserError: lists the :func:`differences`, then says ``what_to_do``.
    """
    if lines := differences(there, json.loads(json.dumps(here))):
        message = [f"{path} was made under other conditions:", *lines, what_to_do]
        raise UserError("\n".join(message))


def check_replaces(path: Path, conditions: dict) -> None:
    """Lets a study replace the JSON file at ``path`` only if that has its conditions.

    Raises:
        UserError: the values of these keys differ, or the file cannot be read.
    """
    if path.exists():
        what_to_do = "give another --output"
        there = read_json(path, what_to_do, dict)
        there = {key: there[key] for key in conditions.keys() & there.keys()}
        check_same(there, conditions, path, f"What to do: {what_to_do}")


def differences(there: dict, here: dict, prefix: str = "") -> list[str]:
    """Returns ``"  key: 'a' there, 'b' here"`` for each value that differs.

    Keys of nested dicts are joined by dots, after ``prefix``.
    """
    lines = []
    for key in sorted(there.keys() | here.keys()):
        a, b = there.get(key, "absent"), here.get(key, "absent")
        if isinstance(a, dict) and isinstance(b, dict):
            lines += differences(a, b, f"{prefix}{key}.")
        elif a != b:
            lines.append(f"  {prefix}{key}: {a!r:.80} there, {b!r:.80} here")
    return lines


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Locks ``folder``, made if missing; raises a UserError if another process has.

    The lock ends with the process. A new folder that stays empty is removed again.
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
                "or give another --output"
            ) from error
        except OSError:
            pass  # a file system without locks
        yield
    finally:
        if is_new:
            with contextlib.suppress(OSError):
                folder.rmdir()
        os.close(handle)
