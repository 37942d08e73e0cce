"""Every config gets the same budget, and keeps what is its own."""

import math

import pytest

from gzjax.data.ledger import differences
from gzjax.errors import UserError
from gzjax.evaluation.compare.budget import BUDGET_KEYS, num_steps_of, set_budget
from gzjax.steps.optim import make_schedule
from gzjax.steps.phases import make_phases
from gzjax.training.load_config import load_config

WARMUPS = {"head_warmup_steps", "schedule.warmup_steps"}


def test_steps_show_at_least_the_images():
    images = [(12_800, 32), (12_801, 32), (1, 32), (64, 64)]
    assert [num_steps_of(*both) for both in images] == [400, 401, 1, 1]
    for wrong in ((0, 32), (100, 0), (-5, 32)):
        with pytest.raises(UserError, match="not at least 1"):
            num_steps_of(*wrong)


@pytest.mark.parametrize("name", ["p4m", "p4m:small", "p4m_paper", "dieleman"])
def test_only_the_budget_and_the_warm_ups_change(name):
    before, config = (load_config(name, []) for _ in range(2))
    set_budget(config, 400, 64)
    lines = differences(before.to_dict(), config.to_dict())
    changed = {line.strip().partition(":")[0] for line in lines}
    assert "num_train_steps" in changed
    assert changed <= set(BUDGET_KEYS) | WARMUPS
    assert (config.num_train_steps, config.batch_size) == (400, 64)
    assert config.eval_every_steps == 400
    assert config.checkpoint_every_steps == 100
    assert config.log_every_steps == 10


@pytest.mark.parametrize(
    ("warmup", "planned", "steps", "expected"),
    [
        (625, 433_000, 400, 100),  # a quarter of a short budget
        (625, 433_000, 2400, 600),
        (625, 433_000, 2600, 625),  # never longer than the recipe's
        (400, 1000, 500, 200),  # the recipe's own share, if that is larger
        (100, 1000, 1000, 100),
        (100, 1000, 5000, 100),
        (0, 1000, 100, 0),
        (625, 433_000, 3, 1),
    ],
)
def test_warm_ups_keep_their_steps_up_to_a_share(warmup, planned, steps, expected):
    config = load_config("p4m", [])
    config.num_train_steps = planned
    config.head_warmup_steps = config.schedule.warmup_steps = warmup
    set_budget(config, steps, 32)
    assert config.head_warmup_steps == config.schedule.warmup_steps == expected


def test_rates_drop_at_the_recipes_fractions():
    config = load_config("dieleman", [])
    set_budget(config, 1000, 32)
    schedule = make_schedule(config)
    drops = [i for i in range(1, 1000) if schedule(i) < schedule(i - 1)]
    assert drops == [720, 920]
    assert float(schedule(0)) == pytest.approx(0.04)


@pytest.mark.parametrize("steps", [1, 2, 3, 39, 41])
def test_small_budgets_have_intervals_of_at_least_1(steps):
    config = load_config("p4m", [])
    set_budget(config, steps, 8)
    assert 1 <= config.checkpoint_every_steps <= steps
    assert config.log_every_steps == 1


@pytest.mark.parametrize(
    ("steps", "expected"),
    [(400, [167, 116, 117]), (2078, [866, 606, 606]), (3, [1, 1, 1]), (7, [3, 2, 2])],
)
def test_phases_share_the_budget_as_they_share_the_recipe(steps, expected):
    config = load_config("resnet:18-c2f", [])  # 86,600, 60,620 and 60,620 steps
    set_budget(config, steps, 32)
    assert [p.num_train_steps for p in config.phases.values()] == expected
    warmups = [p.head_warmup_steps for p in config.phases.values()]
    assert warmups == [math.ceil(0.25 * expected[0]), 0, 0]
    assert [p.config.schedule.kind for p in make_phases(config)] == ["step"] * 3
    assert make_phases(config)[-1].stop == steps == config.num_train_steps
    with pytest.raises(UserError, match="2 steps is too short for 3 phases"):
        set_budget(config, 2, 32)
