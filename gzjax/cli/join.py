"""One start-up for every way to run: a process alone, or one of several anywhere.

JAX is imported where it is needed: a process alone has yet to check its arguments.
"""

import contextlib
import glob
import importlib.util
import os
import sys
import time
import traceback
from collections.abc import Iterator, Mapping

from gzjax.cli.processes.place import Place, find_place, init_timeout_sec
from gzjax.errors import UserError, plain
from gzjax.progress import console, say

# What fails in all processes, each reports before process 0 takes the others down.
_GRACE_SEC = 3.0


def initialize_distributed(
    coordinator: str = "",
    num_processes: str | int = "",
    process_id: str | int = "",
    local_devices: str = "",
    environment: Mapping[str, str] = os.environ,
) -> Place | None:
    """Starts JAX's distributed runtime if this is one of several processes.

    Call it before anything touches the devices. What is not given here is taken from
    ``GZJAX_COORDINATOR``, ``_NUM_PROCESSES``, ``_PROCESS_ID`` and ``_LOCAL_DEVICES``,
    else from SLURM (under ``srun``), an indexed job of Kubernetes or a TPU pod; without
    any of it this is a single process, for which nothing is started. Processes wait for
    each other for ``GZJAX_INIT_TIMEOUT_SEC``, 60 by default, and leave with exit code 2
    if some do not come. :mod:`gzjax.cli.processes.meeting` says what ends them later.

    Args:
        coordinator: HOST:PORT where process 0 listens, and the others reach it.
        num_processes: 1 means this one alone, whatever the environment says.
        process_id: from 0.
        local_devices: GPUs by number, as in "0,1". By default all, or this process's
            share if SLURM's tasks see the same ones.

    Returns:
        The place of this process, or None for a single process, for a runtime that was
        started before, and on TPUs, whose processes JAX finds by itself.

    Raises:
        UserError: invalid values, a port in use, or what JAX itself refuses.
    """
    flags = {
        "coordinator": coordinator,
        "num_processes": str(num_processes),
        "process_id": str(process_id),
        "local_devices": local_devices,
    }
    place, timeout_sec = find_place(flags, environment), init_timeout_sec(environment)
    if place.num_processes > 1:
        import jax

        if jax.distributed.is_initialized():
            return None
        from gzjax.cli.processes.meeting import meet

        devices = place.local_devices
        say(
            f"process {place.process_id} of {place.num_processes} (by "
            f"{place.decided_by}) joins the others at {place.coordinator}, with "
            + ("all devices" if devices is None else f"devices {devices}")
        )
        console.quiet = place.process_id > 0  # one process speaks for all
        meet(place, timeout_sec)
        return place
    if place.local_devices is not None:
        import jax

        for kind in ("cuda", "rocm"):
            visible = ",".join(map(str, place.local_devices))
            jax.config.update(f"jax_{kind}_visible_devices", visible)
    if not place.decided_by and _is_tpu_host(environment):
        _initialize_tpu(timeout_sec)
    return None


@contextlib.contextmanager
def joined(**options) -> Iterator[None]:
    """Runs a block in one process or in several, which end together.

    An error in one of several ends this process at once: leaving in the usual way would
    wait for the others, which may wait for this one.

    Args:
        options: see :func:`initialize_distributed`.
    """
    place = initialize_distributed(**options)
    if place is None:
        yield
        return
    import jax

    from gzjax.cli.processes.meeting import check_counts

    try:
        check_counts(place.num_processes)
        yield
    except SystemExit:  # asked to stop: all of them, after the same step
        jax.distributed.shutdown()
        raise
    except BaseException as error:
        reason, code = _describe(error)
        sys.stdout.flush()
        who = f"process {place.process_id}"
        print(f"gzjax: {who}: {reason}", file=sys.stderr, flush=True)
        if place.process_id == 0:
            time.sleep(_GRACE_SEC)
        os._exit(code)
    jax.distributed.shutdown()  # waits for all


def _describe(error: BaseException) -> tuple[str, int]:
    """Returns what to print, and the exit code."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted", 128 + 2
    if isinstance(error, UserError | OSError):
        return plain(str(error)), 2
    import jax

    if not isinstance(error, jax.errors.JaxRuntimeError):
        traceback.print_exception(error)
    hint = "If another process was lost, this may follow from it: run the same command "
    hint += "again, for all processes, to resume"
    return f"{type(error).__name__}: {plain(str(error))}\n{hint}", 1


def _is_tpu_host(environment):
    platforms = environment.get("JAX_PLATFORMS", "")
    if (platforms and "tpu" not in platforms) or not importlib.util.find_spec("libtpu"):
        return False
    return bool(glob.glob("/dev/accel[0-9]*") or glob.glob("/dev/vfio/[0-9]*"))


def _initialize_tpu(timeout_sec):
    import jax

    try:
        if not jax.distributed.is_initialized():
            jax.distributed.initialize(initialization_timeout=int(timeout_sec) + 1)
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        raise UserError(
            f"this host has TPUs, but JAX does not find the hosts of its pod: {error}\n"
            "What to do: --num_processes=1 for this host alone, or give --coordinator, "
            "--num_processes and --process_id"
        ) from error
    console.quiet = jax.process_index() > 0
    say(
        f"process {jax.process_index()} of {jax.process_count()} (by the TPU pod), "
        f"{jax.local_device_count()} of {jax.device_count()} devices"
    )
