"""What SLURM tells a task: which one it is, where the first one runs, its GPUs."""

import glob
import re
from collections.abc import Mapping

from gzjax.errors import UserError

# Above the ports that Linux gives to those who ask for any.
_FIRST_PORT, _NUM_PORTS = 61_440, 4096


def find_step(environment: Mapping[str, str]) -> tuple[str, int, int] | None:
    """Returns which task of a step this is, or None if it is not one of several.

    A line of a batch script without ``srun`` belongs to no step.

    Returns:
        HOST:PORT of the first task, the number of tasks, and that of this one.

    Raises:
        UserError: the variables contradict each other.
    """
    num_tasks = _number(environment, "SLURM_STEP_NUM_TASKS", 1)
    if "SLURM_STEP_ID" not in environment or num_tasks < 2:
        return None
    host = first_host(environment.get("SLURM_STEP_NODELIST", ""))
    job = _number(environment, "SLURM_JOB_ID", 0)
    # Steps of one job may run side by side on its first host.
    step = _number(environment, "SLURM_STEP_ID", 0)
    port = _FIRST_PORT + (job + 101 * step) % _NUM_PORTS
    return f"{host}:{port}", num_tasks, _number(environment, "SLURM_PROCID")


def first_host(names: str) -> str:
    """Returns the first host of a list as SLURM writes it: ``node[01-03,7],login``.

    Raises:
        UserError: the list is empty or has another form.
    """
    item = re.match(r"(?:[^,\[\]]|\[[^\[\]]*\])*", names)[0]
    host = re.sub(r"\[(\d+)[-,\d]*\]", r"\1", item)
    if not host or "[" in host or names[len(item) :][:1] not in ("", ","):
        raise UserError(
            f"SLURM_STEP_NODELIST is {names[:80]!r}, which names no first host\n"
            "What to do: give --coordinator=HOST:PORT"
        )
    return host


def task_devices(environment: Mapping[str, str]) -> tuple[int, ...] | None:
    """Returns which of the GPUs that a task sees are its own; None means all.

    Tasks of a node that see the same ones share them out in order; one that sees its
    own only (``--gpus-per-task``, ``--gpu-bind``) takes them all.

    Raises:
        UserError: the tasks of the node cannot share the GPUs equally.
    """
    visible, num_tasks = count_gpus(environment), _tasks_of_node(environment)
    if visible < 2 or num_tasks < 2 or _are_own(environment, visible):
        return None
    if visible % num_tasks:
        raise UserError(
            f"the {num_tasks} tasks of this node see {visible} GPUs, which they cannot "
            "share equally\nWhat to do: start as many tasks per node as GPUs "
            "(--ntasks-per-node) or a divisor of it, or give each --local_devices"
        )
    each = visible // num_tasks
    first = _number(environment, "SLURM_LOCALID") * each
    return tuple(range(first, first + each))


def count_gpus(environment: Mapping[str, str]) -> int:
    """Counts the NVIDIA GPUs that a process sees, without touching any."""
    platforms = environment.get("JAX_PLATFORMS", "")
    if platforms and not re.search("cuda|gpu", platforms):
        return 0
    if "CUDA_VISIBLE_DEVICES" not in environment:
        return len(glob.glob("/dev/nvidia[0-9]*"))
    names = environment["CUDA_VISIBLE_DEVICES"].split(",")
    return len([n for n in names if re.match(r"\s*(\d+\s*$|GPU-|MIG-)", n)])


def _are_own(environment, visible):
    """Returns whether no other task of the node sees these GPUs."""
    per_task = re.search(r"(\d+)$", environment.get("SLURM_GPUS_PER_TASK", ""))
    if per_task:
        return visible == int(per_task[1])
    return visible < _number(environment, "SLURM_GPUS_ON_NODE", visible)


def _tasks_of_node(environment):
    """Reads ``SLURM_STEP_TASKS_PER_NODE``: ``4(x2),3`` is nodes 0 and 1, then 2."""
    left = _number(environment, "SLURM_NODEID", 0)
    text = environment.get("SLURM_STEP_TASKS_PER_NODE", "")
    for count, times in re.findall(r"(\d+)(?:\(x(\d+)\))?", text):
        left -= int(times or 1)
        if left < 0:
            return int(count)
    return 1


def _number(environment, name, default=None):
    text = environment.get(name, "")
    if re.fullmatch(r"\d{1,18}", text):
        return int(text)
    if default is None or text:
        raise UserError(f"SLURM's variable {name} is {text!r}, not a whole number")
    return default
