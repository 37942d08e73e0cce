"""Config files: those of the package by name, and anybody's by path."""

import difflib
import importlib.resources
from pathlib import Path

from gzjax.errors import UserError
from gzjax.progress import say


def find_config(path: str) -> Path:
    """The file that a ``--config`` without its variant names.

    A path wins: ``p4m.py`` and ``configs/p4m.py`` are files of the current folder if
    they are there, and the package's if not. ``p4m`` is always the package's.

    Raises:
        UserError: there is neither; names all of the package, the nearest first.
    """
    named, packaged = Path(path), _packaged_configs()
    own = _packaged_as(named, packaged)
    if own and not named.suffix:
        return own
    if named.is_file():
        return named
    if own:
        return own
    raise UserError(_not_there(path, packaged))


def say_which_config(argument: str) -> None:
    """Says which file ``--config=FILE[:VARIANT]`` takes, if two could be meant.

    Apart from :func:`find_config`, which may be called often, and before it is known
    which one of several processes speaks for all.
    """
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
        here = Path(__file__).parent
        raise UserError(
            f"{here} is not an installed gzjax: it lacks the configs\nWhat to do: "
            "pip install -e . in the folder above it, or make demo; if gzjax is "
            "installed elsewhere, give the command gzjax, or work in another folder"
        ) from error
    return {
        path.stem: path
        for path in sorted(folder.glob("*.py"))
        if path.stem not in ("__init__", "base")
    }


def _packaged_as(path: Path, packaged: dict[str, Path]) -> Path | None:
    """The file of the package that ``path`` could mean."""
    if path.parent in (Path(), Path("configs")) and path.suffix in ("", ".py"):
        return packaged.get(path.stem)
    return None


def _not_there(path: str, packaged: dict[str, Path]) -> str:
    message = f"no config '{path}'; give a file, or one of: {', '.join(packaged)}"
    near = difflib.get_close_matches(Path(path).stem, packaged, n=2)
    if Path(f"{path}.py").is_file():
        near.insert(0, f"{path}.py")
    return message + (f"\nnearest: {', '.join(near)}" if near else "")
