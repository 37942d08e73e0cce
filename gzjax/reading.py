"""Reads files of others: regular ones only, and not more than they may be long.

A pipe would be waited for, a device has no end, and a file of many gigabytes of nothing
takes no room on a disk, but all of the memory.
"""

import errno
import os
import stat
from typing import BinaryIO

MAX_JSON_BYTES = 1 << 26  # 64 MiB
MAX_TABLE_BYTES = 1 << 30  # 1 GiB


def open_regular(path: str | os.PathLike) -> BinaryIO:
    """Opens a file to read its bytes, at once or never.

    Raises:
        OSError: it cannot be opened, or is a pipe, a device or a folder.
    """
    return open(path, "rb", opener=_open_regular)


def read_bytes(path: str | os.PathLike, limit: int) -> bytes:
    """The whole file.

    Raises:
        OSError: as for :func:`open_regular`; or it has more than ``limit`` bytes.
    """
    with open_regular(path) as file:
        if os.fstat(file.fileno()).st_size > limit:
            raise OSError(errno.EFBIG, f"larger than {limit >> 20} MiB", str(path))
        return file.read()


def read_text(path: str | os.PathLike, limit: int = MAX_JSON_BYTES) -> str:
    """The whole file, which must be UTF-8; as :func:`read_bytes`."""
    return read_bytes(path, limit).decode("utf-8")


def _open_regular(path, flags: int) -> int:
    file = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))  # a pipe would wait
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return file
