"""SIGTERM and Ctrl-C as a question the training loop asks after each step."""

import os
import signal
import threading
import time

import jax
from jax.experimental import multihost_utils

from gzjax.progress import say


class StopSignals:
    """Context manager: the first signal asks to stop, a second one stops at once.

    With several processes all of them stop after the same step: JAX's preemption
    service, which listens for SIGTERM, agrees on it.

    Attributes:
        exit_code: 128 + the signal's number, as shells report it.
    """

    exit_code = 128 + signal.SIGTERM

    def __init__(self):
        self._since: float | None = None  # when the first signal came
        self._old: dict = {}

    def requested(self, step: int) -> bool:
        """Returns whether to leave after ``step``; the same on all processes."""
        if jax.process_count() > 1:
            return multihost_utils.reached_preemption_sync_point(step)
        return self._since is not None

    def _handle(self, number, frame):
        del frame
        now = time.monotonic()
        if self._since is not None:
            # Launchers often signal a process and its group: the same wish, twice.
            if now - self._since > 1:
                # Not by an exception: to take down a running step's arrays crashes.
                os._exit(128 + number)
            return
        self._since = now
        self.exit_code = 128 + number
        say(f"{signal.Signals(number).name}: saving; once more to leave at once")
        if jax.process_count() > 1:  # the service hears SIGTERM only, and tells all
            self.__exit__()
            os.kill(os.getpid(), signal.SIGTERM)

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            numbers = [signal.SIGINT]
            if jax.process_count() == 1:
                numbers.append(signal.SIGTERM)
            self._old = {n: signal.signal(n, self._handle) for n in numbers}
        return self

    def __exit__(self, *_):
        for number, handler in self._old.items():
            signal.signal(number, handler)
        self._old = {}
