"""Runs work in other processes; without JAX, so that they start quickly."""

import concurrent.futures
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import cv2

from gzjax.errors import UserError


def ready_worker(parent: int) -> None:
    """Readies this process, which must not outlive the process ``parent``.

    Signals are its parent's to answer, and one thread is its share of the cores.
    """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(0)
    leave_with(parent)


def leave_with(parent: int) -> None:
    """Ends this process when the process ``parent`` has ended."""

    def watch():
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def num_cores() -> int:
    """Returns how many cores this process may use."""
    linux = hasattr(os, "sched_getaffinity")
    return len(os.sched_getaffinity(0)) if linux else os.cpu_count() or 1


def map_in_processes(
    work: Callable[[Any], Any], items: Sequence, num_workers: int | None
) -> Iterator:
    """Yields ``work(item)`` for each item, in order; a dead process is a UserError.

    Args:
        work: pickled once for each process; it may keep files open between items.
        items: cheap to pickle, as are the results.
        num_workers: processes; None: one per core; 0: this process alone.
    """
    num_workers = min(num_cores() if num_workers is None else num_workers, len(items))
    if num_workers < 1:
        yield from map(work, items)
        return
    context = multiprocessing.get_context("spawn")
    try:
        with concurrent.futures.ProcessPoolExecutor(
            num_workers, context, _start, (work, os.getpid())
        ) as pool:
            yield from pool.map(_do, items)
    except BrokenProcessPool as error:
        raise UserError(
            "a working process died, perhaps for want of memory. Run the same command "
            "again to resume"
        ) from error


def _start(work, parent):
    global _work  # once in each process: a zip's directory is long to read
    _work = work
    ready_worker(parent)


def _do(item):
    return _work(item)
