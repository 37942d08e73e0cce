"""The command line: dispatch, and what people see of errors."""

import contextlib
import errno
import importlib
import os
import sys
from typing import Any

from gzjax.cli.commands import COMMANDS, PROCESSES
from gzjax.cli.flags import make_parser
from gzjax.cli.host_memory import keep_freed_memory
from gzjax.cli.processes.place import find_place
from gzjax.errors import UserError, plain

# Exit codes: all is written, but images are left out or runs failed; Ctrl-C.
SOME_FLAGGED, INTERRUPTED = 3, 128 + 2


def main(argv: list[str]) -> int:
    """Runs one command; returns its exit code."""
    overrides = [a for a in argv if a.startswith("--config.")]
    rest = [a for a in argv if not a.startswith("--config.")]
    if rest and rest[0].startswith("--") and rest[0] not in ("--help", "--version"):
        rest.insert(0, "train")
    arguments = vars(make_parser().parse_args(rest))
    name = arguments.pop("command")
    try:
        return _run(name, arguments, overrides)
    except UserError as error:
        print(f"gzjax: {plain(str(error))}", file=sys.stderr)
        return 2
    except OSError as error:  # no space, no permission, a file for a folder ...
        hint = "\nWhat to do: make room there, then run the same command again"
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        print(f"gzjax: {plain(str(error))}{hint if full else ''}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        hint = "; run the same command again to resume" * COMMANDS[name].resumes
        print(f"gzjax: interrupted{hint}", file=sys.stderr)
        return INTERRUPTED


def _run(name: str, arguments: dict[str, Any], overrides: list[str]) -> int:
    """Calls a command's function; imports on use, so that ``--help`` is quick.

    The processes that load images import this module too, and do not wait for JAX.
    """
    command = COMMANDS[name]
    if command.reads_configs:
        arguments["overrides"] = overrides
    elif overrides:
        raise UserError(
            f"{overrides[0]}: only train, compare and equivariance read configs"
        )
    if command.uses_jax:
        from gzjax.cli.program_cache import keep_programs

        keep_freed_memory()
        joint = {flag: arguments[flag] for flag in PROCESSES if flag in arguments}
        # A process that loads a cached program skips the autotuning that the others
        # wait for.
        if not joint or find_place(joint, os.environ).num_processes == 1:
            keep_programs()
    together = contextlib.nullcontext()
    if command.joins:
        from gzjax.cli.join import joined

        together = joined(**{flag: arguments.pop(flag) for flag in PROCESSES})
    with together:
        function = getattr(importlib.import_module(command.module), name)
        result = function(**arguments)
    return SOME_FLAGGED if command.counts_failures and result else 0


def run() -> None:
    """Runs the command line and leaves with its exit code."""
    code = main(sys.argv[1:])
    if code == INTERRUPTED:
        # A thread may be compiling yet: to take Python down beside it crashes.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    run()
