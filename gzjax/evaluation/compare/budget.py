"""Gives configs that were made for different lengths of training one budget."""

import math
from itertools import accumulate

from ml_collections import ConfigDict

from gzjax.errors import UserError

# A warm-up takes at most this share of a budget, or the recipe's own share of itself.
WARMUP_SHARE = 0.25
# What compare sets, by set_budget or for each run: no override may.
BUDGET_KEYS = (
    "averaging",
    "batch_size",
    "checkpoint_every_steps",
    "eval_every_steps",
    "keep_newest",
    "log_every_steps",
    "num_train_steps",
    "seed",
)


def num_steps_of(num_images: int, batch_size: int) -> int:
    """Returns the steps that show ``num_images`` images, rounded up, at least 1.

    Raises:
        UserError: either is below 1.
    """
    for flag, value in (("num_images", num_images), ("batch_size", batch_size)):
        if value < 1:
            raise UserError(f"--{flag} is {value}, not at least 1")
    return math.ceil(num_images / batch_size)


def set_budget(config, num_steps: int, batch_size: int) -> None:
    """Changes a config in place so that it trains for exactly this budget.

    All systems see the same number of images, in batches of one size, and look at the
    validation split only at the end of the training and of each of its phases, so that
    no run is chosen among its own checkpoints. The recipe keeps its learning rate (also
    if its batches had another size), regularisation, augmentation and schedule, whose
    drops are fractions of the training and move with its end. A recipe for a long
    training is therefore judged by what it reaches in this budget.

    Warm-ups (of the head, of the learning rate) lead through the first updates, however
    long the training after them is: they keep their number of steps. But they take at
    most ``WARMUP_SHARE`` of a budget that is shorter than the recipe's training, or the
    share that they have of that training, if it is larger; at least one step.

    Phases share the budget as they share the recipe's training, and have warm-ups of
    their own.
    """
    with config.unlocked():  # a phase gets keys that it had from the config
        _cut_phases(config, num_steps)
    _shorten_warmups(config, config, config.num_train_steps, num_steps)
    config.num_train_steps, config.batch_size = num_steps, batch_size
    config.eval_every_steps = num_steps
    # A kill costs a quarter at most; Ctrl-C and SIGTERM save by themselves.
    config.checkpoint_every_steps = math.ceil(num_steps / 4)
    config.keep_newest = 1  # many large networks lie beside each other
    config.log_every_steps = min(100, max(1, num_steps // 40))


def _cut_phases(config, num_steps: int) -> None:
    """Cuts every phase, and its warm-ups by the length of the phase."""
    phases = list(config.phases.values())
    if not phases:
        return
    if num_steps < len(phases):
        raise UserError(
            f"a budget of {num_steps} steps is too short for {len(phases)} phases"
        )
    lengths = [p.get("num_train_steps", config.num_train_steps) for p in phases]
    ends = [round(end / sum(lengths) * num_steps) for end in accumulate(lengths)]
    for i, phase in enumerate(phases):  # each at least a step
        start = ends[i - 1] if i else 0
        ends[i] = min(max(ends[i], start + 1), num_steps - (len(phases) - 1 - i))
        phase.num_train_steps = ends[i] - start
        _shorten_warmups(phase, config, lengths[i], ends[i] - start)


def _shorten_warmups(changed, config, planned: int, num_steps: int) -> None:
    """Shortens the warm-ups of ``changed``: ``config``, or one of its phases."""
    own = changed.get("schedule", ConfigDict())
    head = changed.get("head_warmup_steps", config.head_warmup_steps)
    rate = own.get("warmup_steps", config.schedule.warmup_steps)
    changed.head_warmup_steps = _shortened(head, planned, num_steps)
    own.warmup_steps = _shortened(rate, planned, num_steps)
    changed.schedule = own


def _shortened(warmup: int, planned: int, num_steps: int) -> int:
    if num_steps >= planned:
        return warmup
    share = max(WARMUP_SHARE, warmup / planned)
    return min(warmup, math.ceil(share * num_steps))
