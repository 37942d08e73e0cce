"""What no config can be, said before anything is loaded."""

import jax

from gzjax.data.averaging import averaging_set
from gzjax.errors import UserError
from gzjax.steps.check_phase import check_at_least_1, check_known, check_positive

_MAX_WORKERS = 512


def check_config(config) -> None:
    """Checks the keys that belong to a run as a whole.

    Those of the network, the optimiser, the split and the data are checked where they
    are read.

    Raises:
        UserError: names the key, its value, and what it can be.
    """
    check_known("dtype", config.dtype, ("float32", "float64"))
    if config.compute_dtype:
        check_known("compute_dtype", config.compute_dtype, ("float32", "bfloat16"))
    averaging_set(config.averaging)
    if config.init_keep_head and not config.init_from:
        raise UserError("config.init_keep_head: give config.init_from, too")
    for key in ("eval_batch_size", "log_every_steps", "eval_every_steps",
                "checkpoint_every_steps"):  # fmt: skip
        check_at_least_1(key, config[key])
    _check_view(config.view)
    check_at_least_1("keep_newest", config.keep_newest)
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


def _check_view(view) -> None:
    for key, value in view.items():
        numbers = value if isinstance(value, list | tuple) else [value]
        if not numbers or not all(isinstance(x, int | float) for x in numbers):
            raise UserError(f"config.view.{key} is {value}: give at least 1 number")
    if len(view.mean) != 3 or len(view.std) != 3:
        raise UserError("config.view.mean and std need 3 numbers: R, G, B")
    check_positive("view.scale", view.scale)
    check_at_least_1("view.samples", view.samples)
