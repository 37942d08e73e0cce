"""A trace of a few training steps, to be looked at in a browser."""

import contextlib
from pathlib import Path

import jax

from gzjax.progress import say

# Of the steps that this process makes, from 1: what is compiled or filled up at the
# start lies before them.
FIRST, COUNT = 10, 5


class StepProfile:
    """Context manager: traces the 10th to the 14th step that is made within it.

    Of fewer steps it traces the last five, but never the first unless it is the only
    one. ``start`` and ``stop`` are the numbers of updates before the first step and at
    the end; without a ``folder`` nothing is traced.
    """

    def __init__(self, folder: Path | None, start: int, stop: int):
        made = stop - start
        first = max(min(FIRST, made - COUNT + 1), min(2, made))
        self._folder = folder
        self._first, self._last = start + first, start + min(first + COUNT - 1, made)
        self._running = False

    def before(self, step: int) -> contextlib.AbstractContextManager:
        """Returns the context of step ``step``, from 1; the first begins the trace."""
        if self._folder is None or not self._first <= step <= self._last:
            return contextlib.nullcontext()
        if step == self._first:
            options = jax.profiler.ProfileOptions()
            options.python_tracer_level = 0  # a record of every call: large, and slow
            jax.profiler.start_trace(self._folder, profiler_options=options)
            self._running = True
        return jax.profiler.StepTraceAnnotation("train", step_num=step)

    def after(self, step: int, loss: jax.Array) -> None:
        """Ends the trace if ``step`` was the last one, when its loss is there."""
        if self._running and step == self._last:
            loss.block_until_ready()
            self._end()
            say(
                f"profile of the steps {self._first} to {self._last}: {self._folder}; "
                "look at it with xprof (pip install xprof), or its trace.json.gz in "
                "https://ui.perfetto.dev"
            )

    def _end(self):
        self._running = False
        jax.profiler.stop_trace()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._running:
            self._end()
