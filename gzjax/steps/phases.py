"""Phases of a training, such as coarse-to-fine: runs that start where another ended.

A phase is a complete config: the run's, with the phase's own keys. Its steps, schedule
and stream of examples begin at 0, like those of a run of its own. Parameters and batch
statistics are those of the phase before, bit for bit: of its last state, or of its best
by validation RMSE (then the averaged parameters, if they are what was validated).
"""

import dataclasses
import difflib
import re
from typing import Any

from ml_collections import ConfigDict

from gzjax.data.draws import hash64
from gzjax.errors import UserError

PHASE_KEYS = (
    "num_train_steps", "start_from", "loss", "head", "head_warmup_steps",
    "mutual_weight", "optimizer", "learning_rate", "schedule", "momentum",
    "rate_in_velocity", "weight_decay", "augment", "model",
)  # fmt: skip
# Of the network what matters in training alone; of a pair's networks too.
PHASE_MODEL_KEYS = ("dropout_rate", "dropout_rates", "input_noise", "first", "second")
START_FROM = ("last", "best")


@dataclasses.dataclass(frozen=True)
class Phase:
    """The updates ``start .. stop - 1`` of a run.

    Attributes:
        name: its key in ``config.phases``; "" of a run without phases.
        config: complete; ``num_train_steps`` is ``stop - start``.
        start: the number of updates before it.
        stop: the number of updates at its end.
    """

    name: str
    config: Any
    start: int
    stop: int

    def head(self, step: int) -> str:
        """The head after ``step`` updates of the run: "clip" in a head's warm-up."""
        config = self.config
        warming_up = step - self.start < config.head_warmup_steps
        return "clip" if config.head == "divisive" and warming_up else config.head


def make_phases(config) -> list[Phase]:
    """The phases of ``config.phases`` in the order of their names; or else one.

    Raises:
        UserError: a phase has a key that is none, or that no phase may change, or a
            value of another type; or names sort otherwise than their numbers.
    """
    if not config.phases.keys():
        _check_start(config, START_FROM[:1])
        return [Phase("", config, 0, config.num_train_steps)]
    _check_names(list(config.phases.keys()))
    phases: list[Phase] = []
    for name, changes in config.phases.items():
        changed = _changed(config, f"config.phases.{name}", changes)
        if phases:  # else each phase would see the same galaxies placed alike
            changed.seed = int(hash64(config.seed, len(phases)) >> 32)
        start = phases[-1].stop if phases else 0
        phases.append(Phase(name, changed, start, start + changed.num_train_steps))
    return phases


def phase_lengths(config: dict) -> list[tuple[str, int]]:
    """The name and the number of steps of each phase, of a config as plain data."""
    steps = config["num_train_steps"]
    phases = config.get("phases") or {"": {}}
    return [
        (name, phase.get("num_train_steps", steps))
        for name, phase in sorted(phases.items())
    ]


def _check_names(names):
    def by_number(name):
        parts = re.split(r"(\d+)", name)
        return [int(part) if part.isdecimal() else part for part in parts]

    if sorted(names, key=by_number) != sorted(names):
        raise UserError(
            f"config.phases are in the order of their names' characters: "
            f"{', '.join(sorted(names))}. Give numbers of as many digits, as phase01"
        )


def _changed(config, where: str, changes) -> ConfigDict:
    if not isinstance(changes, ConfigDict):
        raise UserError(f"{where} is {changes!r}, not keys with values")
    for key in changes:
        if key in config and key not in PHASE_KEYS:
            raise UserError(f"{where}.{key}: no phase can change it")
    _check_keys(changes, config, where)
    _check_model_keys(changes.get("model", ConfigDict()), f"{where}.model")
    changed = ConfigDict(config.to_dict())
    try:
        changed.update(changes)
    except (TypeError, ValueError) as error:
        raise UserError(f"{where}: {error}") from error
    _check_start(changed, START_FROM)
    return changed


def _check_start(config, known):
    if config.start_from not in known:
        raise UserError(
            f"config.start_from is '{config.start_from}'; there are: "
            + ", ".join(known)
            + ("" if len(known) > 1 else ", for a run without phases")
        )


def _check_keys(changes, config, where):
    for key, value in changes.items():
        if key not in config:
            near = difflib.get_close_matches(key, list(config), 1, cutoff=0)[0]
            raise UserError(f"{where}.{key}: there is no such key; nearest: '{near}'")
        if isinstance(value, ConfigDict) != isinstance(config[key], ConfigDict):
            raise UserError(f"{where}.{key} is {value!r} instead of {config[key]!r}")
        if isinstance(value, ConfigDict):
            _check_keys(value, config[key], f"{where}.{key}")


def _check_model_keys(changes, where):
    for key, value in changes.items():
        if key not in PHASE_MODEL_KEYS:
            raise UserError(
                f"{where}.{key}: of the network phases can change only "
                + ", ".join(PHASE_MODEL_KEYS[:3])
            )
        if isinstance(value, ConfigDict):
            _check_model_keys(value, f"{where}.{key}")
