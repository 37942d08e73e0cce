"""Makes a config of ``--config=FILE[:variant]`` and ``--config.key=value``."""

import importlib.resources
import runpy
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from absl import flags
from ml_collections import ConfigDict, config_flags

from gzjax.data import check_there
from gzjax.errors import UserError, nearest
from gzjax.files import check_place
from gzjax.progress import say
from gzjax.steps.phases import flat
from gzjax.training.run_files import CONFIG, find_folder
from gzjax.trees.tree_file import find_tree


def load_config(argument: str, overrides: list[str]) -> ConfigDict:
    """Runs a config file's ``get_config`` and applies the overrides.

    Args:
        argument: ``path.py`` or ``path.py:variant``, or the name of a config of the
            package; see :func:`find_config`.
        overrides: as typed: ``--config.data.dir=...``.

    Raises:
        UserError: no such file, variant or key (names the nearest), a value of another
            type, or a key that every phase sets for itself.
    """
    path, _, variant = argument.partition(":")
    file = find_config(path)
    arguments = [variant] if variant else []
    config = _use(file, lambda module: module["get_config"](*arguments))
    known = _keys(config)
    keys = [_check_key(override, known, file) for override in overrides]
    flag_values, argv = flags.FlagValues(), ["gzjax", *overrides]
    holder = config_flags.DEFINE_config_dict(
        "config", config, flag_values=flag_values, sys_argv=argv
    )
    try:
        flag_values(argv)
    except flags.Error as error:
        raise UserError(str(error).replace("flag --config.", "--config.")) from error
    _check_overshadowed(holder.value, keys)
    return holder.value


def check_paths(config: ConfigDict, workdir: Path) -> None:
    """Raises a UserError if a file that the config names is missing.

    It raises one too if nothing can be written into ``workdir``. It does not import JAX
    and reads no data, so it ends at once.
    """
    check_there(config, find_tree(config.tree))
    weights = find_folder(config.init_from)
    if config.init_from and not weights.exists():
        raise UserError(
            f"config.init_from is {weights}, and there is no such file or folder: give "
            "a run's folder, or a .safetensors or .pth file"
        )
    check_place(workdir / CONFIG)


def run_name(argument: str) -> str:
    """Returns a run's default name: "p4m-demo" for ``configs/p4m.py:demo``."""
    path, _, variant = argument.partition(":")
    # A comma would split it in two in --workdirs=A,B.
    return "-".join([Path(path).stem, *filter(None, variant.split(","))])


def run_sweep(argument: str, add: Callable[..., None]) -> None:
    """Calls the ``sweep(add)`` of a config file, which gives each run to ``add``.

    Raises:
        UserError: no such file, or it has no ``sweep``, or ``sweep`` fails.
    """
    path = find_config(argument.partition(":")[0])

    def call(module):
        if "sweep" not in module:
            raise UserError(f"{path} has no sweep(add), as configs/p4m.py has")
        module["sweep"](add)

    _use(path, call)


def _use(path: Path, use: Callable[[dict], Any]) -> Any:
    try:
        return use(runpy.run_path(str(path)))
    except UserError:
        raise
    except Exception as error:  # the file is the user's: anything can be wrong with it
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if frame.filename == str(path)]
        line = getattr(error, "lineno", None) or (lines[-1] if lines else "?")
        raise UserError(
            f"{path}, line {line}: {type(error).__name__}: {error}"
        ) from error


def _check_key(override: str, known: list[str], file: Path) -> str:
    key, equals, _ = override.removeprefix("--config.").partition("=")
    if key not in known:
        near = nearest(key, known, cutoff=0)
        raise UserError(f"no key '{key}' in the config; {near} ({file})")
    if not equals:
        raise UserError(f"give {override}=VALUE")
    return key


def _keys(config: ConfigDict) -> list[str]:
    return list(flat(config.to_dict()))


def _check_overshadowed(config: ConfigDict, keys: list[str]) -> None:
    """Refuses to change what every phase of a training sets anew."""
    for key in keys:
        if config.phases and all(key in _keys(p) for p in config.phases.values()):
            there_are = ", ".join(f"phases.{name}.{key}" for name in config.phases)
            raise UserError(f"config.{key} is set by every phase; change {there_are}")


def find_config(path: str) -> Path:
    """Returns the file that a ``--config`` without its variant names.

    A path wins: ``p4m.py`` and ``configs/p4m.py`` are files of the current folder if
    they are there, and the package's if not. ``p4m`` is always the package's.

    Raises:
        UserError: there is neither; names the configs of the package.
    """
    named, packaged = Path(path), _packaged_configs()
    own = _packaged_as(named, packaged)
    if named.is_file() and (named.suffix or not own):
        return named
    if own:
        return own
    here = [f"{path}.py"] if Path(f"{path}.py").is_file() else []
    raise UserError(
        f"no config '{path}'; give a file, or the name of a config of the package; "
        + nearest(named.stem, [*here, *packaged])
    )


def say_which_config(argument: str) -> None:
    """Reports which file ``--config=FILE[:VARIANT]`` takes, if two could be meant."""
    named = Path(argument.partition(":")[0])
    own = _packaged_as(named, _packaged_configs())
    if not own:
        return
    if named.suffix:
        if named.is_file() and not named.samefile(own):
            say(f"config: the file {named}; for the package's, {named.stem}")
        return
    for here in (Path(f"{named}.py"), Path("configs", f"{named}.py")):
        if here.is_file() and not here.samefile(own):
            say(f"config: {named} of the package; for the file here, {here}")


def _packaged_configs() -> dict[str, Path]:
    try:
        folder = Path(str(importlib.resources.files("gzjax.configs")))
    except ModuleNotFoundError as error:
        raise UserError(
            f"{Path(__file__).parents[1]} is not an installed gzjax: it lacks the "
            "configs\nWhat to do: pip install -e . in the folder above it, or make "
            "demo; if gzjax is installed elsewhere, give the command gzjax, or work in "
            "another folder"
        ) from error
    files = sorted(folder.glob("*.py"))
    return {p.stem: p for p in files if p.stem not in ("__init__", "base")}


def _packaged_as(path: Path, packaged: dict[str, Path]) -> Path | None:
    """Returns the file of the package that ``path`` could mean."""
    if path.parent in (Path(), Path("configs")) and path.suffix in ("", ".py"):
        return packaged.get(path.stem)
    return None
