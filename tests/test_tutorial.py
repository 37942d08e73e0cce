"""docs/tutorial.md does what it says: its blocks run in order, on small numbers."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import doc_blocks
import numpy as np
import pytest
from compiling import QUICKLY
from PIL import Image

SMALL = {"GALAXIES": "40", "STEPS": "2"}


def run_blocks(folder):
    """What all blocks print; those of Python share their names, as in a notebook."""
    output, python = "", ""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, **SMALL, "PATH": path, "XLA_FLAGS": QUICKLY}
    for block in doc_blocks.blocks_of("tutorial.md"):
        if block.language == "python":
            python += block.code
            continue
        output += run(["bash", "-euc", block.code], folder, environment)
    return output + run([sys.executable, "-c", python], folder, environment)


def run(command, folder, environment):
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_tutorial_runs(tmp_path):
    said = run_blocks(tmp_path)
    exact, published = json.loads(
        (tmp_path / "robustness/robustness.json").read_text()
    )["models"]
    assert exact["robustness"]["mean"] < 1e-6 < 1e-4 < published["robustness"]["mean"]
    with Image.open(tmp_path / "robustness" / "robustness-curves.png") as figure:
        assert min(figure.size) > 100
    assert len((tmp_path / "table.csv").read_text().splitlines()) == 41
    assert len((tmp_path / "features.csv").read_text().splitlines()) == 41
    assert "of the volunteers would say smooth (ok)" in said
    change = float(re.search(r"largest change of an answer: (\S+)", said)[1])
    assert change < 1e-5
    shape, difference = re.search(r"(\(1, 37\)) (\S+)\n", said).groups()
    assert shape == str(np.zeros((1, 37)).shape)
    assert float(difference) < 1e-5


def test_every_block_is_of_a_language_that_is_run():
    blocks = doc_blocks.blocks_of("tutorial.md")
    assert {block.language for block in blocks} == {"sh", "python"}
    for block in blocks:
        if block.language == "python":
            compile(block.code, "docs/tutorial.md", "exec")
        else:
            subprocess.run(["bash", "-nc", block.code], check=True)
