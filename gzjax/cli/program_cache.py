"""Keeps compiled programs between commands, in a folder whose size JAX limits."""

import contextlib
import hashlib
import os
import platform
import re
import shutil
import time
import warnings
from collections.abc import MutableMapping
from importlib.metadata import version
from pathlib import Path

from filelock import FileLock

from gzjax.errors import reason
from gzjax.progress import say

MAX_BYTES = 1 << 29
_UNUSED_SEC = 90 * 24 * 3600
_SETTINGS = {
    # With a limit, JAX locks the folder: no process reads what another still writes.
    "JAX_COMPILATION_CACHE_MAX_SIZE": str(MAX_BYTES),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.05",
    # A folder of its own without a limit; the programs hold what was tuned.
    "JAX_PERSISTENT_CACHE_ENABLE_XLA_CACHES": "none",
}


def keep_programs(environment: MutableMapping[str, str] = os.environ) -> None:
    """Tells JAX, which is not imported yet, where to keep compiled programs.

    They are in ``$XDG_CACHE_HOME/gzjax``, or in the folder that ``GZJAX_CACHE`` names,
    each jaxlib and kind of CPU with a folder of its own. ``GZJAX_CACHE=off`` keeps
    none; a ``JAX_COMPILATION_CACHE_DIR`` that is set stays. A folder that cannot be
    used is reported once, and costs only the compilation.
    """
    given = environment.get("GZJAX_CACHE", "")
    if given.lower() == "off" or "JAX_COMPILATION_CACHE_DIR" in environment:
        return
    home = environment.get("XDG_CACHE_HOME", "")
    home = home if os.path.isabs(home) else "~/.cache"
    folder = Path(given or Path(home, "gzjax"), _name())
    try:
        folder = folder.expanduser().absolute()
        _prepare(folder)
    except (OSError, RuntimeError) as error:  # the latter: no home, or no locks
        _say_unusable(folder, reason(error))
        return
    environment["JAX_COMPILATION_CACHE_DIR"] = str(folder)
    for name, value in _SETTINGS.items():
        environment.setdefault(name, value)
    _report_once(folder)


def _name() -> str:
    """Returns a folder's name, another for each jaxlib and kind of CPU.

    A program may use instructions that another CPU lacks, and it is cut for a number of
    cores. JAX compares neither.
    """
    try:
        about = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        about = ""
    flags = re.search(r"^(?:flags|Features)\s*:(.*)", about, re.MULTILINE)
    affinity = getattr(os, "sched_getaffinity", lambda _: range(os.cpu_count() or 1))
    cpu = [
        platform.machine(),
        *sorted((flags[1] if flags else platform.processor()).split()),
        str(len(affinity(0))),
    ]
    digest = hashlib.sha256(" ".join(cpu).encode()).hexdigest()[:8]
    return f"gzjax-jaxlib{version('jaxlib')}-{digest}"


def _prepare(folder: Path) -> None:
    """Makes the folder; removes torn programs, and folders that nothing uses."""
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lockfile", timeout=10):  # JAX's own
        os.utime(folder)
        for program in folder.glob("*-cache"):
            # Written last. JAX would neither replace nor evict a program without it.
            if not program.with_name(f"{program.name[:-6]}-atime").exists():
                program.unlink(missing_ok=True)
    for other in folder.parent.glob("gzjax-jaxlib*"):
        with contextlib.suppress(FileNotFoundError):  # another process was faster
            if other.stat().st_mtime < time.time() - _UNUSED_SEC:
                shutil.rmtree(other, ignore_errors=True)


def _report_once(folder: Path) -> None:
    """Replaces JAX's warnings, one for each program, by one sentence."""
    show, said = warnings.showwarning, []

    def report(message, *where, **more):
        about, _, why = str(message).partition("': ")
        if "persistent compilation cache entry" not in about:
            show(message, *where, **more)
        elif "decompress" in why:  # damaged; JAX does not replace what is there
            for program in folder.glob("*-cache"):
                program.unlink(missing_ok=True)
        elif not said:
            said.append(why)
            _say_unusable(folder, why)

    warnings.showwarning = report


def _say_unusable(folder: Path, why: str) -> None:
    say(
        f"note: {folder} cannot keep compiled programs ({why}); GZJAX_CACHE=DIR keeps "
        "them elsewhere, GZJAX_CACHE=off nowhere"
    )
