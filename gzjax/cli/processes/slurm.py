"""What SLURM tells a task: which one it is, where the first one runs, its GPUs."""

import glob
import re
from collections.abc import Mapping
from typing import NamedTuple

from gzjax.errors import UserError

# Above the ports that Linux gives to those who ask for any.
_FIRST_PORT, _NUM_PORTS = 61_440, 4096
_MAX_HOSTS = 100_000


class Step(NamedTuple):
    """A task of a job step; ``coordinator`` is HOST:PORT of its first task."""

    coordinator: str
    num_tasks: int
    task: int


def find_step(environment: Mapping[str, str]) -> Step | None:
    """The step of several tasks that this process belongs to.

    None: there is none. A line of a batch script without ``srun`` is none.

    Raises:
        UserError: the variables contradict each other.
    """
    num_tasks = _number(environment, "SLURM_STEP_NUM_TASKS", 1)
    if "SLURM_STEP_ID" not in environment or num_tasks < 2:
        return None
    hosts = expand_hosts(environment.get("SLURM_STEP_NODELIST", ""))
    if not hosts:
        raise UserError(
            "SLURM_STEP_NODELIST names no host, though there is a step of "
            f"{num_tasks} tasks: give --coordinator=HOST:PORT"
        )
    job = _number(environment, "SLURM_JOB_ID", 0)
    # Steps of one job may run side by side on its first host.
    step = _number(environment, "SLURM_STEP_ID", 0)
    port = _FIRST_PORT + (job + 101 * step) % _NUM_PORTS
    return Step(f"{hosts[0]}:{port}", num_tasks, _number(environment, "SLURM_PROCID"))


def task_devices(environment: Mapping[str, str]) -> tuple[int, ...] | None:
    """Which of the GPUs that a task sees are its own.

    Tasks of a node that see the same ones share them out in order; one that sees its
    own only (``--gpus-per-task``, ``--gpu-bind``) takes them all.

    Args:
        environment: of the task of a step.

    Returns:
        Positions among the visible ones; None: all, or there are none.

    Raises:
        UserError: the tasks of the node cannot share the GPUs equally.
    """
    visible, num_tasks = count_gpus(environment), _tasks_of_node(environment)
    if visible < 2 or num_tasks < 2 or _are_own(environment, visible, num_tasks):
        return None
    if visible % num_tasks:
        raise UserError(
            f"the {num_tasks} tasks of this node see {visible} GPUs, which they cannot "
            "share equally\nWhat to do: as many tasks per node as GPUs "
            "(--ntasks-per-node), a divisor of it, or --local_devices for each"
        )
    each = visible // num_tasks
    first = _number(environment, "SLURM_LOCALID") * each
    return tuple(range(first, first + each))


def count_gpus(environment: Mapping[str, str]) -> int:
    """How many NVIDIA GPUs a process sees, without touching any."""
    platforms = environment.get("JAX_PLATFORMS", "")
    if platforms and not re.search("cuda|gpu", platforms):
        return 0
    if "CUDA_VISIBLE_DEVICES" not in environment:
        return len(glob.glob("/dev/nvidia[0-9]*"))
    names = environment["CUDA_VISIBLE_DEVICES"].split(",")
    return len([n for n in names if re.match(r"\s*(\d+\s*$|GPU-|MIG-)", n)])


def expand_hosts(names: str) -> list[str]:
    """The hosts of a list as SLURM writes it: ``node[01-03,7],login``.

    Raises:
        UserError: it is no such list.
    """
    hosts = []
    for item in re.findall(r"(?:[^,\[\]]|\[[^\[\]]*\])+", names):
        found = [""]
        for text, ranges in re.findall(r"([^\[\]]+)|\[([^\[\]]*)\]", item):
            endings = [text] if text else _expand_ranges(ranges, names)
            found = [start + end for start in found for end in endings]
        hosts += found
        _check_number(len(hosts), names)
    return hosts


def _expand_ranges(ranges, names):
    numbers = []
    for part in ranges.split(","):
        match = re.fullmatch(r"(\d+)(?:-(\d+))?", part)
        if not match:
            raise UserError(f"the host list {names!r} cannot be read at {part!r}")
        first, last = match[1], match[2] or match[1]
        _check_number(int(last) - int(first), names)
        numbers += [f"{n:0{len(first)}}" for n in range(int(first), int(last) + 1)]
    return numbers


def _check_number(count, names):
    if count > _MAX_HOSTS:
        raise UserError(f"the host list {names[:80]!r} names too many hosts")


def _are_own(environment, visible, num_tasks):
    """Whether no other task of the node sees these GPUs."""
    per_task = re.search(r"(\d+)$", environment.get("SLURM_GPUS_PER_TASK", ""))
    if per_task:
        return visible == int(per_task[1])
    return visible < _number(environment, "SLURM_GPUS_ON_NODE", visible)


def _tasks_of_node(environment):
    """``SLURM_STEP_TASKS_PER_NODE`` is like ``4(x2),3``: of nodes 0 and 1, of 2."""
    node, counts = _number(environment, "SLURM_NODEID", 0), []
    text = environment.get("SLURM_STEP_TASKS_PER_NODE", "")
    for count, times in re.findall(r"(\d+)(?:\(x(\d+)\))?", text):
        counts += [int(count)] * min(int(times or 1), _MAX_HOSTS)
    return counts[node] if node < len(counts) else 1


def _number(environment, name, default=None):
    text = environment.get(name, "")
    if re.fullmatch(r"\d{1,18}", text):
        return int(text)
    if default is None or text:
        raise UserError(f"SLURM's variable {name} is {text!r}, not a whole number")
    return default
