"""From ``--config=FILE[:variant]`` and ``--config.key=value`` to a config."""

import difflib
import runpy
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from absl import flags
from ml_collections import ConfigDict, config_flags

from gzjax.errors import UserError
from gzjax.training.find_config import find_config


def load_config(argument: str, overrides: list[str]) -> ConfigDict:
    """Runs a config file's ``get_config`` and applies the overrides.

    Args:
        argument: ``path.py`` or ``path.py:variant``, or the name of a config of the
            package; see :func:`gzjax.training.find_config.find_config`.
        overrides: as typed: ``--config.data.dir=...``.

    Raises:
        UserError: no such file, variant or key (names the nearest), a value of another
            type, or a key that every phase sets for itself.
    """
    path, _, variant = argument.partition(":")
    file = find_config(path)
    config = _run(file, variant)
    _check_keys(config, overrides, file)
    flag_values = flags.FlagValues()
    argv = ["gzjax", *overrides]
    holder = config_flags.DEFINE_config_dict(
        "config", config, flag_values=flag_values, sys_argv=argv
    )
    try:
        flag_values(argv)
    except flags.Error as error:
        raise UserError(str(error).replace("flag --config.", "--config.")) from error
    _check_overshadowed(holder.value, overrides)
    return holder.value


def run_name(argument: str) -> str:
    """The name of a run by default: "p4m-demo" for ``configs/p4m.py:demo``."""
    path, _, variant = argument.partition(":")
    # A comma would part it in two in --workdirs=A,B.
    return "-".join([Path(path).stem, *filter(None, variant.split(","))])


def run_sweep(argument: str, add: Callable[..., None]) -> None:
    """Calls the ``sweep(add)`` of a config file; see ``launch/sweep.py``.

    Args:
        argument: as for :func:`load_config`; the variant does not matter.
        add: takes a name and the keys that a run changes.

    Raises:
        UserError: no such file, or it has no ``sweep``, or this fails.
    """
    path = find_config(argument.partition(":")[0])

    def call(module):
        if "sweep" not in module:
            raise UserError(f"{path} has no sweep(add), as configs/p4m.py has")
        module["sweep"](add)

    _use(path, call)


def _run(path: Path, variant: str) -> ConfigDict:
    arguments = [variant] if variant else []
    return _use(path, lambda module: module["get_config"](*arguments))


def _use(path: Path, use: Callable[[dict], Any]) -> Any:
    try:
        return use(runpy.run_path(str(path)))
    except UserError:
        raise
    except Exception as error:  # the file is the user's: anything can be wrong with it
        lines = [f.lineno for f in traceback.extract_tb(error.__traceback__)
                 if f.filename == str(path)]  # fmt: skip
        line = getattr(error, "lineno", None) or (lines[-1] if lines else "?")
        raise UserError(
            f"{path}, line {line}: {type(error).__name__}: {error}"
        ) from error


def _check_keys(config: ConfigDict, overrides: list[str], file: Path) -> None:
    keys = _leaves(config)
    for override in overrides:
        key, equals, _ = override.removeprefix("--config.").partition("=")
        if key not in keys:
            near = difflib.get_close_matches(key, keys, n=1, cutoff=0)
            raise UserError(
                f"no key '{key}' in the config; nearest: '{near[0]}' ({file})"
            )
        if not equals:
            raise UserError(f"give {override}=VALUE")


def _check_overshadowed(config: ConfigDict, overrides: list[str]) -> None:
    """Refuses to change what every phase of a training sets anew."""
    for override in overrides:
        key = override.removeprefix("--config.").partition("=")[0]
        if config.phases and all(key in _leaves(p) for p in config.phases.values()):
            there_are = ", ".join(f"phases.{name}.{key}" for name in config.phases)
            raise UserError(f"config.{key} is set by every phase; change {there_are}")


def _leaves(config: ConfigDict, prefix: str = "") -> list[str]:
    keys = []
    for key, value in config.items():
        if isinstance(value, ConfigDict):
            keys += _leaves(value, f"{prefix}{key}.")
        else:
            keys.append(prefix + key)
    return keys
