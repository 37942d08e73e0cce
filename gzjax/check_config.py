"""What no config can be, said before anything is loaded."""

import jax

from gzjax.averaging import averaging_set
from gzjax.errors import UserError
from gzjax.losses import LOSS_NAMES
from gzjax.ops.heads import HEADS, TREE_HEADS

_MAX_WORKERS = 512


def check_config(config) -> None:
    """Checks the keys that belong to a run as a whole.

    Those of the network, the optimiser, the split and the data are checked where they
    are read.

    Raises:
        UserError: names the key, its value, and what it can be.
    """
    _check_known("dtype", config.dtype, ("float32", "float64"))
    if config.compute_dtype:
        _check_known("compute_dtype", config.compute_dtype, ("float32", "bfloat16"))
    averaging_set(config.averaging)
    if config.init_keep_head and not config.init_from:
        raise UserError("config.init_keep_head: give config.init_from, too")
    for key in ("eval_batch_size", "log_every_steps", "eval_every_steps",
                "checkpoint_every_steps"):  # fmt: skip
        _check_at_least_1(key, config[key])
    _check_view(config.view)
    _check_at_least_1("keep_newest", config.keep_newest)
    for key in ("num_workers", "num_threads"):  # a run's config may be anybody's
        if not 0 <= config.data[key] <= _MAX_WORKERS:
            raise UserError(
                f"config.data.{key} is {config.data[key]}, not in 0 .. {_MAX_WORKERS}"
            )
    if not config.reference_batch_size >= 0:
        raise UserError(
            f"config.reference_batch_size is {config.reference_batch_size}, below 0"
        )
    if not 0 <= config.seed < 2**32:
        raise UserError(f"config.seed is {config.seed}, not in 0 .. 2^32 - 1")
    if config.dtype == "float64" and not jax.config.jax_enable_x64:
        raise UserError("config.dtype is float64: set JAX_ENABLE_X64=1")


def check_phase(config) -> None:
    """Checks the keys that belong to a phase of the training (:mod:`gzjax.phases`).

    Raises:
        UserError: as :func:`check_config`.
    """
    _check_known("head", config.head, HEADS)
    _check_known("loss", config.loss, LOSS_NAMES)
    _check_at_least_1("num_train_steps", config.num_train_steps)
    _check_positive("learning_rate", config.learning_rate)
    _check_positive("augment.zoom", config.augment.zoom)
    _check_positive("schedule.decay_factor", config.schedule.decay_factor)
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


def _check_view(view) -> None:
    for key, value in view.items():
        numbers = value if isinstance(value, list | tuple) else [value]
        if not numbers or not all(isinstance(x, int | float) for x in numbers):
            raise UserError(f"config.view.{key} is {value}: give at least 1 number")
    if len(view.mean) != 3 or len(view.std) != 3:
        raise UserError("config.view.mean and std need 3 numbers: R, G, B")
    _check_positive("view.scale", view.scale)
    _check_at_least_1("view.samples", view.samples)


def _check_known(key, value, known) -> None:
    if value not in known:
        raise UserError(f"config.{key} is '{value}'; there are: {', '.join(known)}")


def _check_positive(key, value) -> None:
    if not value > 0:
        raise UserError(f"config.{key} is {value}, not above 0")


def _check_at_least_1(key, value) -> None:
    if value < 1:
        raise UserError(f"config.{key} is {value}, not at least 1")
