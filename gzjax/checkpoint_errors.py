"""Saves that fail, for want of room or rights, in words instead of tracebacks."""

import contextlib
import logging
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from gzjax.checkpoint_digest import step_folders
from gzjax.data.problems import reason
from gzjax.errors import UserError

# Orbax reports every file, warns of every checkpoint that was not evaluated, and logs
# the traceback of what it raises as well.
logging.getLogger("absl").setLevel(logging.CRITICAL)


def _unless_of_a_failed_save(unraisable, hook=sys.unraisablehook):
    # Where one of its writes fails, Orbax leaves the others to a loop that is closed.
    if str(unraisable.exc_value) != "Event loop is closed":
        hook(unraisable)


sys.unraisablehook = _unless_of_a_failed_save
# The errors of those other writes, which nobody asks for.
logging.getLogger("asyncio").addFilter(
    lambda record: "[os_error_code=" not in record.getMessage()
)


@contextlib.contextmanager
def failing_clearly(folder: Path, step: int | None) -> Iterator[None]:
    """What fails inside is a UserError: step ``step`` could not be saved in ``folder``.

    It says why, and which step is the newest that is kept.
    """
    try:
        yield
    except (
        OSError,
        ValueError,
        RuntimeError,
    ) as error:  # TensorStore's: any
        kept = [there for there in step_folders(folder) if there != step]
        then = f"goes on from step {kept[-1]}" if kept else "starts from step 0"
        raise UserError(
            f"{folder}: step {step} could not be saved: {_reason(error)}\n"
            "What to do: make room there, or see that it can be written to. The same "
            f"command then {then}"
        ) from error


def _reason(error: Exception) -> str:
    """TensorStore's messages end with the system's."""
    of_system = re.search(r"([^:]+) \[os_error_code", str(error))
    return of_system[1].strip() if of_system else reason(error)
