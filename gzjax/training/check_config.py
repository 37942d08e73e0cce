"""Rejects invalid configs before any data is loaded or any network is built.

A new key gets its line in one of the three tables. What only the network, the tree or
the data can judge (most of ``model``, ``max_norm``, ``split`` and ``data``) is checked
where it is read.
"""

import functools
import importlib.util
import operator

import jax

from gzjax.data.averaging import AVERAGING_HELP, averaging_set, num_placements
from gzjax.errors import UserError
from gzjax.ops.heads import HEADS, TREE_HEADS
from gzjax.steps.losses import FOCAL, LOSS_NAMES
from gzjax.steps.optim import MAX_NORMS, OPTIMIZERS, SCHEDULES
from gzjax.steps.phases import START_FROM, Phase, make_phases


def _one_of(names):
    return lambda x: x in names, f"; there are: {', '.join(filter(None, names))}"


def _at_least(low):
    return lambda x: x >= low, f", not at least {low}"


def _between(low, high):
    return lambda x: low <= x <= high, f", not in {low} .. {high}"


def _is_averaging_set(name):
    try:
        num_placements(name)
    except UserError:
        return False
    return True


_ABOVE_0 = lambda x: x > 0, ", not above 0"

# Key of a run → what its value must be, and how a message ends if it is not.
_RUN = {
    "seed": _between(0, 2**32 - 1),
    "dtype": _one_of(("float32", "float64")),
    "compute_dtype": _one_of(("", "float32", "bfloat16")),
    "data.num_workers": _between(0, 512),  # the config of a run is not trusted
    "data.num_threads": _between(0, 512),
    "view.scale": _ABOVE_0,
    "view.samples": _at_least(1),
    "reference_batch_size": _at_least(0),
    "max_norm.kind": _one_of(MAX_NORMS),
    "max_norm.every_steps": _at_least(1),
    "averaging": (_is_averaging_set, f"; there are: {AVERAGING_HELP}"),
    "log_every_steps": _at_least(1),
    "eval_every_steps": _at_least(1),
    "eval_batch_size": _at_least(1),
    "checkpoint_every_steps": _at_least(1),
    "keep_newest": _at_least(1),
}
# The keys that a phase of a training may change.
_PHASE = {
    "head": _one_of(HEADS),
    "head_warmup_steps": _at_least(0),
    "loss": _one_of(LOSS_NAMES),
    "mutual_weight": _at_least(0),
    "loss_consistency": _at_least(0),
    "num_train_steps": _at_least(1),
    "start_from": _one_of(START_FROM),
    "learning_rate": _ABOVE_0,
    "schedule.kind": _one_of(SCHEDULES),
    "schedule.decay_factor": _ABOVE_0,
    "schedule.first_period": (lambda x: 0 < x <= 1, ", not above 0 and at most 1"),
    "schedule.period_factor": _at_least(1),
    "schedule.warmup_steps": _at_least(0),
    "optimizer": _one_of(OPTIMIZERS),
    "momentum": (lambda x: 0 <= x < 1, ", not at least 0 and below 1"),
    "weight_decay": _at_least(0),
    "augment.zoom": _ABOVE_0,
}
# The keys that say how devices share a batch; they matter only if the run is trained.
_TRAINING = {"batch_size": _at_least(1), "accumulate_steps": _at_least(1)}


def check_config(config, num_devices: int = 0) -> list[Phase]:
    """Checks the config of a run, and returns its phases: one if it names none.

    Args:
        num_devices: how many are to train it; 0 if it is only opened.

    Raises:
        UserError: names the key, its value, and what it can be.
    """
    if num_devices:
        _check_values(config, _TRAINING)
        _check_wandb(config.wandb)
    _check_view(config.view)
    _check_values(config, _RUN)
    averaging_set(config.averaging, config.model)
    if config.dtype == "float64" and not jax.config.jax_enable_x64:
        raise UserError("config.dtype is float64: set JAX_ENABLE_X64=1")
    if config.init_keep_head and not config.init_from:
        raise UserError("config.init_keep_head: give config.init_from, too")
    phases = make_phases(config)
    for phase in phases:
        with phase.named_in_errors():
            _check_phase(phase)
            if num_devices:
                _check_shares(phase.config, num_devices)
    return phases


def _check_values(config, rules) -> None:
    for key, (is_valid, otherwise) in rules.items():
        value = functools.reduce(operator.getitem, key.split("."), config)
        if not is_valid(value):
            raise UserError(f"config.{key} is {value!r}{otherwise}")


def _check_view(view) -> None:
    for key, value in view.items():
        numbers = value if isinstance(value, list | tuple) else [value]
        if not numbers or not all(isinstance(x, int | float) for x in numbers):
            raise UserError(f"config.view.{key} is {value}: give at least 1 number")
    if len(view.mean) != 3 or len(view.std) != 3:
        raise UserError("config.view.mean and std need 3 numbers: R, G, B")


def _check_phase(phase: Phase) -> None:
    config = phase.config
    _check_values(config, _PHASE)
    if not phase.name and config.start_from != "last":
        raise UserError(
            f"config.start_from is '{config.start_from}'; there are: last, for a run "
            "without phases"
        )
    if phase.start and config.start_from == "best" and config.keep_best < 1:
        raise UserError(
            "config.start_from is 'best', and config.keep_best is 0: give at least 1"
        )
    if config.loss == "kl" and config.head not in TREE_HEADS:
        raise UserError(
            f"config.loss is 'kl', which sees each question's shares alone, and "
            f"config.head is '{config.head}', which leaves their sums free; heads for "
            f"it: {', '.join(TREE_HEADS)}"
        )
    if config.loss == FOCAL and config.model.get("name") == "pair":
        raise UserError("config.loss is 'focal', which no pair is trained with")


def _check_shares(config, num_devices: int) -> None:
    batch_size, num_pieces = config.batch_size, config.accumulate_steps
    twice = config.loss_consistency > 0
    divisor = num_devices * num_pieces * (1 + twice)
    if batch_size % divisor:
        fits = max(1, round(batch_size / divisor)) * divisor
        pieces = f" in {num_pieces} pieces (config.accumulate_steps)"
        pairs = " with each galaxy twice (config.loss_consistency)"
        devices = f"{num_devices} device{'s' if num_devices > 1 else ''}"
        raise UserError(
            f"config.batch_size is {batch_size}, which {devices} cannot share equally"
            f"{pieces if num_pieces > 1 else ''}{pairs if twice else ''}; try {fits}"
        )


def _check_wandb(project: str) -> None:
    found = importlib.util.find_spec("wandb") if project else None
    # A folder "wandb", as it leaves behind, would be found as a package without origin.
    if project and (found is None or found.origin is None):
        raise UserError(
            f"config.wandb={project} needs the library wandb, which is not installed\n"
            "What to do: pip install 'gzjax[wandb]', or leave config.wandb out"
        )
