"""What pyproject.toml says of the package is so."""

import ast
import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS = PROJECT["project"]["optional-dependencies"]
_NAMES = (
    "absl array_record astropy cv2 flax grain jax jinja2 matplotlib ml_collections "
    "numpy optax orbax PIL rich scipy tensorboardX wandb"
)
HEAVY = _NAMES.split()  # to import


def test_every_package_is_installed():
    named = set(PROJECT["tool"]["setuptools"]["packages"])
    folders = {p.parent for p in ROOT.glob("gzjax/**/__init__.py")}
    found = {".".join(folder.relative_to(ROOT).parts) for folder in folders}
    assert named == found | {"gzjax.configs"}
    assert PROJECT["tool"]["setuptools"]["package-dir"] == {"gzjax.configs": "configs"}


def test_a_wheel_holds_what_is_not_python():
    files = {p for p in ROOT.glob("gzjax/**/*") if p.suffix not in ("", ".py", ".pyc")}
    data = PROJECT["tool"]["setuptools"]["package-data"]
    held = {
        path
        for package, patterns in data.items()
        for pattern in patterns
        for path in ROOT.joinpath(*package.split(".")).glob(pattern)
    }
    assert held == files
    shown = {".css", ".html"}
    assert {p.suffix for p in held} == shown | {".json", ".md", ".safetensors"}
    assert {p.suffix for p in ROOT.glob("configs/*.*")} == {".py"}


def test_extras_are_those_that_the_messages_name():
    extras = "cuda12 cuda13 tpu fits parquet tables detect wandb dev"
    assert set(EXTRAS) == set(extras.split())
    texts = [p.read_text() for p in (ROOT / "gzjax").rglob("*.py")]
    texts.append((ROOT / "README.md").read_text())
    named = {
        extra
        for text in texts
        for group in re.findall(r"(?:gzjax|\.)\[([a-z0-9,]+)\]'", text)
        for extra in group.split(",")
    }
    assert named - set(EXTRAS) == set()
    assert {"fits", "tables", "wandb"} <= named


def test_optional_libraries_are_imported_on_use():
    """None of an extra's, at the top of a module: the package works without them."""
    optional = {"astropy", "pyarrow", "sep", "sklearn", "wandb"}
    for path in (ROOT / "gzjax").rglob("*.py"):
        for node in ast.parse(path.read_text()).body:
            names = [a.name for a in getattr(node, "names", [])]
            module = getattr(node, "module", None)
            imported = {n.split(".")[0] for n in ([module] if module else names)}
            is_import = isinstance(node, ast.Import | ast.ImportFrom)
            assert not (is_import and imported & optional), path


@pytest.mark.parametrize("mode", [[], ["train"], ["predict"], ["compare"]])
def test_help_imports_nothing_heavy(mode, tmp_path):
    """It is there at once: tenths of a second, where JAX alone takes one."""
    code = (
        "import sys; from gzjax.main import main\n"
        f"try: main({[*mode, '--help']!r})\n"
        f"except SystemExit as left: print(left.code, set(sys.modules) & set({HEAVY}))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert said.stdout.splitlines()[-1] == "0 set()", said.stderr
    assert said.stdout.startswith("usage: gzjax ")


def test_version_is_the_installed_one(capsys):
    from gzjax.main import main

    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"gzjax {importlib.metadata.version('gzjax')}\n"
