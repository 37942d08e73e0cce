"""Nothing is lost: a few faults here, all kinds with -m slow.

``benchmarks/faults.py`` injects them at random moments.
"""

import random
import signal

import pytest
from fault_injection import STEPS, Ground, Trial
from fault_kinds import FAULTS
from fault_verdict import judge

# After which step, and the exit codes of a training that is disturbed then.
MOMENTS = {
    "kill_trainer": (5, {-signal.SIGKILL}),
    "kill_worker": (3, {2}),
    "sigterm": (3, {128 + signal.SIGTERM}),
    "sigint": (3, {128 + signal.SIGINT}),
    "disk_full": (5, {2}),
    "truncated_checkpoint": (STEPS, {0}),
    "flipped_byte": (STEPS, {0}),
    "image_deleted": (3, {0, 2}),
    "image_truncated": (3, {0, 2}),
    "data_read_only": (3, {0}),
    "data_unreadable": (3, {2}),
    "run_read_only": (5, {2}),
    "clock_set_back": (5, {-signal.SIGKILL, 0}),
}
FAST = ("kill_trainer", "disk_full", "flipped_byte")  # sigterm: test_train


@pytest.fixture(scope="module")
def ground(tmp_path_factory):
    return Ground(tmp_path_factory.mktemp("undisturbed"))


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(fault, marks=() if fault.__name__ in FAST else pytest.mark.slow)
        for fault in FAULTS
    ],
    ids=lambda fault: fault.__name__,
)
def test_disturbed_training_ends_as_the_undisturbed_one(fault, ground, tmp_path):
    step, codes = MOMENTS[fault.__name__]
    trial = Trial(ground, tmp_path / "trial", random.Random(0), step)
    verdict = judge(trial, fault, "0")
    assert verdict.problems == [], verdict.what
    assert verdict.orphans == 0
    assert verdict.code in codes
    if fault.__name__ == "sigterm":
        assert "is saved" in verdict.what
