"""Workdirs of others: whatever they say, they are refused in a sentence."""

import csv
import json
import os
import re
import zipfile

import cv2
import numpy as np
import pytest
from hostile import claiming, jpeg, refusal, sparse, watched
from tiny import make_plain_config

from gzjax.cli.commands import SOME_FLAGGED
from gzjax.main import main
from gzjax.prediction.parts import Part, Parts
from gzjax.prediction.predict import predict_images
from gzjax.prediction.runs import find_runs
from gzjax.training import run_files as layout
from gzjax.training.checkpoint import Checkpoints
from gzjax.training.checkpoint import weights as module
from gzjax.training.checkpoint.digest import DIGESTS
from gzjax.training.description import describe_run
from gzjax.training.experiment import Experiment
from gzjax.training.open_run import open_run, read_run
from gzjax.training.start import fresh_state
from gzjax.trees import GZ2

STEP = 7
DESCRIPTION = f"{layout.CHECKPOINTS}/{STEP}/run/metadata"


@pytest.fixture(scope="module")
def experiment():
    return Experiment(make_plain_config(), GZ2)


@pytest.fixture(scope="module")
def run(experiment, tmp_path_factory):
    """A run that was saved at once."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    with Checkpoints(folder / layout.CHECKPOINTS) as checkpoints:
        checkpoints.save(
            STEP, experiment.programs.make_state(), describe_run(experiment)
        )
    # Who writes a description can write its digest, or leave out all digests.
    (folder / layout.CHECKPOINTS / str(STEP) / DIGESTS).unlink()
    return folder


@pytest.fixture
def folder(tmp_path):
    with watched(tmp_path) as inside:
        yield inside


@pytest.fixture
def rewrite(run):
    """Writes another description into the run; the own one is back at the end."""
    path = run / DESCRIPTION
    original = path.read_bytes()
    yield path.write_bytes
    path.write_bytes(original)


def put(*keys, value):
    def change(description):
        for key in keys[:-1]:
            description = description[key]
        description[keys[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (put("config", value=[1]), "does not describe a run"),
        (put("config", "learning_rate", value="x"), "config.learning_rate is 'x'"),
        (put("config", "batch_size", value=[8]), "config.batch_size is"),
        (put("config", "data", "dir", value=3), "config.data.dir is 3"),
        (put("config", "tree", value={}), "config.tree has keys"),
        (put("config", "view", value=3), "no config.view.angles_deg"),
        (put("config", "phases", value=[3]), "does not describe a run"),
        (put("config", "model", "name", value="os.system"), "'os.system'; there are"),
        (put("config", "model", "evil", value=[1]), "unexpected keyword .* 'evil'"),
        (put("config", "model", "filters", value="x"), "filters is x"),
        (put("config", "view", "size_px", value=-1), "-1 px are too few"),
        (put("config", "averaging", value="../../x"), "no averaging set '../../x'"),
        (put("config", "data", "num_workers", value=10**6), "num_workers is 1000000"),
        (put("config", "seed", value=2**80), "config.seed"),
        (put("tree", "questions", value=[{}]), "does not describe a run"),
        (put("tree", "columns", value=["x"]), "answers need as many columns"),
        (put("train_mean", value=["x"]), "could not convert string"),
        (put("train_mean", value=[0.5]), "train_mean is not a number for each"),
        (put("versions", value="x"), "does not describe a run"),
        (put("fingerprint", value=None), "fingerprint is no text"),
        (put("detection_threshold", value="../x"), "detection_threshold is no number"),
    ],
)
def test_descriptions_that_are_none_are_refused(change, words, run, rewrite):
    description = json.loads((run / DESCRIPTION).read_bytes())
    change(description)
    rewrite(json.dumps(description).encode())
    assert re.search(words, refusal(open_run, run))


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff", b"[1]", b"null", b"[" * 10**5, b"9" * 5000],
    ids=["empty", "cut", "bytes", "list", "null", "deep", "digits"],
)
def test_what_is_no_description_is_refused(content, run, rewrite):
    rewrite(content)
    assert str(run) in refusal(read_run, run)


def test_description_of_gigabytes_is_not_read(run, rewrite):
    rewrite(b"{")
    os.truncate(run / DESCRIPTION, 10 << 30)
    assert "not files of up to 64 MiB" in refusal(read_run, run)


@pytest.mark.parametrize(
    ("key", "value"), [("decode_scale", 0), ("decode_scale", 3), ("pixel_scale", -1.0)]
)
def test_scales_that_cannot_be_are_refused_before_an_image_is_read(
    key, value, run, rewrite, folder
):
    description = json.loads((run / DESCRIPTION).read_bytes())
    put("config", "data", key, value=value)(description)
    rewrite(json.dumps(description).encode())
    (folder / "images").mkdir()
    (folder / "images" / "1.jpg").write_bytes(jpeg())
    said = refusal(predict_images, [run], folder / "images", folder / "new.csv")
    assert re.search(f"{key} (is|must be) .*{value}", said)


def test_starting_weights_that_are_none_or_claim_too_much_are_refused(
    run, rewrite, experiment, monkeypatch
):
    config = experiment.config.copy_and_resolve_references()
    config.init_from = str(run)
    monkeypatch.setattr(experiment, "config", config)
    assert int(fresh_state(experiment).step) == 0
    with monkeypatch.context() as limit:
        limit.setattr(module, "_MAX_BYTES", 10)
        assert "claims to hold" in refusal(fresh_state, experiment)
    for content in ({"config": 3}, {"config": {"model": {"name": [1]}}}):
        rewrite(json.dumps(content).encode())
        assert "names no network" in refusal(fresh_state, experiment)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("models", [{"name": 3}]),
        ("models", [{"name": ["../x"]}]),
        ("blends", {"model": {"weights": ["x"]}}),
        ("blends", {"model": {"weights": [float("nan")]}}),
        ("blends", {"model": {"weights": [0.5, 0.5]}}),
        ("blends", [1]),
        ("label", 5),
    ],
)
def test_blends_that_are_none_are_refused(key, value, folder):
    report = {"models": [{"name": "a"}], "weights": "model", "label": "valid-none",
              "blends": {"model": {"weights": [1.0]}}}  # fmt: skip
    path = folder / layout.ensemble_name("valid-none")
    path.write_text(json.dumps(report))
    assert find_runs([folder]).names == ("a",)
    path.write_text(json.dumps(report | {key: value}))
    assert f"{path} cannot be read" in refusal(find_runs, [folder])
    sparse(path)
    assert "larger than 64 MiB" in refusal(find_runs, [folder])


def test_parts_of_predictions_run_no_code_and_take_no_memory(folder):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(folder / "made"),)

    parts = Parts(folder / "parts", 1, {"a": 1})
    parts.write(0, Part(np.zeros((1, 2)), np.zeros((1, 2)), np.zeros(1, np.uint8)))
    (path,) = (folder / "parts").iterdir()
    np.savez(path, identity=np.array(Evil(), object), votes=0, spread=0, bad=0)
    assert f"{path} cannot be read" in refusal(parts.read, 0)
    assert not (folder / "made").exists()
    head = b"\x93NUMPY\x01\0v\0{'descr': '<f8', 'fortran_order': False, 'shape': (%d,)}"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("identity", "votes", "spread", "bad"):
            archive.writestr(f"{name}.npy", (head % 10**15).ljust(127) + b"\n")
    assert f"{path} cannot be read" in refusal(parts.read, 0)


# From end to end --------------------------------------------------------------------


def test_predict_flags_bombs_and_keeps_hostile_names_as_text(run, folder):
    images = folder / "images"
    images.mkdir()
    pixels = np.random.default_rng(0).integers(0, 255, (60, 60, 3))
    good = cv2.imencode(".png", pixels)[1]
    names = ["=1+1", "a\nb", "🌌", "<script>", "n" * 250, "\udcff"]
    for name in names:
        (images / f"{name}.png").write_bytes(good.tobytes())
    os.mkfifo(images / "pipe.png")
    sparse(images / "sparse.jpg")
    (images / "claims.jpg").write_bytes(claiming(60_000, 60_000))
    output = folder / "table.csv"
    code = main(["predict", f"--workdir={run}", f"--images={images}", "--kind=table",
                 f"--output={output}", "--averaging=none"])  # fmt: skip
    assert code == SOME_FLAGGED
    with open(output, newline="", encoding="utf-8") as file:
        flags = {row["name"]: row["flag"] for row in csv.DictReader(file)}
    expected = dict.fromkeys([*names[:-1], "\\udcff"], "ok")
    expected |= {"pipe": "missing", "sparse": "too large", "claims": "too large"}
    assert flags == expected
    with zipfile.ZipFile(folder / "x.zip", "w") as archive:
        archive.writestr("../../victim.csv", b"evil")
    assert main(["predict", f"--workdir={run}", f"--images={folder / 'x.zip'}",
                 "--kind=table", f"--output={folder / 'other.csv'}"]) == 2  # fmt: skip
    assert not (folder / "other.csv").exists()
