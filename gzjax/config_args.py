"""From ``--config=FILE[:variant]`` and ``--config.key=value`` to a config."""

import difflib
import importlib.resources
import runpy
from pathlib import Path

from absl import flags
from ml_collections import ConfigDict, config_flags

from gzjax.errors import UserError


def load_config(argument: str, overrides: list[str]) -> ConfigDict:
    """Runs a config file's ``get_config`` and applies the overrides.

    Args:
        argument: ``path.py`` or ``path.py:variant``; a path that does not exist, or a
            bare name, is looked for among the configs of the package.
        overrides: as typed: ``--config.data.dir=...``.

    Raises:
        UserError: no such file, variant or key (names the nearest), or a value of
            another type.
    """
    path, _, variant = argument.partition(":")
    namespace = runpy.run_path(str(_find(path)))
    if "get_config" not in namespace:
        raise UserError(f"{path} defines no get_config()")
    config = namespace["get_config"](*([variant] if variant else []))
    _check_keys(config, overrides)
    flag_values = flags.FlagValues()
    argv = ["gzjax", *overrides]
    holder = config_flags.DEFINE_config_dict(
        "config", config, flag_values=flag_values, sys_argv=argv
    )
    try:
        flag_values(argv)
    except flags.Error as error:
        raise UserError(str(error).replace("flag --config.", "--config.")) from error
    return holder.value


def run_name(argument: str) -> str:
    """The name of a run by default: "p4m-demo" for ``configs/p4m.py:demo``."""
    path, _, variant = argument.partition(":")
    return "-".join(part for part in (Path(path).stem, variant) if part)


def _find(path: str) -> Path:
    packaged = Path(str(importlib.resources.files("gzjax.configs")))
    for candidate in (Path(path), packaged / f"{Path(path).stem}.py"):
        if candidate.is_file():
            return candidate
    there_are = ", ".join(
        sorted(
            p.stem for p in packaged.glob("*.py") if p.stem not in ("__init__", "base")
        )
    )
    raise UserError(f"no config '{path}'; give a file, or one of: {there_are}")


def _check_keys(config: ConfigDict, overrides: list[str]) -> None:
    keys = _leaves(config)
    for override in overrides:
        key, equals, _ = override.removeprefix("--config.").partition("=")
        if key not in keys:
            near = difflib.get_close_matches(key, keys, n=1, cutoff=0)
            raise UserError(f"no key '{key}' in the config; nearest: '{near[0]}'")
        if not equals:
            raise UserError(f"give {override}=VALUE")


def _leaves(config: ConfigDict, prefix: str = "") -> list[str]:
    keys = []
    for key, value in config.items():
        if isinstance(value, ConfigDict):
            keys += _leaves(value, f"{prefix}{key}.")
        else:
            keys.append(prefix + key)
    return keys
