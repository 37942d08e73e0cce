"""The network of the package: there, small, as good as its card says, and usable."""

import json
import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table

import gzjax
from gzjax.data.sources.challenge import open_challenge
from gzjax.data.synthetic.source import SyntheticSource
from gzjax.evaluation.evaluate import evaluate
from gzjax.main import main
from gzjax.training.load_config import load_config
from gzjax.training.run_files import DEFAULT, find_folder, results_folder, shipped
from gzjax.trees import GZ2

ROOT = Path(__file__).parent.parent
FOLDER = shipped()[DEFAULT]
CARD = json.loads((FOLDER / "card.json").read_text())
DRAWN = SyntheticSource(6)


@pytest.fixture(scope="module")
def predictor():
    return gzjax.load()


def test_it_is_small_and_its_card_is_made_of_the_numbers():
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 6e6
    card = runpy.run_path(str(ROOT / "benchmarks" / "model_card.py"))
    assert card["render"](CARD) == (FOLDER / "CARD.md").read_text()
    assert CARD["scores"]["rmse"] < CARD["scores"]["training_mean"]["rmse"]


def test_it_was_trained_by_the_recipe():
    run = json.loads((FOLDER / "config.json").read_text())
    recipe = json.loads(json.dumps(load_config(DEFAULT, []).to_dict()))
    for key in ("model", "view", "augment", "optimizer", "learning_rate", "schedule"):
        assert run["run"]["config"][key] == recipe[key], key
    assert run["step"] == recipe["num_train_steps"] == CARD["step"]


def test_turned_and_mirrored_images_get_the_same_answers(predictor):
    image = DRAWN.decode(0)
    turned = [np.rot90(x, k) for x in (image, image[:, ::-1]) for k in range(4)]
    votes = predictor([np.ascontiguousarray(x) for x in turned]).votes
    np.testing.assert_allclose(votes, votes[:1].repeat(8, 0), atol=2e-6)
    assert predictor.names == GZ2.answer_names


def test_a_folder_is_classified_without_naming_a_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["synthesize", "--output=drawn", "--num_galaxies=3"]) == 0
    images = "--images=drawn/images_training_rev1"
    assert main(["predict", images, "--output=t.csv"]) == 0
    assert "3 images; by gz2" in capsys.readouterr().err
    assert main(["predict", images, "--output=t.ecsv", "--workdir=gz2"]) == 0
    plain, annotated = Table.read("t.csv"), Table.read("t.ecsv")
    assert len(plain) == 3
    assert plain.colnames == annotated.colnames
    assert {p.name for p in tmp_path.iterdir()} >= {"t.csv", "t.ecsv", "drawn"}


def test_a_folder_of_the_same_name_that_holds_a_network_goes_first(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    Path("gz2").mkdir()
    assert find_folder("gz2") == FOLDER
    assert results_folder("gz2") == Path("runs/pretrained/gz2")
    for name in ("config.json", "model.safetensors"):
        shutil.copy(FOLDER / name, "gz2")
    assert find_folder("gz2") == results_folder("gz2") == Path("gz2")


def test_models_lists_it(capsys):
    assert main(["models"]) == 0
    said = capsys.readouterr().out
    assert f"{DEFAULT}: 37 vote fractions" in said
    assert f"RMSE {CARD['scores']['rmse']:.4f}" in said


def test_a_training_on_another_tree_starts_from_it(tmp_path):
    question = {"name": "bar", "answers": ["yes", "no"]}
    tree = {"name": "mine", "questions": [question]}
    (tmp_path / "mine.json").write_text(json.dumps(tree))
    command = [sys.executable, "-m", "gzjax.main", "--config=gz2", "--init_from=gz2"]
    command += ["--config.tree=mine.json", "--config.data.kind=synthetic"]
    command += ["--config.data.synthetic.num_galaxies=20", "--config.num_train_steps=1"]
    command += ["--config.batch_size=4", "--config.data.pixel_scale=1", "--workdir=run"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"starting from {FOLDER}" in done.stderr


needs_galaxies = pytest.mark.skipif(
    "GZJAX_DATA" not in os.environ, reason="GZJAX_DATA names no real galaxies"
)


@needs_galaxies
def test_the_scores_are_those_of_the_card(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = Path(os.environ["GZJAX_DATA"], "galaxy-zoo-7k-half")
    scores = evaluate("gz2", data=data, averaging="none")
    assert scores["rmse"] == pytest.approx(CARD["scores"]["rmse"], rel=1e-4)
    for key in ("galaxies", "fingerprint"):
        assert scores[key] == CARD["scores"][key]
    assert scores["rotation_robustness"] < 1e-6


@needs_galaxies
def test_originals_and_half_size_copies_get_the_same_answers(predictor):
    root = Path(os.environ["GZJAX_DATA"])
    fine = open_challenge(root / "galaxy-zoo-600", GZ2)
    coarse = open_challenge(root / "galaxy-zoo-7k-half", GZ2, pixel_scale=2.0)
    rows = np.searchsorted(coarse.ids, fine.ids[:60])
    both = [fine.decode(i) for i in range(60)], [coarse.decode(i) for i in rows]
    fine_votes, coarse_votes = (predictor(images).votes for images in both)
    apart = np.abs(fine_votes - coarse_votes)
    assert np.sqrt((apart**2).mean()) < 0.005
    assert np.quantile(apart, 0.99) < 0.02
