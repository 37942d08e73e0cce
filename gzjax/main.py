"""The command line: dispatch, and what people see of errors."""

import errno
import os
import sys

from gzjax.cli.commands import COMMANDS, run_command
from gzjax.cli.flags import make_parser
from gzjax.errors import UserError, plain

INTERRUPTED = 128 + 2  # exit code: by Ctrl-C, as shells report it


def main(argv: list[str]) -> int:
    """Runs one command; returns its exit code."""
    overrides = [a for a in argv if a.startswith("--config.")]
    rest = [a for a in argv if not a.startswith("--config.")]
    if rest and rest[0].startswith("--") and rest[0] not in ("--help", "--version"):
        rest.insert(0, "train")
    arguments = vars(make_parser().parse_args(rest))
    name = arguments.pop("command")
    try:
        return run_command(name, arguments, overrides)
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
