"""Every program in benchmarks/ starts, and pages name those that there are."""

import re
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent.parent.parent / "benchmarks"
PROGRAMS = sorted(
    path.stem for path in FOLDER.glob("*.py") if "__main__" in path.read_text()
)
PARTS = sorted({path.stem for path in FOLDER.glob("*.py")} - set(PROGRAMS))
# One process for all of them: most of the time is that of importing JAX.
CODE = """
import importlib, runpy, sys
from unittest.mock import MagicMock

_, folder, *programs, parts = sys.argv
sys.path.insert(0, folder)
for name in programs:
    sys.argv = [name, "--help"]
    try:
        runpy.run_path(f"{folder}/{name}.py", run_name="__main__")
    except SystemExit as left:
        assert left.code == 0, name
# Parts that are written in PyTorch name what they take of gzjax all the same.
for name in ("torch", "torch.nn", "torch.nn.functional", "escnn", "escnn.nn"):
    sys.modules.setdefault(name, MagicMock())
for name in parts.split():
    importlib.import_module(name)
"""


def test_every_program_starts_and_every_part_is_imported():
    command = [sys.executable, "-c", CODE, str(FOLDER), *PROGRAMS, " ".join(PARTS)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    usages = [line for line in done.stdout.splitlines() if line.startswith("usage: ")]
    assert [usage.split()[1].removesuffix(".py") for usage in usages] == PROGRAMS


def test_readme_lists_the_command_of_every_program():
    table = (FOLDER / "README.md").read_text()
    for name in PROGRAMS:
        assert f"`python benchmarks/{name}.py" in table
    for name in PARTS:
        assert f"`{name}.py`" in table or f"`{name.split('_')[0]}_*.py`" in table


def test_pages_of_results_name_programs_that_there_are():
    pages = sorted(FOLDER.parent.glob("docs/results/*.md"))
    for page in pages:
        named = re.findall(r"python benchmarks/(\w+)\.py", page.read_text())
        assert named
        assert set(named) <= set(PROGRAMS), page
    readme = (FOLDER.parent / "README.md").read_text()
    assert [page for page in pages if f"(docs/results/{page.name})" not in readme] == []
    assert len(pages) >= 2
