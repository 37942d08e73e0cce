"""One start-up for every way to run: a process alone, or one of several anywhere."""

import contextlib
import glob
import importlib.util
import os
import sys
import traceback
from collections.abc import Iterator, Mapping

import jax

from gzjax.cli.processes.peer_watch import PeerWatch
from gzjax.cli.processes.place import Place, find_place, init_timeout_sec
from gzjax.cli.processes.roll_call import call_roll
from gzjax.errors import UserError, plain
from gzjax.progress import console, say

_OF_PEOPLE = (UserError, OSError, KeyboardInterrupt)


def initialize_distributed(
    coordinator: str = "",
    num_processes: str | int = "",
    process_id: str | int = "",
    local_devices: str = "",
    environment: Mapping[str, str] = os.environ,
) -> PeerWatch | None:
    """Starts JAX's distributed runtime where this is one of several processes.

    Call it before anything touches the devices. What is not given here is taken from
    ``GZJAX_COORDINATOR``, ``_NUM_PROCESSES``, ``_PROCESS_ID`` and ``_LOCAL_DEVICES``,
    else from what SLURM (under ``srun``), an indexed job of Kubernetes or a TPU pod
    says; without any of it this is a single process, for which nothing is started.
    Processes wait for each other for ``GZJAX_INIT_TIMEOUT_SEC``, 60 by default.

    Args:
        coordinator: HOST:PORT where process 0 listens, and the others reach it.
        num_processes: of the run; 1: this one alone, whatever the environment says.
        process_id: of this one, from 0.
        local_devices: numbers with commas among the GPUs that this process sees; "":
            all, or its share where tasks of SLURM see the same ones.
        environment: the variables.

    Returns:
        What notices that others are lost; None for a single process, where the runtime
        is running already, and on TPUs, where JAX finds and watches all by itself.

    Raises:
        UserError: values that cannot be, or processes that do not come or disagree.
    """
    if jax.distributed.is_initialized():
        return None
    flags = {
        "coordinator": coordinator,
        "num_processes": str(num_processes),
        "process_id": str(process_id),
        "local_devices": local_devices,
    }
    place, timeout_sec = find_place(flags, environment), init_timeout_sec(environment)
    if place.num_processes == 1:
        if place.local_devices is not None:
            _restrict_devices(place.local_devices)
        if not place.decided_by and _is_tpu_host(environment):
            _initialize_tpu(timeout_sec)
        return None
    console.quiet = place.process_id > 0  # one process speaks for all
    peers = call_roll(place, timeout_sec)
    _say_found(place, {peer.name.partition(",")[0] for peer in peers})
    watch = PeerWatch(place, peers)
    try:
        jax.distributed.initialize(
            place.coordinator,
            place.num_processes,
            place.process_id,
            place.local_devices,
            # JAX would give each task of SLURM one device, which need not be there.
            cluster_detection_method="deactivate",
            initialization_timeout=int(timeout_sec) + 1,
        )
    except RuntimeError as error:
        raise UserError(f"the processes cannot be joined: {error}") from error
    return watch


@contextlib.contextmanager
def joined(**options) -> Iterator[None]:
    """A command of one process or several, which end together.

    An error in one of several ends it here, after the others were told: it could not
    leave by itself, since JAX waits for all.

    Args:
        options: see :func:`initialize_distributed`.
    """
    watch = initialize_distributed(**options)
    if watch is None:
        yield
        return
    try:
        yield
    except SystemExit:  # asked to stop: all of them, after the same step
        _leave(watch)
        raise
    except BaseException as error:
        # What fails in all processes, each says itself; of the rest much only follows
        # from the failure of another, which tells the reason.
        watch.await_loss(1.0 if isinstance(error, _OF_PEOPLE) else 5.0)
        reason, code = _describe(error)
        sys.stdout.flush()
        who = f"process {watch.place.process_id}"
        print(f"gzjax: {who}: {reason}", file=sys.stderr, flush=True)
        watch.fail(reason)
        os._exit(code)
    _leave(watch)


def _leave(watch):
    jax.distributed.shutdown()  # waits for all
    watch.leave()


def _describe(error):
    """What to say, and the exit code."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted", 128 + 2
    if isinstance(error, _OF_PEOPLE):
        return plain(str(error)), 2
    traceback.print_exception(error)
    return f"{type(error).__name__}: {plain(str(error))}", 1


def _say_found(place: Place, other_hosts):
    devices = "all devices that it sees"
    if place.local_devices is not None:
        devices = f"devices {','.join(map(str, place.local_devices))}"
    say(
        f"process {place.process_id} of {place.num_processes} (by {place.decided_by}), "
        f"coordinator {place.coordinator}, takes {devices}; the others run on "
        f"{', '.join(sorted(other_hosts))}"
    )


def _restrict_devices(devices):
    for kind in ("cuda", "rocm"):
        jax.config.update(f"jax_{kind}_visible_devices", ",".join(map(str, devices)))


def _is_tpu_host(environment):
    platforms = environment.get("JAX_PLATFORMS", "")
    if (platforms and "tpu" not in platforms) or not importlib.util.find_spec("libtpu"):
        return False
    return bool(glob.glob("/dev/accel[0-9]*") or glob.glob("/dev/vfio/[0-9]*"))


def _initialize_tpu(timeout_sec):
    try:
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
