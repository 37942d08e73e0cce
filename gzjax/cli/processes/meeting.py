"""Processes meet through JAX's coordination service, which process 0 runs.

The service also watches them. What it finds wrong, it prints, and aborts the process
(exit code 134):

* at once, if two processes have the same id or process 0 does not expect an id;
* at once, if process 0 is lost, and within ``HEARTBEAT_SEC`` if another one is. What
  the processes compute together may fail before that (exit code 1).

A process that does not come, a port in use and counts that differ are reported here.
The service listens on all interfaces of its host, unless the coordinator's address is
127.x.x.x, and trusts whoever connects: keep the port closed to strangers.
"""

import os
import socket
import sys
import threading

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from gzjax.cli.processes.place import Place, split_address
from gzjax.errors import UserError

HEARTBEAT_SEC = 60


def meet(place: Place, timeout_sec: float) -> None:
    """Joins the other processes, or ends this one if they do not come in time."""
    if place.process_id == 0:
        _check_port(place.coordinator)
    # JAX itself would abort this process with a C++ trace, 10 s later.
    deadline = threading.Timer(timeout_sec, _give_up, (place, timeout_sec))
    deadline.daemon = True
    deadline.start()
    # Elsewhere process 0 may have other addresses than the one that the others use.
    is_local = place.coordinator.startswith("127.")
    try:
        jax.distributed.initialize(
            place.coordinator,
            place.num_processes,
            place.process_id,
            place.local_devices,
            # JAX would give each task of SLURM one device, which need not be there.
            cluster_detection_method="deactivate",
            initialization_timeout=int(timeout_sec) + 10,
            heartbeat_timeout_seconds=HEARTBEAT_SEC,
            coordinator_bind_address=place.coordinator if is_local else None,
        )
    except RuntimeError as error:
        raise UserError(f"the processes cannot be joined: {error}") from error
    finally:
        deadline.cancel()


def check_counts(num_processes: int) -> None:
    """Raises a UserError in all processes if they were given different counts.

    JAX takes the count of process 0 for that of all, and begins.
    """
    devices = jax.devices()
    mesh = Mesh(devices, "device")
    own = np.full(len(devices), num_processes, np.int32)
    told = jax.make_array_from_callback(
        own.shape, NamedSharding(mesh, PartitionSpec("device")), own.__getitem__
    )
    everywhere = NamedSharding(mesh, PartitionSpec())
    counts = jax.jit(lambda x: x, out_shardings=everywhere)(told)
    # All devices have to be done: one that still connects hangs if the process leaves.
    counts = np.asarray(jax.block_until_ready(counts).addressable_data(0)).tolist()
    if len(set(counts)) > 1:
        pairs = zip(devices, counts, strict=True)
        given = {device.process_index: count for device, count in pairs}
        raise UserError(
            "the processes were given different --num_processes ("
            + ", ".join(f"process {i}: {count}" for i, count in given.items())
            + ")\nWhat to do: give all the same"
        )


def _check_port(coordinator: str) -> None:
    """Raises a UserError if the port is in use, at which JAX can crash."""
    _, port = split_address(coordinator)
    dual = socket.has_dualstack_ipv6()
    with socket.socket(socket.AF_INET6 if dual else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError as error:
            raise UserError(
                f"process 0 cannot listen on port {port} ({error.strerror})\n"
                "What to do: give all processes another --coordinator=HOST:PORT"
            ) from error


def _give_up(place: Place, timeout_sec: float) -> None:
    print(
        f"gzjax: process {place.process_id} waited {timeout_sec:g} s for "
        f"{place.num_processes} processes to meet at {place.coordinator}\n"
        f"What to do: start {place.num_processes} processes, all with this "
        "--num_processes, each with its own --process_id from 0 on. Check that "
        "process 0 runs on that host and that no firewall is between. "
        "GZJAX_INIT_TIMEOUT_SEC waits longer",
        file=sys.stderr,
        flush=True,
    )
    os._exit(2)
