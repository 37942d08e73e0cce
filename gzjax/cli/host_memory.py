"""Tells glibc to keep freed memory: training on a CPU becomes much faster."""

import ctypes
import sys

# Parameters of mallopt(3).
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX, _ARENA_MAX = -1, -2, -4, -8


def keep_freed_memory() -> None:
    """Lets the arrays of a step reuse the memory that the step before has freed.

    By default glibc returns large arrays to the system when they are freed, and every
    step pays for the page faults of getting them again. Call it before JAX starts. It
    does nothing if the C library has no ``mallopt``.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return
    for parameter, value in (
        (_MMAP_MAX, 0),  # no array in a mapping of its own
        (_TRIM_THRESHOLD, -1),  # never give back
        (_TOP_PAD, 1 << 28),  # grow by 256 MB
        (_ARENA_MAX, 1),  # one pool for all threads
    ):
        mallopt(parameter, value)
