"""Everything about speed on a GPU, in one run: correct first, then how fast.

    python benchmarks/gpu.py --minutes=14 [--output=gpu.json] [--torch_compile]
    JAX_PLATFORMS=cpu python benchmarks/gpu.py --tiny    # a trial of the program itself

Needs an installed gzjax, this folder, and no data: galaxies are drawn. Checks losses,
training updates and equivariance against the same programs on the CPU, in float32 and
TF32. Then measures the card's peak, the training step of every config in float32
(TF32) and bfloat16 beside PyTorch in both layouts (where a torch with CUDA is
installed), the step fed by the loader, prediction, and a short training.

Parts are in order of importance, and each is written to the file when it is done: the
same command again does what is left, or failed. A part that would not fit into
``--minutes`` any more is left out, and is named. The work is done in a process of its
own, which is ended in time. If it dies, the part that it worked on has failed, and
another process takes the next. Exit code 1: a check or a part failed.
"""

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from gpu_results import Results

from gzjax.errors import UserError

# Before JAX starts: torch works on the same card, which one process does not fill; and
# the CPU is there, too, to compare with.
ENVIRONMENT = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", "CUDA_VISIBLE_DEVICES": "0"}


def environment() -> dict[str, str]:
    """Returns the variables of the process that works; what the user set is kept."""
    variables = ENVIRONMENT | os.environ
    platforms = variables.get("JAX_PLATFORMS", "")
    if platforms and "cpu" not in platforms.split(","):
        variables["JAX_PLATFORMS"] = f"{platforms},cpu"
    return variables


def supervise(results: Results, command: list[str], until: float) -> str | None:
    """Runs processes that work until all parts have an entry, or the time is over.

    Returns:
        What stopped them before any part, or None.
    """
    while True:
        worker = subprocess.Popen(command, env=environment(), start_new_session=True)
        try:
            code = worker.wait(max(0.0, until - time.time()))
        except subprocess.TimeoutExpired:
            code = None
        finally:
            with contextlib.suppress(ProcessLookupError):  # its children, too
                os.killpg(worker.pid, signal.SIGKILL)
            worker.wait()
        results.read()
        lost = results.running
        if lost and code is None:
            results.end(lost, 0, left_out="was under way when the time was over")
        elif lost:
            results.end(lost, 0, failed=f"the process died with exit code {code}")
            continue
        return f"the process left with exit code {code}" if code else None


def main() -> int:
    """Measures what is missing, prints all tables, returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    flag = parser.add_argument
    flag("--minutes", type=float, default=30, help="to end within (%(default)s)")
    flag("--output", type=Path, default=Path("gpu.json"), help="(%(default)s)")
    flag("--tiny", action="store_true", help="every size small: for a CPU")
    flag("--torch_compile", action="store_true", help="beside eager; slow to compile")
    flag("--no_torch", action="store_true", help="no comparison with PyTorch")
    flag("--until", type=float, help=argparse.SUPPRESS)  # for the process that works
    args = parser.parse_args()
    if args.until:
        if args.no_torch:
            sys.modules["torch"] = None  # as if it was not installed
        import gpu_parts

        return gpu_parts.work(args)
    if not args.minutes > 0:
        parser.error(f"--minutes={args.minutes:g} is not above 0")
    until = time.time() + 60 * args.minutes
    # Else the process that works would be left behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        results = Results(args.output)
        results.forget_failures()
    except (UserError, OSError) as error:
        sys.exit(str(error))
    command = [sys.executable, __file__, f"--until={until}", *sys.argv[1:]]
    stopped = supervise(results, command, until)
    if stopped:
        print(stopped, file=sys.stderr)
        return 1
    import gpu_tables

    return gpu_tables.report(results)


if __name__ == "__main__":
    sys.exit(main())
