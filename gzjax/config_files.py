"""Config files: those of the package by name, and anybody's by path."""

import difflib
import importlib.resources
from pathlib import Path

from gzjax.errors import UserError
from gzjax.progress import say


def find_config(path: str) -> Path:
    """The file that a ``--config`` without its variant names.

    A path wins: ``p4m.py`` and ``configs/p4m.py`` are files of the current folder if
    they are there, and the package's if not. ``p4m`` is always the package's. Where
    both are there it is said which one is taken.

    Raises:
        UserError: there is neither; names all of the package, the nearest first.
    """
    named, packaged = Path(path), _packaged_configs()
    own = packaged.get(named.stem) if _may_be_packaged(named) else None
    if not named.suffix and own:
        for here in (Path(f"{named}.py"), Path("configs", f"{named}.py")):
            if here.is_file() and not here.samefile(own):
                say(f"config: {named} of the package; for the file here, {here}")
        return own
    if named.is_file():
        if own and not named.samefile(own):
            say(f"config: the file {named}; for the package's, {named.stem}")
        return named
    if own:
        return own
    raise UserError(_not_there(path, packaged))


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


def _may_be_packaged(path: Path) -> bool:
    return path.parent in (Path(), Path("configs")) and path.suffix in ("", ".py")


def _not_there(path: str, packaged: dict[str, Path]) -> str:
    message = f"no config '{path}'; give a file, or one of: {', '.join(packaged)}"
    near = difflib.get_close_matches(Path(path).stem, packaged, n=2)
    if Path(f"{path}.py").is_file():
        near.insert(0, f"{path}.py")
    return message + (f"\nnearest: {', '.join(near)}" if near else "")
