"""What no phase of a training can be."""

from gzjax.errors import UserError
from gzjax.ops.heads import HEADS, TREE_HEADS
from gzjax.steps.losses import LOSS_NAMES


def check_phase(config) -> None:
    """Checks the keys that belong to a phase of the training
    (:mod:`gzjax.steps.phases`).

    Raises:
        UserError: names the key, its value, and what it can be.
    """
    check_known("head", config.head, HEADS)
    check_known("loss", config.loss, LOSS_NAMES)
    check_at_least_1("num_train_steps", config.num_train_steps)
    check_positive("learning_rate", config.learning_rate)
    check_positive("augment.zoom", config.augment.zoom)
    check_positive("schedule.decay_factor", config.schedule.decay_factor)
    for key, value in (
        ("mutual_weight", config.mutual_weight),
        ("weight_decay", config.weight_decay),
        ("momentum", config.momentum),
        ("head_warmup_steps", config.head_warmup_steps),
        ("schedule.warmup_steps", config.schedule.warmup_steps),
    ):
        if not value >= 0:
            raise UserError(f"config.{key} is {value}, below 0")
    if config.momentum >= 1:
        raise UserError(f"config.momentum is {config.momentum}, not below 1")
    if config.loss == "kl" and config.head not in TREE_HEADS:
        raise UserError(
            f"config.loss is 'kl', which sees each question's shares alone, and "
            f"config.head is '{config.head}', which leaves their sums free; heads for "
            f"it: {', '.join(TREE_HEADS)}"
        )


def check_known(key, value, known) -> None:
    if value not in known:
        raise UserError(f"config.{key} is '{value}'; there are: {', '.join(known)}")


def check_positive(key, value) -> None:
    if not value > 0:
        raise UserError(f"config.{key} is {value}, not above 0")


def check_at_least_1(key, value) -> None:
    if value < 1:
        raise UserError(f"config.{key} is {value}, not at least 1")
