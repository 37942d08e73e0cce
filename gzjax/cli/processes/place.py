"""Which process of how many this is: by flags, our variables, or the launcher's."""

import re
from collections.abc import Mapping
from typing import NamedTuple

from gzjax.cli.processes.slurm import count_gpus, find_step, task_devices
from gzjax.errors import UserError

_WANTED = ("coordinator", "num_processes", "process_id")
_TIMEOUT, _DEFAULT_TIMEOUT_SEC = "GZJAX_INIT_TIMEOUT_SEC", 60.0


class Place(NamedTuple):
    """One process of a run.

    Attributes:
        decided_by: for people: flags, variables, SLURM, Kubernetes.
        num_processes: at least 1.
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
    """Returns what flags say, else ``GZJAX_*`` variables, else SLURM or Kubernetes.

    Args:
        flags: ``coordinator``, ``num_processes``, ``process_id`` and ``local_devices``,
            "" where one was not given.
        environment: an indexed job of Kubernetes sets the id only
            (``JOB_COMPLETION_INDEX``), and counts only beside our variables.

    Raises:
        UserError: invalid values, or some of them without the others.
    """
    variables = {key: f"GZJAX_{key.upper()}" for key in (*_WANTED, "local_devices")}
    said = {key: environment.get(name, "") for key, name in variables.items()}
    given = {key: flags.get(key) or said[key] for key in said}
    names = {key: f"--{key}" if flags.get(key) else variables[key] for key in said}
    devices = _parse_devices(given["local_devices"], names["local_devices"])
    deciders = ["flags"] if any(flags.values()) else []
    deciders += ["variables"] if any(said[k] and not flags.get(k) for k in said) else []

    is_alone = given["num_processes"] == "1" and given["process_id"] in ("", "0")
    if not is_alone and not all(given[key] for key in _WANTED):
        step, index = find_step(environment), environment.get("JOB_COMPLETION_INDEX")
        if step:
            deciders.append("SLURM")
            found = dict(zip(_WANTED, map(str, step), strict=True))
            given |= {key: given[key] or value for key, value in found.items()}
            # Its share of GPUs is meant for the place that SLURM gave it.
            if devices is None and all(given[k] == found[k] for k in _WANTED[1:]):
                devices = task_devices(environment)
        elif index and given["num_processes"] and not given["process_id"]:
            deciders.append("Kubernetes")
            given["process_id"], names["process_id"] = index, "JOB_COMPLETION_INDEX"

    _check_visible(devices, environment)
    decided_by = " and ".join(deciders)
    missing = [key for key in _WANTED if not given[key]]
    if is_alone or len(missing) == len(_WANTED):
        return Place(decided_by, 1, 0, "", devices)
    if missing:
        there = ", ".join(f"{names[k]}={given[k]}" for k in _WANTED if given[k])
        absent = ", ".join(f"--{k} or {variables[k]}" for k in missing)
        raise UserError(
            f"{there} alone does not say which process of how many this is\n"
            f"What to do: give {absent} too"
        )
    return _checked(given, names, decided_by, devices)


def init_timeout_sec(environment: Mapping[str, str]) -> float:
    """Returns how long processes wait for each other at the start."""
    text = environment.get(_TIMEOUT, "") or str(_DEFAULT_TIMEOUT_SEC)
    if not re.fullmatch(r"\d{1,6}(\.\d+)?", text) or float(text) < 1:
        raise UserError(f"{_TIMEOUT} is {text!r}: give seconds, at least 1")
    return float(text)


def split_address(address: str, name: str = "the coordinator") -> tuple[str, int]:
    """Returns host and port of ``HOST:PORT``, ``[::1]:PORT`` too."""
    match = re.fullmatch(r"(\[[0-9a-fA-F:.%\w]+\]|[^:\s\[\]]+):(\d{1,5})", address)
    if not match or not 0 < int(match[2]) < 1 << 16:
        raise UserError(f"{name} is {address!r}: give HOST:PORT, as node1:29500")
    return match[1].strip("[]"), int(match[2])


def _checked(given, names, decided_by, devices):
    split_address(given["coordinator"], names["coordinator"])
    for key in _WANTED[1:]:
        if not re.fullmatch(r"\d{1,6}", given[key]):
            raise UserError(f"{names[key]} is {given[key]!r}: give a whole number")
    count, process_id = int(given["num_processes"]), int(given["process_id"])
    if process_id >= count:
        raise UserError(
            f"{names['process_id']} is {process_id}, but there are {count} processes "
            f"({names['num_processes']}): they count from 0 to {count - 1}"
        )
    return Place(decided_by, count, process_id, given["coordinator"], devices)


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
