"""Flags win over our variables, and these over what launchers say."""

import pytest
from test_slurm import STEP

from gzjax.cli.processes.place import Place, find_place, init_timeout_sec, split_address
from gzjax.errors import UserError

CPU = {"JAX_PLATFORMS": "cpu"}
THREE = {"coordinator": "a:1", "num_processes": "4", "process_id": "3"}
VARIABLES = {
    "GZJAX_COORDINATOR": "b:2",
    "GZJAX_NUM_PROCESSES": "5",
    "GZJAX_PROCESS_ID": "4",
    "GZJAX_LOCAL_DEVICES": "3,2",
}
ALONE = Place("", 1, 0, "", None)


@pytest.mark.parametrize(
    ("flags", "environment", "place"),
    [
        ({}, {}, ALONE),
        (
            {"num_processes": "1"},
            VARIABLES | {"GZJAX_PROCESS_ID": ""},
            Place("flags and variables", 1, 0, "", (2, 3)),
        ),
        (THREE, {}, Place("flags", 4, 3, "a:1", None)),
        (THREE | {"local_devices": "0,1"}, STEP, Place("flags", 4, 3, "a:1", (0, 1))),
        ({}, VARIABLES, Place("variables", 5, 4, "b:2", (2, 3))),
        (THREE, VARIABLES, Place("flags and variables", 4, 3, "a:1", (2, 3))),
        ({}, STEP, Place("SLURM", 8, 6, "gpu07:62016", None)),
        (
            {},
            STEP | {"CUDA_VISIBLE_DEVICES": "0,1,2,3", "JAX_PLATFORMS": ""},
            Place("SLURM", 8, 6, "gpu07:62016", (2,)),
        ),
        ({"coordinator": "ib7:5"}, STEP, Place("flags and SLURM", 8, 6, "ib7:5", None)),
        ({}, VARIABLES | STEP, Place("variables", 5, 4, "b:2", (2, 3))),
        ({"num_processes": "1"}, STEP, Place("flags", 1, 0, "", None)),
        # Without srun, as a line of a batch script.
        ({}, {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "8"}, ALONE),
        ({}, {"JOB_COMPLETION_INDEX": "2"}, ALONE),
        (
            {},
            {
                "JOB_COMPLETION_INDEX": "2",
                "GZJAX_NUM_PROCESSES": "3",
                "GZJAX_COORDINATOR": "train-0.train:29500",
            },
            Place("variables and Kubernetes", 3, 2, "train-0.train:29500", None),
        ),
    ],
)
def test_who_decides(flags, environment, place):
    assert find_place(flags, CPU | environment) == place


@pytest.mark.parametrize(
    ("flags", "environment", "message"),
    [
        ({"num_processes": "2"}, {}, "--num_processes=2 alone does not say"),
        (
            {"coordinator": "a:1", "num_processes": "2"},
            {},
            "give --process_id or GZJAX_PROCESS_ID too",
        ),
        ({}, {"GZJAX_PROCESS_ID": "1"}, "GZJAX_PROCESS_ID=1 alone"),
        (
            THREE | {"process_id": "4"},
            {},
            "--process_id is 4, but there are 4 processes .*: they count from 0 to 3",
        ),
        ({}, VARIABLES | {"GZJAX_PROCESS_ID": "5"}, "GZJAX_PROCESS_ID is 5, but"),
        (THREE | {"num_processes": "two"}, {}, "--num_processes is 'two'"),
        (THREE | {"process_id": "-1"}, {}, "--process_id is '-1'"),
        (THREE | {"coordinator": "a"}, {}, "--coordinator is 'a': give HOST:PORT"),
        (THREE | {"coordinator": "a:70000"}, {}, "--coordinator is 'a:70000'"),
        (THREE | {"local_devices": "0-3"}, {}, "--local_devices is '0-3'"),
        (THREE | {"local_devices": "1,1"}, {}, "give each device once"),
        (
            THREE | {"local_devices": "2"},
            {"CUDA_VISIBLE_DEVICES": "4,5", "JAX_PLATFORMS": "cuda"},
            "device 2 was asked for, but this process sees 2 GPUs",
        ),
    ],
)
def test_what_cannot_be_is_refused_by_name(flags, environment, message):
    with pytest.raises(UserError, match=message):
        find_place(flags, CPU | environment)


def test_addresses():
    assert split_address("node1:29500") == ("node1", 29500)
    assert split_address("[fe80::1]:80") == ("fe80::1", 80)
    for wrong in ("::1:80", "node1:", ":80", "node1:0", "node 1:80"):
        with pytest.raises(UserError, match="give HOST:PORT"):
            split_address(wrong)


def test_waits_a_minute_or_as_long_as_is_said():
    assert init_timeout_sec({}) == 60
    assert init_timeout_sec({"GZJAX_INIT_TIMEOUT_SEC": "2.5"}) == 2.5
    for wrong in ("soon", "0", "-1"):
        with pytest.raises(UserError, match="give seconds, at least 1"):
            init_timeout_sec({"GZJAX_INIT_TIMEOUT_SEC": wrong})
