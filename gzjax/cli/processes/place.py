"""Which process of how many this is: by flags, our variables, or the launcher's."""

import re
from collections.abc import Mapping
from typing import NamedTuple

from gzjax.cli.processes.slurm import count_gpus, find_step, task_devices
from gzjax.errors import UserError

_VARIABLES = {
    "coordinator": "GZJAX_COORDINATOR",
    "num_processes": "GZJAX_NUM_PROCESSES",
    "process_id": "GZJAX_PROCESS_ID",
    "local_devices": "GZJAX_LOCAL_DEVICES",
}
_TIMEOUT, _DEFAULT_TIMEOUT_SEC = "GZJAX_INIT_TIMEOUT_SEC", 60.0


class Place(NamedTuple):
    """One process of a run.

    Attributes:
        decided_by: for people: flags, variables, SLURM, Kubernetes.
        num_processes: of the run, at least 1.
        process_id: from 0.
        coordinator: HOST:PORT where process 0 listens; "" for a single process.
        local_devices: ascending positions among the devices that it sees; None: all.
    """

    decided_by: str
    num_processes: int
    process_id: int
    coordinator: str
    local_devices: tuple[int, ...] | None


def find_place(flags: Mapping[str, str], environment: Mapping[str, str]) -> Place:
    """What flags say, else ``GZJAX_*`` variables, else SLURM or Kubernetes.

    Args:
        flags: ``coordinator``, ``num_processes``, ``process_id`` and ``local_devices``
            as they were given; "" where one was not.
        environment: the process's. An indexed job of Kubernetes tells the id only
            (``JOB_COMPLETION_INDEX``), and counts only beside our variables.

    Raises:
        UserError: values that cannot be, or some of them without the others.
    """
    said = {key: environment.get(name, "") for key, name in _VARIABLES.items()}
    given = {key: flags.get(key) or said[key] for key in _VARIABLES}
    names = {key: f"--{key}" if flags.get(key) else _VARIABLES[key] for key in given}
    devices = _parse_devices(given["local_devices"], names["local_devices"])
    deciders = ["flags"] if any(flags.values()) else []
    deciders += ["variables"] if any(said[k] and not flags.get(k) for k in said) else []
    if given["num_processes"] == "1" and given["process_id"] in ("", "0"):
        _check_visible(devices, environment)
        return Place(_join(deciders), 1, 0, "", devices)

    wanted = ("coordinator", "num_processes", "process_id")
    step, index = None, environment.get("JOB_COMPLETION_INDEX", "")
    if not all(given[key] for key in wanted):
        step = find_step(environment)
    if step:
        deciders.append("SLURM")
        found = dict(zip(wanted, map(str, step), strict=True))
        given |= {key: given[key] or value for key, value in found.items()}
        if devices is None and not _names_a_place(given, found):
            devices = task_devices(environment)
    elif index and given["num_processes"] and not given["process_id"]:
        deciders.append("Kubernetes")
        given["process_id"], names["process_id"] = index, "JOB_COMPLETION_INDEX"

    missing = [key for key in wanted if not given[key]]
    if len(missing) == len(wanted):
        _check_visible(devices, environment)
        return Place(_join(deciders), 1, 0, "", devices)
    if missing:
        there = ", ".join(f"{names[k]}={given[k]}" for k in wanted if given[k])
        absent = ", ".join(f"--{k} or {_VARIABLES[k]}" for k in missing)
        raise UserError(
            f"{there} alone does not say which process of how many this is\n"
            f"What to do: give {absent} too"
        )
    _check_visible(devices, environment)
    return _checked(given, names, _join(deciders), devices)


def init_timeout_sec(environment: Mapping[str, str]) -> float:
    """How long processes wait for each other at the start."""
    text = environment.get(_TIMEOUT, "") or str(_DEFAULT_TIMEOUT_SEC)
    if not re.fullmatch(r"\d{1,6}(\.\d+)?", text) or float(text) < 1:
        raise UserError(f"{_TIMEOUT} is {text!r}: give seconds, at least 1")
    return float(text)


def split_address(address: str, name: str = "the coordinator") -> tuple[str, int]:
    """Host and port of ``HOST:PORT``, ``[::1]:PORT`` too."""
    match = re.fullmatch(r"(\[[0-9a-fA-F:.%\w]+\]|[^:\s\[\]]+):(\d{1,5})", address)
    if not match or not 0 < int(match[2]) < 1 << 16:
        raise UserError(f"{name} is {address!r}: give HOST:PORT, as node1:29500")
    return match[1].strip("[]"), int(match[2])


def _checked(given, names, decided_by, devices):
    split_address(given["coordinator"], names["coordinator"])
    count = _whole(given["num_processes"], names["num_processes"])
    process_id = _whole(given["process_id"], names["process_id"])
    if process_id >= count:
        raise UserError(
            f"{names['process_id']} is {process_id}, but there are {count} processes "
            f"({names['num_processes']}): they count from 0 to {count - 1}"
        )
    return Place(decided_by, count, process_id, given["coordinator"], devices)


def _whole(text, name):
    if not re.fullmatch(r"\d{1,6}", text):
        raise UserError(f"{name} is {text!r}: give a whole number")
    return int(text)


def _parse_devices(text, name):
    if not text:
        return None
    if not re.fullmatch(r"\d{1,4}(,\d{1,4})*", text):
        raise UserError(f"{name} is {text!r}: give numbers with commas, as 0,1")
    devices = sorted(map(int, text.split(",")))
    if len(set(devices)) < len(devices):
        raise UserError(f"{name} is {text!r}: give each device once")
    return tuple(devices)


def _check_visible(devices, environment):
    count = count_gpus(environment)
    if devices and count and devices[-1] >= count:
        raise UserError(
            f"device {devices[-1]} was asked for, but this process sees {count} GPUs, "
            f"which count from 0 to {count - 1} (CUDA_VISIBLE_DEVICES)"
        )


def _names_a_place(given, found):
    """Whether somebody else than SLURM said which process this is."""
    return any(given[key] != found[key] for key in ("num_processes", "process_id"))


def _join(deciders):
    return " and ".join(deciders)
