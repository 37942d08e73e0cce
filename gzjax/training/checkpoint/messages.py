"""Reports checkpoints that cannot be saved or read, without tracebacks."""

import contextlib
import functools
import logging
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from gzjax.errors import UserError, reason
from gzjax.training.checkpoint.digest import step_folders

_OF_TENSORSTORE = (OSError, ValueError, RuntimeError)


@functools.cache  # once in a process
def keep_to_one_message() -> None:
    """Silences Orbax about errors that :func:`failing_clearly` and its like report."""
    # Orbax reports every file, and logs the traceback of what it raises as well.
    logging.getLogger("absl").setLevel(logging.CRITICAL)
    # It leaves other reads and writes to a closed loop, with errors nobody asks for.
    logging.getLogger("asyncio").addFilter(
        lambda record: "exception was never retrieved" not in record.getMessage()
    )
    before = sys.unraisablehook

    def hook(unraisable):
        if str(unraisable.exc_value) != "Event loop is closed":
            before(unraisable)

    sys.unraisablehook = hook


@contextlib.contextmanager
def failing_clearly(folder: Path, step: int | None) -> Iterator[None]:
    """Turns an error into a UserError: why a step was not saved, and what is kept."""
    try:
        yield
    except _OF_TENSORSTORE as error:
        import jax

        if jax.process_count() > 1 and isinstance(error, jax.errors.JaxRuntimeError):
            raise  # another process was lost; the disk is fine
        kept = [there for there in step_folders(folder) if there != step]
        then = f"resumes from step {kept[-1]}" if kept else "starts from step 0"
        raise UserError(
            f"{folder}: step {step} could not be saved: {_reason(error)}\n"
            "What to do: make room there, or see that it can be written to. The same "
            f"command then {then}"
        ) from error


@contextlib.contextmanager
def reading_clearly(folder: Path, step: int) -> Iterator[None]:
    """Turns an error into a UserError: why a step cannot be read, and what can.

    Damage is found by the digests before; this is for checkpoints whose digests were
    forged, and for disks that fail meanwhile.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # as Orbax raises them
        others = [there for there in step_folders(folder) if there != step]
        there = f"there are step {', '.join(map(str, others))}"
        if not others:
            there = "there is no other, and the command that trained it starts again"
        why = _reason(error).splitlines()[0][:300]
        raise UserError(
            f"{folder / str(step)} cannot be read: {why}\n"
            f"What to do: move it elsewhere; {there}"
        ) from error


def _reason(error: Exception) -> str:
    """Returns the system's words: TensorStore and Orbax add pages to them."""
    if type(error) is Exception and error.__cause__:
        return _reason(error.__cause__)
    of_system = re.search(r"([^:]+) \[os_error_code", str(error))
    return of_system[1].strip() if of_system else reason(error)
