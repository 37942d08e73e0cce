"""Tasks of SLURM: which they are, where the first one runs, which GPUs are theirs."""

import pytest

from gzjax.cli.processes.slurm import (
    count_gpus,
    find_step,
    first_host,
    task_devices,
)
from gzjax.errors import UserError

STEP = {
    "SLURM_JOB_ID": "123456",
    "SLURM_STEP_ID": "0",
    "SLURM_STEP_NUM_TASKS": "8",
    "SLURM_STEP_NODELIST": "gpu[07-08]",
    "SLURM_STEP_TASKS_PER_NODE": "4(x2)",
    "SLURM_NODEID": "1",
    "SLURM_PROCID": "6",
    "SLURM_LOCALID": "2",
}


@pytest.mark.parametrize(
    ("names", "host"),
    [
        ("node1", "node1"),
        ("node1,login", "node1"),
        ("node[01-03,7],login", "node01"),
        ("n[098-101]-ib", "n098-ib"),
        ("r[1-2]c[0-1]", "r1c0"),
        ("a.b.org,c[3]", "a.b.org"),
    ],
)
def test_the_first_host_of_a_list(names, host):
    assert first_host(names) == host


@pytest.mark.parametrize("names", ["", ",a", "n[1-x]", "n[]", "n[0-9", "n]"])
def test_a_list_without_a_first_host_is_refused(names):
    with pytest.raises(UserError, match="which names no first host"):
        first_host(names)


def test_a_task_knows_its_step():
    assert find_step(STEP) == ("gpu07:62016", 8, 6)


def test_steps_of_one_job_have_ports_of_their_own():
    ports = {find_step(STEP | {"SLURM_STEP_ID": str(step)})[0] for step in range(9)}
    assert len(ports) == 9
    assert all(1 << 15 < int(port.partition(":")[2]) < 1 << 16 for port in ports)


def test_without_srun_or_with_one_task_there_is_no_step():
    batch_line = {k: v for k, v in STEP.items() if "STEP" not in k}
    assert find_step(batch_line) is None
    assert find_step(STEP | {"SLURM_STEP_NUM_TASKS": "1"}) is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"SLURM_STEP_NODELIST": ""}, "SLURM_STEP_NODELIST is ''"),
        ({"SLURM_PROCID": ""}, "SLURM_PROCID is '', not a whole number"),
        ({"SLURM_STEP_NUM_TASKS": "x"}, "SLURM_STEP_NUM_TASKS is 'x'"),
    ],
)
def test_variables_that_cannot_be_are_named(change, message):
    with pytest.raises(UserError, match=message):
        find_step(STEP | change)


@pytest.mark.parametrize(
    ("change", "devices"),
    [
        # All four tasks see the same GPUs.
        ({"CUDA_VISIBLE_DEVICES": "0,1,2,3"}, (2,)),
        ({"CUDA_VISIBLE_DEVICES": "0,1,2,3,4,5,6,7"}, (4, 5)),
        ({"CUDA_VISIBLE_DEVICES": "GPU-a,GPU-b,GPU-c,GPU-d"}, (2,)),
        (
            {"CUDA_VISIBLE_DEVICES": "0,1,2,3", "SLURM_GPUS_ON_NODE": "4"},
            (2,),
        ),
        (
            {"CUDA_VISIBLE_DEVICES": "0,1,2,3", "SLURM_GPUS_PER_TASK": "1"},
            (2,),
        ),
        # Each sees its own: jax#28194 asked for GPU 2 of one.
        ({"CUDA_VISIBLE_DEVICES": "2"}, None),
        ({"CUDA_VISIBLE_DEVICES": "0,1", "SLURM_GPUS_PER_TASK": "a100:2"}, None),
        ({"CUDA_VISIBLE_DEVICES": "0,1", "SLURM_GPUS_ON_NODE": "8"}, None),
        # One task per node takes all: jax#16788 took one.
        (
            {"CUDA_VISIBLE_DEVICES": "0,1,2,3", "SLURM_STEP_TASKS_PER_NODE": "1(x8)"},
            None,
        ),
        # The second node has one task only.
        ({"CUDA_VISIBLE_DEVICES": "0,1", "SLURM_STEP_TASKS_PER_NODE": "7,1"}, None),
        ({"CUDA_VISIBLE_DEVICES": "NoDevFiles"}, None),
        ({"CUDA_VISIBLE_DEVICES": "0,1", "JAX_PLATFORMS": "cpu"}, None),
    ],
)
def test_a_task_takes_its_share_of_the_gpus(change, devices):
    assert task_devices(STEP | change) == devices


def test_tasks_of_a_node_take_every_gpu_once():
    visible = {"CUDA_VISIBLE_DEVICES": "0,1,2,3,4,5,6,7"}
    taken = [
        task_devices(STEP | visible | {"SLURM_LOCALID": str(task)}) for task in range(4)
    ]
    assert sum(taken, ()) == tuple(range(8))


def test_gpus_that_cannot_be_shared_equally_are_refused():
    with pytest.raises(UserError, match="4 tasks of this node see 6 GPUs"):
        task_devices(STEP | {"CUDA_VISIBLE_DEVICES": "0,1,2,3,4,5"})


def test_gpus_are_counted_by_the_variable():
    assert count_gpus({"CUDA_VISIBLE_DEVICES": ""}) == 0
    assert count_gpus({"CUDA_VISIBLE_DEVICES": "-1"}) == 0
    assert count_gpus({"CUDA_VISIBLE_DEVICES": "3,MIG-1/2/3"}) == 2
    assert count_gpus({"CUDA_VISIBLE_DEVICES": "3", "JAX_PLATFORMS": "cuda,cpu"}) == 1
