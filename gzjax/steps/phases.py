"""Phases of a training, such as coarse-to-fine: runs that start where another ended.

A phase is a complete config: the run's, with the phase's own keys. Its steps, schedule
and stream of examples begin at 0, like those of a run of its own. Parameters and batch
statistics are those of the phase before, bit for bit: of its last state, or of its best
by validation RMSE (then the averaged parameters, if they are what was validated).
"""

import contextlib
import dataclasses
import re
from collections.abc import Iterator
from typing import Any

from ml_collections import ConfigDict

from gzjax.data.draws import hash64
from gzjax.errors import UserError, nearest

PHASE_KEYS = (
    "num_train_steps",
    "start_from",
    "loss",
    "head",
    "head_warmup_steps",
    "mutual_weight",
    "loss_consistency",
    "optimizer",
    "learning_rate",
    "schedule",
    "momentum",
    "rate_in_velocity",
    "weight_decay",
    "augment",
    "model",
)
# Of the network what matters in training alone; of a pair's networks too.
PHASE_MODEL_KEYS = ("dropout_rate", "dropout_rates", "input_noise", "first", "second")
START_FROM = ("last", "best")


@dataclasses.dataclass(frozen=True)
class Phase:
    """The updates ``start .. stop - 1`` of a run.

    Attributes:
        name: its key in ``config.phases``; "" of a run without phases.
        config: complete; ``num_train_steps`` is ``stop - start``.
    """

    name: str
    config: Any
    start: int
    stop: int

    def head(self, step: int) -> str:
        """Returns the head after ``step`` updates: "clip" in a head's warm-up."""
        config = self.config
        warming_up = step - self.start < config.head_warmup_steps
        return "clip" if config.head == "divisive" and warming_up else config.head

    @contextlib.contextmanager
    def named_in_errors(self) -> Iterator[None]:
        """Puts the phase's name before the text of a UserError raised inside."""
        try:
            yield
        except UserError as error:
            if not self.name:
                raise
            raise UserError(f"config.phases.{self.name}: {error}") from error


def make_phases(config) -> list[Phase]:
    """Returns the phases in the order of their names; one, if ``config.phases`` is {}.

    Raises:
        UserError: a phase has an unknown key, one that no phase may change, or a value
            of another type; or the names do not sort as the numbers in them do.
    """
    if not config.phases.keys():
        return [Phase("", config, 0, config.num_train_steps)]
    _check_names(config.phases.keys())
    phases: list[Phase] = []
    for name, changes in config.phases.items():
        changed = _changed(config, f"config.phases.{name}", changes)
        if phases:  # else each phase would see the same galaxies placed alike
            changed.seed = int(hash64(config.seed, len(phases)) >> 32)
        start = phases[-1].stop if phases else 0
        phases.append(Phase(name, changed, start, start + changed.num_train_steps))
    return phases


def flat(config: dict, where: str = "") -> dict[str, Any]:
    """Returns the values of a plain config by their whole keys, as ``data.dir``."""
    values: dict[str, Any] = {}
    for key, value in config.items():
        is_leaf = not isinstance(value, dict)
        values |= {where + key: value} if is_leaf else flat(value, f"{where}{key}.")
    return values


def phase_lengths(config: dict) -> list[tuple[str, int]]:
    """Returns the name and the number of steps of each phase of a plain config."""
    steps = config["num_train_steps"]
    phases = config.get("phases") or {"": {}}
    return [
        (name, phase.get("num_train_steps", steps))
        for name, phase in sorted(phases.items())
    ]


def _check_names(names):
    def by_number(name):
        pieces = re.split(r"(\d+)", name)
        return [int(x) if x.isdecimal() else x for x in pieces]

    if sorted(names, key=by_number) != sorted(names):
        raise UserError(
            f"config.phases are in the order of their names' characters: "
            f"{', '.join(sorted(names))}. Give numbers of as many digits, as phase01"
        )


def _changed(config, where: str, changes) -> ConfigDict:
    if not isinstance(changes, ConfigDict):
        raise UserError(f"{where} is {changes!r}, not keys with values")
    changed = ConfigDict(config.to_dict())
    known = flat(changed.to_dict())
    for key in flat(changes.to_dict()):
        _check_key(key, known, where)
    try:
        changed.update(changes)
    except (TypeError, ValueError) as error:
        raise UserError(f"{where}: {error}") from error
    return changed


def _check_key(key: str, known: dict, where: str) -> None:
    first, *others = key.split(".")
    if key not in known:
        near = nearest(key, known)
        raise UserError(f"{where}.{key}: there is no such key; {near}")
    if first not in PHASE_KEYS:
        raise UserError(f"{where}.{key}: no phase can change it")
    if first == "model" and not set(others) <= set(PHASE_MODEL_KEYS):
        raise UserError(
            f"{where}.{key}: of the network phases can change only "
            + ", ".join(PHASE_MODEL_KEYS[:3])
        )
