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

from gzjax.evaluation.compare.systems import System, check_folder
from gzjax.files import MAX_JSON_BYTES
from gzjax.main import SOME_FLAGGED, main
from gzjax.prediction.chunks import Chunk, Chunks
from gzjax.prediction.predict import predict
from gzjax.prediction.runs import find_runs
from gzjax.training import run_files as layout
from gzjax.training.checkpoint import saved as module
from gzjax.training.checkpoint.checkpoints import Checkpoints
from gzjax.training.checkpoint.digest import write_digests
from gzjax.training.experiment import Experiment
from gzjax.training.identity import describe_run
from gzjax.training.open_run import open_run, read_run
from gzjax.training.start import first_state, fresh_state
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
    return folder


@pytest.fixture
def folder(tmp_path):
    with watched(tmp_path) as inside:
        yield inside


@pytest.fixture
def rewrite(run):
    """Writes another description, and its digest; the own one is back at the end."""
    path = run / DESCRIPTION
    original = path.read_bytes()

    def write(content):
        path.write_bytes(content)
        write_digests(run / layout.CHECKPOINTS / str(STEP))

    yield write
    write(original)


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
        (put("config", "tree", value={}), "config.tree is {}"),
        (put("config", "view", value=3), "config.view is 3"),
        (put("config", "view", value={}), "config.view.angles_deg is missing"),
        (put("config", "phases", value=[3]), "config.phases is"),
        (put("config", "phases", value={"a": 3}), "config.phases are not keys"),
        (put("config", "model", "name", value="os.system"), "'os.system'; there are"),
        (put("config", "model", "evil", value=[1]), "unexpected keyword .* 'evil'"),
        (
            put("config", "averaging", value="../../x"),
            "averaging is '../../x'; there are: none",
        ),
        (put("config", "seed", value=2**80), "config.seed"),
        (put("tree", "questions", value=[{}]), "does not describe a run"),
        (put("tree", "columns", value=["x"]), "37 answers need as many columns, not 1"),
        (put("train_mean", value=["x"]), "could not convert string"),
        (put("train_mean", value=[0.5]), "train_mean is not a number for each"),
        (put("versions", value="x"), "does not describe a run"),
        (put("fingerprint", value=None), "fingerprint or versions are not texts"),
        (
            put("detection_threshold", value="../x"),
            "detection_threshold is not a number",
        ),
    ],
)
def test_descriptions_that_are_none_are_refused(change, words, run, rewrite):
    description = json.loads((run / DESCRIPTION).read_bytes())
    change(description)
    rewrite(json.dumps(description).encode())
    assert re.search(words, refusal(lambda: open_run(read_run(run))))


def test_a_run_older_than_a_key_was_trained_as_by_its_default(run, rewrite, experiment):
    description = json.loads((run / DESCRIPTION).read_bytes())
    del description["config"]["loss_consistency"]
    rewrite(json.dumps(description).encode())
    assert open_run(read_run(run)).experiment.config.loss_consistency == 0
    with Checkpoints(run / layout.CHECKPOINTS) as checkpoints:
        state = first_state(
            experiment, describe_run(experiment), checkpoints, run, None
        )
    assert state.step == 0  # as it was saved


@pytest.mark.parametrize(
    "content", [{}, {"config": []}, {"config": {"num_train_steps": 2, "phases": 3}}]
)
def test_what_describes_no_run_is_not_resumed(content, run, rewrite, experiment):
    rewrite(json.dumps(content).encode())
    here = describe_run(experiment)
    with Checkpoints(run / layout.CHECKPOINTS) as checkpoints:
        said = refusal(first_state, experiment, here, checkpoints, run, None)
    assert "does not describe a run" in said
    system = System("name", "argument", experiment.config, 0, {}, here, {})
    assert refusal(check_folder, system, 0, run) == said


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff", b"[1]", b"null", b"[" * 10**5, b"9" * 5000],
    ids=["empty", "cut", "bytes", "list", "null", "deep", "digits"],
)
def test_what_is_no_description_is_refused(content, run, rewrite):
    rewrite(content)
    assert str(run) in refusal(read_run, run)


def test_too_large_a_description_is_not_read(run, rewrite):
    rewrite(b"{" + bytes(MAX_JSON_BYTES))
    assert "larger than 64 MiB" in refusal(read_run, run)


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
    said = refusal(predict, folder / "images", folder / "new.csv", workdirs=[run])
    assert re.search(f"{key} (is|must be) .*{value}", said)


def test_starting_weights_that_are_none_or_claim_too_much_are_refused(
    run, rewrite, experiment, monkeypatch
):
    config = experiment.config.copy_and_resolve_references()
    config.init_from = str(run)
    monkeypatch.setattr(experiment, "config", config)
    assert int(fresh_state(experiment).step) == 0
    with monkeypatch.context() as limit:
        limit.setattr(module, "_MAX_WEIGHTS_BYTES", 10)
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
    report = {"models": [{"name": "a"}], "weights": "model", "label": "valid-none"}
    report["blends"] = {"model": {"weights": [1.0]}}
    path = folder / layout.ensemble_name("valid-none")
    path.write_text(json.dumps(report))
    assert find_runs([folder])[0] == ["a"]
    path.write_text(json.dumps(report | {key: value}))
    assert f"{path} cannot be read" in refusal(find_runs, [folder])
    sparse(path)
    assert "larger than 64 MiB" in refusal(find_runs, [folder])


def test_chunks_of_predictions_run_no_code_and_take_no_memory(folder):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(folder / "made"),)

    chunks = Chunks(folder / "chunks", 1, {"a": 1})
    bad = np.zeros(1, np.uint8)
    chunks.write(0, Chunk(*np.zeros((2, 1, 2)), bad, np.zeros((1, 0))))
    (path,) = (folder / "chunks").iterdir()
    np.savez(
        path, identity=np.array(Evil(), object), votes=0, spread=0, bad=0, unlike=0
    )
    assert f"{path} cannot be read" in refusal(chunks.read, 0)
    assert not (folder / "made").exists()
    head = b"\x93NUMPY\x01\0v\0{'descr': '<f8', 'fortran_order': False, 'shape': (%d,)}"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("identity", "votes", "spread", "bad", "unlike"):
            archive.writestr(f"{name}.npy", (head % 10**15).ljust(127) + b"\n")
    assert f"{path} cannot be read" in refusal(chunks.read, 0)


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
    command = ["predict", f"--workdir={run}", "--kind=table", "--averaging=none"]
    code = main([*command, f"--images={images}", f"--output={output}"])
    assert code == SOME_FLAGGED
    with open(output, newline="", encoding="utf-8") as file:
        flags = {row["name"]: row["flag"] for row in csv.DictReader(file)}
    expected = dict.fromkeys([*names[:-1], "\\udcff"], "ok")
    expected |= {"pipe": "missing", "sparse": "too large", "claims": "too large"}
    assert flags == expected
    with zipfile.ZipFile(folder / "x.zip", "w") as archive:
        archive.writestr("../../victim.csv", b"evil")
    other = folder / "other.csv"
    code = main([*command, f"--images={folder / 'x.zip'}", f"--output={other}"])
    assert code == 2
    assert not other.exists()
