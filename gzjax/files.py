"""Reads files with bounded memory, and writes them whole or not at all.

Reading a pipe can block forever, a device never ends, and a sparse file fills memory.
"""

import contextlib
import errno
import json
import os
import platform
import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, BinaryIO

from gzjax.errors import READ_ERRORS, UserError, reason

MAX_JSON_BYTES = 1 << 26  # 64 MiB
MAX_TABLE_BYTES = 1 << 30  # 1 GiB


def open_regular(path: str | os.PathLike) -> BinaryIO:
    """Opens a file to read its bytes, without blocking.

    Raises:
        OSError: it cannot be opened, or is a pipe, a device or a folder.
    """
    return open(path, "rb", opener=_open_regular)


def read_bytes(path: str | os.PathLike, limit: int) -> bytes:
    """Reads the whole file.

    Raises:
        OSError: see :func:`open_regular`; or it has more than ``limit`` bytes.
    """
    with open_regular(path) as file:
        if os.fstat(file.fileno()).st_size > limit:
            raise OSError(errno.EFBIG, f"larger than {limit >> 20} MiB", str(path))
        return file.read()


def read_text(path: str | os.PathLike, limit: int = MAX_JSON_BYTES) -> str:
    """Reads the whole file, which must be UTF-8; see :func:`read_bytes`."""
    return read_bytes(path, limit).decode("utf-8")


def read_json(
    path: str | os.PathLike,
    what_to_do: str,
    parse: Callable[[Any], Any] = lambda content: content,
    limit: int = MAX_JSON_BYTES,
    error: type[UserError] = UserError,
) -> Any:
    """Reads a JSON file and returns what ``parse`` makes of its content.

    Args:
        path: the file, which is not trusted.
        what_to_do: ends the message.
        parse: may raise what wrong content makes Python raise (LookupError, TypeError,
            AttributeError, ValueError); a UserError is passed on unchanged.
        limit: bytes that the file may have.

    Raises:
        UserError: (or ``error``) the file cannot be read, or is not the JSON that
            ``parse`` wants: names the file and the reason, then says ``what_to_do``.
    """
    try:
        text = read_bytes(path, limit)
        return parse(json.loads(text, object_pairs_hook=_without_repeats))
    except (AttributeError, TypeError, RecursionError, *READ_ERRORS) as wrong:
        raise error(f"{path} cannot be read: {reason(wrong)}; {what_to_do}") from wrong


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content: dict[str, Any] = {}
    for key, value in pairs:
        if key in content:  # Python would silently take the last of them
            raise ValueError(f"key '{key}' is there twice in one object")
        content[key] = value
    return content


def _open_regular(path, flags: int) -> int:
    file = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))  # a pipe would wait
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return file


def check_place(path: Path) -> None:
    """Raises a UserError if ``path`` is a folder, or if no file can be made there."""
    path = path.expanduser().absolute()
    # Under a folder that is closed, os.path says no where Path raises.
    if os.path.isdir(path):
        raise UserError(f"{path} is a folder: name a file")
    above = next(p for p in path.parents if os.path.exists(p))
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        raise UserError(
            f"{path} cannot be written: {above} is not a folder that you may write to. "
            "Make it one, or name another"
        )


def aside_of(path: Path) -> Path:
    """Returns where this process writes ``path`` until it is whole."""
    # Machines share disks.
    return path.with_name(f".{path.name}.{platform.node()}-{os.getpid()}.partial")


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Puts ``path`` into an OSError that names no file, or only its ``aside_of``."""
    try:
        yield
    except OSError as error:
        if error.filename in (None, str(aside_of(path))):
            error.filename = str(path)
            del error.filename2
        raise


@contextlib.contextmanager
def open_aside(path: Path, mode: str = "w") -> Iterator[IO]:
    """Opens a file to write, whole or not at all: it replaces ``path`` at the end."""
    aside = aside_of(path)
    text: dict[str, Any] = {} if "b" in mode else {"encoding": "utf-8", "newline": ""}
    with naming(path):
        try:
            with open(aside, mode, **text) as file:
                yield file
            os.replace(aside, path)
        finally:
            aside.unlink(missing_ok=True)


def clear_asides(folder: Path) -> None:
    """Removes what killed processes of this machine left of :func:`open_aside`."""
    ending = re.compile(rf"\.{re.escape(platform.node())}-(\d+)\.partial$")
    for path in folder.glob(".*.partial"):
        match = ending.search(path.name)
        if match and not _is_alive(int(match[1])):
            path.unlink(missing_ok=True)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's
        return True
    return True


def write_text(path: Path, text: str) -> None:
    """Writes the whole file or leaves the old one untouched."""
    with open_aside(path) as file:
        file.write(text)


def write_json(path: Path, content: dict) -> None:
    """Writes JSON whole; see :func:`write_text`.

    Raises:
        UserError: a number is NaN or infinite, which JSON does not have.
    """
    try:
        text = json.dumps(content, indent=2, sort_keys=True, allow_nan=False)
    except ValueError as error:
        message = "is not written: a number in it is NaN or infinite. Check the weights"
        raise UserError(f"{path} {message} and the data") from error
    write_text(path, text + "\n")
