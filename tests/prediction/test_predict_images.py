"""Predictions of images without votes: every row, in order, however often cut."""

import csv
import functools
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from astropy.table import Table
from PIL import Image
from pyarrow import parquet
from tiny import make_plain_config, make_view_config

import gzjax
from gzjax.data.detections.detect import detect
from gzjax.data.images.read_image import FLAGS
from gzjax.data.synthetic.folder import write_folder
from gzjax.data.synthetic.source import SyntheticSource
from gzjax.data.vote_files import read_votes
from gzjax.errors import UserError
from gzjax.evaluation.ensemble.ensemble import ensemble
from gzjax.evaluation.evaluate import evaluate, train_and_evaluate
from gzjax.main import SOME_FLAGGED, main
from gzjax.prediction import chunks as chunks_module
from gzjax.prediction.export import export
from gzjax.prediction.merge import merge
from gzjax.prediction.predict import predict
from gzjax.trees import GZ2

SOURCE = SyntheticSource(44, size_px=106)
submit = functools.partial(predict, kind="submission")


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(chunks_module, "ROWS", 10)


def on(data):
    """The keys of a config that is trained on a folder of the source."""
    names = {"kind": "challenge", "dir": str(data), "pixel_scale": 4.0}
    return {f"data__{key}": value for key, value in names.items()}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    data = folder / "data"
    write_folder(SOURCE, data)
    for name, seed in (("a", 0), ("b", 1)):
        steps = {"num_train_steps": 2, "head_warmup_steps": 0}
        config = make_plain_config(seed=seed, **steps, **on(data))
        train_and_evaluate(config, folder / name)
    return folder


@pytest.fixture(scope="module")
def images(runs):
    return runs / "data" / "images_training_rev1"


@pytest.fixture
def some(images, tmp_path):
    """A folder of the first 12 images, to be changed."""
    folder = tmp_path / "some"
    folder.mkdir()
    for name in sorted(os.listdir(images))[:12]:
        shutil.copy(images / name, folder)
    return folder


def check_submission(path, num_rows):
    """A strict reading of the challenge's format; returns ids and numbers."""
    text = path.read_bytes().decode("ascii")
    assert "\r" not in text
    assert text.endswith("\n")
    rows = list(csv.reader(io.StringIO(text)))
    assert rows[0] == ["GalaxyID", *GZ2.columns]
    assert all(len(row) == 38 for row in rows)
    assert len(rows) == num_rows + 1
    ids = [int(row[0]) for row in rows[1:]]
    assert [str(i) for i in ids] == [row[0] for row in rows[1:]]
    assert ids == sorted(set(ids))
    votes = np.array([[float(x) for x in row[1:]] for row in rows[1:]])
    assert votes.min() >= 0
    assert votes.max() <= 1
    for here, parents in zip(GZ2.slices, GZ2.parents, strict=True):
        asked = votes[:, list(parents)].sum(1) if parents else 1.0
        np.testing.assert_allclose(votes[:, here].sum(1), asked, atol=2e-6)
    return np.array(ids), votes


def read_table(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_submission_holds_the_numbers_of_an_evaluation(runs, images, tmp_path):
    assert submit(images, tmp_path / "out.csv", workdirs=[runs / "a"]) == 0
    ids, votes = check_submission(tmp_path / "out.csv", 44)
    np.testing.assert_array_equal(ids, SOURCE.ids)
    evaluate(runs / "a", split="all")
    known = read_votes(runs / "a" / "predictions-all-none.csv")
    np.testing.assert_allclose(votes, known.votes, atol=1e-6)


def test_runs_are_averaged_as_ensemble_does(runs, images, tmp_path):
    both = [runs / "a", runs / "b"]
    submit(images, tmp_path / "mean.csv", workdirs=both, averaging="c4")
    for run in both:
        evaluate(run, split="all", averaging="c4")
        evaluate(run, split="valid", averaging="c4")
    options = {"weights": "answer", "apply": "all-c4"}
    ensemble(both, "valid-c4", output=tmp_path / "blend", **options)
    weighted = tmp_path / "weighted.csv"
    submit(images, weighted, workdirs=[tmp_path / "blend"], averaging="c4")
    blend = read_votes(tmp_path / "blend" / "predictions-all-c4.csv").votes
    np.testing.assert_allclose(
        read_votes(weighted).votes, np.clip(blend, 0, 1), atol=1e-6
    )
    mean = np.mean(
        [read_votes(run / "predictions-all-c4.csv").votes for run in both], axis=0
    )
    np.testing.assert_allclose(read_votes(tmp_path / "mean.csv").votes, mean, atol=1e-6)
    assert np.abs(mean - blend).max() > 1e-3
    # Without a word the set is that which the weights were fitted for.
    submit(images, tmp_path / "again.csv", workdirs=[tmp_path / "blend"])
    assert (tmp_path / "again.csv").read_bytes() == weighted.read_bytes()
    table = tmp_path / "table.csv"
    predict(images, table, workdirs=[tmp_path / "blend"], kind="table")
    spread = [float(row["bar_yes_spread"]) for row in read_table(table)]
    report = json.loads((tmp_path / "blend" / "ensemble-valid-c4.json").read_text())
    w = np.array(report["blends"]["answer"]["weights"])[:, 5]
    a, b = (read_votes(run / "predictions-all-c4.csv").votes[:, 5] for run in both)
    np.testing.assert_allclose(spread, np.sqrt(w[0] * w[1]) * abs(a - b), atol=2e-6)
    with pytest.raises(UserError, match="give one output of ensemble alone"):
        submit(images, weighted, workdirs=[tmp_path / "blend", runs / "a"])


def test_table_has_spread_and_words_and_is_cut_by_astropy(runs, images, tmp_path):
    out, ecsv = tmp_path / "out.csv", tmp_path / "out.ecsv"
    predict(images, out, workdirs=[runs / "a"], kind="table")
    rows = read_table(out)
    assert [row["name"] for row in rows] == [str(i) for i in SOURCE.ids]
    assert not any(name.endswith("spread") for name in rows[0])
    assert all(row["flag"] == "ok" and row["morphology"] for row in rows)
    predict(images, ecsv, workdirs=[runs / "a"], kind="table", averaging="rot3x2")
    table = Table.read(ecsv)
    assert (table["smooth_or_featured_smooth_spread"] > 0).all()
    middle = np.median(table["bar_yes_fraction"])
    bars = table[(table["edge_on_no"] > 0) & (table["bar_yes_fraction"] > middle)]
    assert 0 < len(bars) <= 22
    assert min(bars["bar_yes_fraction"]) > middle


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """300 files: galaxies of many formats and sizes, and what is no galaxy."""
    folder = tmp_path_factory.mktemp("mixed")
    rng, expected = np.random.default_rng(3), {}
    whole = SOURCE.read(0)
    for i in range(300):
        size = int(rng.integers(30, 120))
        image = Image.fromarray(rng.integers(0, 256, (size, size, 3), np.uint8))
        path, flag = folder / f"{i:04d}.jpg", "ok"
        match i % 20:
            case 1:
                image.convert("L").save(path)
            case 2:
                image.convert("CMYK").save(path)
            case 3:
                image.save(path.with_suffix(".png"))
            case 4:
                path.write_bytes(whole[: len(whole) // 2])
                flag = "truncated"
            case 5:
                path.touch()
                flag = "empty"
            case 6:
                path.with_suffix(".txt").write_text("a note")
                flag = "not an image"
            case 7:
                Image.new("1", (9000, 9000)).save(path.with_suffix(".png"))
                flag = "too large"
            case _:
                image.save(path)
        expected[f"{i:04d}.txt" if flag == "not an image" else path.stem] = flag
    return folder, expected


def test_bad_images_are_flagged_rows(runs, mixed, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(chunks_module, "ROWS", 64)
    folder, expected = mixed
    assert set(expected.values()) < set(FLAGS)
    out = tmp_path / "out.csv"
    command = ["predict", f"--workdir={runs / 'a'}", f"--images={folder}"]
    command += [f"--output={out}", "--kind=table", "--num_workers=1"]
    assert main(command) == SOME_FLAGGED
    rows = read_table(out)
    assert {row["name"]: row["flag"] for row in rows} == expected
    assert [row["name"] for row in rows] == sorted(
        expected, key=lambda name: (name.endswith(".txt"), name)
    )
    for row in rows:
        fine = row["flag"] == "ok"
        assert bool(row["morphology"]) == bool(row["bar_yes"]) == fine
    listed = (tmp_path / "out.csv.flagged.csv").read_text().splitlines()
    assert listed[0] == "name,flag"
    assert len(listed) - 1 == sum(flag != "ok" for flag in expected.values())
    said = capsys.readouterr().err
    assert "15 truncated, with no numbers: 0004, 0024" in said
    assert "out.csv: 300 rows" in said
    with pytest.raises(UserError, match=r"a submission needs galaxy ids.*0006\.txt"):
        submit(folder, tmp_path / "no.csv", workdirs=[runs / "a"])
    assert not (tmp_path / "no.csv").exists()


def test_bad_image_of_a_submission_gets_the_training_mean(runs, some, tmp_path):
    (some / f"{SOURCE.ids[3]}.jpg").write_bytes(b"")
    assert submit(some, tmp_path / "out.csv", workdirs=[runs / "a"]) == 1
    _, votes = check_submission(tmp_path / "out.csv", 12)
    mean = SOURCE.targets[:33].mean(0)  # of those that are trained on
    np.testing.assert_allclose(votes[3], mean, atol=1e-6)
    assert np.abs(votes[2] - mean).max() > 1e-3


def test_shards_and_interruptions_make_the_same_file(runs, images, tmp_path, capsys):
    whole, shared = tmp_path / "whole.csv", tmp_path / "shared.csv"
    submit(images, whole, workdirs=[runs / "a"], averaging="c4")
    for shard in ("2/3", "1/2"):  # chunks 1 and 4; 0, 2 and 4: one of them twice
        submit(images, shared, workdirs=[runs / "a"], averaging="c4", shard=shard)
    assert "other shards have yet to make: 1." in capsys.readouterr().err
    with pytest.raises(UserError, match=r"1 of 5 chunks .* missing \(3\)"):
        merge(shared)
    assert not shared.exists()
    files = tmp_path.glob("shared.csv.chunks/*/*.npz")
    made = {p: p.stat().st_mtime_ns for p in files}
    submit(images, shared, workdirs=[runs / "a"], averaging="c4", shard="1/3")
    assert merge(shared) == 0
    assert shared.read_bytes() == whole.read_bytes()
    assert all(p.stat().st_mtime_ns == time for p, time in made.items())
    assert len(made) == 4


def test_chunks_of_other_predictions_are_refused(runs, some, tmp_path):
    a, b, out = runs / "a", runs / "b", tmp_path / "out.csv"
    submit(some, out, workdirs=[a])
    before = out.read_bytes()
    for workdirs, options, message in (
        ([a], {"averaging": "d4"}, "averaging: 'none' there, 'd4' here"),
        ([a], {"dtype": "bfloat16"}, "dtype: 'float32' there, 'bfloat16' here"),
        ([a], {"kind": "table"}, "kind: 'submission' there, 'table' here"),
        ([a], {"kind": "table", "shard": "2/2"}, "'submission' there, 'table' here"),
        ([a, b], {}, r"weights: \[1.0\] there, \[0.5, 0.5\] here"),
        ([b], {}, "parameters and config: "),
    ):
        with pytest.raises(UserError, match=message):
            submit(some, out, workdirs=workdirs, **options)
    # A chunk of another run among them, as after copying folders together.
    submit(some, tmp_path / "b.csv", workdirs=[b])
    chunk = "run0/chunk-00001-of-00002.npz"
    shutil.copy(tmp_path / "b.csv.chunks" / chunk, tmp_path / "out.csv.chunks" / chunk)
    with pytest.raises(UserError, match=r"chunk-00001.*made under other conditions"):
        merge(out)
    (tmp_path / "out.csv.chunks" / chunk).write_bytes(b"torn")
    with pytest.raises(UserError, match=r"cannot be read.*remove it"):
        merge(out)
    image = next(some.iterdir())
    image.write_bytes(image.read_bytes())  # of the same size, written anew
    with pytest.raises(UserError, match="images: "):
        submit(some, out, workdirs=[a])
    assert out.read_bytes() == before
    (tmp_path / "old.csv.parts").mkdir()
    with pytest.raises(UserError, match="is of an older gzjax: remove it"):
        submit(some, tmp_path / "old.csv", workdirs=[a])
    for nameless in ("", ".", "/"):
        with pytest.raises(UserError, match="is a folder: name a file"):
            predict(some, nameless, workdirs=[a], kind="table")
        with pytest.raises(UserError, match="is a folder: name a file"):
            merge(nameless)


def test_plan_of_another_command_is_not_merged_by(
    runs, images, some, tmp_path, monkeypatch
):
    def interrupted(*args):
        raise KeyboardInterrupt

    out = tmp_path / "out.csv"
    table = functools.partial(predict, some, out, workdirs=[runs / "a"])
    table()
    for name in sorted(os.listdir(images))[12:35]:  # the number of chunks changes
        shutil.copy(images / name, some)
    with pytest.raises(UserError, match=r"(?s)names: .* there, .*if it is old"):
        table(shard="1/2")
    with monkeypatch.context() as patch:
        patch.setattr("gzjax.prediction.predict._predict_chunks", interrupted)
        with pytest.raises(KeyboardInterrupt):
            table()
    with pytest.raises(UserError, match=r"plan\.json cannot be read"):
        merge(out)
    table()
    assert len(read_table(out)) == 35


def test_shards_of_other_arguments_are_refused(runs, some, tmp_path):
    a, out = runs / "a", tmp_path / "out.csv"
    submit(some, out, workdirs=[a], shard="1/2")
    (some / f"{SOURCE.ids[11]}.jpg").unlink()
    for path in (tmp_path / "out.csv.chunks").glob("*/*.npz"):
        path.unlink()  # as on a disk that is not shared
    with pytest.raises(UserError, match=r"names: .*\n.*same arguments"):
        submit(some, out, workdirs=[a], shard="2/2")


@pytest.mark.parametrize(
    "changes",
    [
        {"votes": np.zeros((3, 37), np.float32)},
        {"votes": np.zeros(10, np.float32)},
        {"spread": np.float32(0)},
        {"bad": np.full(10, 77, np.uint8)},
    ],
)
def test_chunks_of_other_shapes_or_codes_are_refused(runs, some, tmp_path, changes):
    submit(some, tmp_path / "out.csv", workdirs=[runs / "a"])
    chunk = tmp_path / "out.csv.chunks/run0/chunk-00000-of-00002.npz"
    np.savez(chunk, **(dict(np.load(chunk)) | changes))
    with pytest.raises(UserError, match=r"chunk-00000.* cannot be read: .*remove it"):
        merge(tmp_path / "out.csv")


KILLED = """
import sys
from gzjax.prediction import chunks
chunks.ROWS = 10
from gzjax.main import main
if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
"""


def test_killed_half_way_and_finished_by_other_shards(runs, images, tmp_path):
    script, out = tmp_path / "killed.py", tmp_path / "out.csv"
    script.write_text(KILLED)
    command = [sys.executable, str(script), "predict", f"--workdir={runs / 'a'}"]
    command += ["--kind=submission"]
    command += [f"--images={images}", f"--output={out}"]
    folder = tmp_path / "out.csv.chunks" / "run0"
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not any(folder.glob("chunk-*.npz")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    for shard in ("3/3", "2/3", "1/3"):
        submit(images, out, workdirs=[runs / "a"], shard=shard)
    merge(out)
    submit(images, tmp_path / "whole.csv", workdirs=[runs / "a"])
    assert out.read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_bad_arguments_cost_nothing(runs, images, tmp_path):
    a, b, out = runs / "a", runs / "b", tmp_path / "out.csv"
    table = {"kind": "table"}
    for workdirs, path, output, options, message in (
        ([], images, out, {}, "give at least 1, --workdirs"),
        ([a, b / ".." / "a"], images, out, {}, "give each run once"),
        ([a], tmp_path / "no", out, {}, "there is no such path"),
        ([a], images, out, {"kind": "csv"}, "there are submission, table"),
        ([a], images, out, {"averaging": "d9"}, "no averaging set 'd9'"),
        ([a, b], images, out, {"kind": "embeddings"}, "embeddings is of one run"),
        ([a], images, tmp_path / "out.txt", table, "a table is written as"),
        ([a], images, tmp_path / "out.ecsv", {}, "a submission is a .csv"),
        ([tmp_path], images, out, {}, "holds no checkpoint"),
        ([a], images, images / "out.csv", {}, "lies among the images"),
        ([a], images, out, {"pixel_scale": 0.0}, "is not a number above 0"),
        ([a], images, out, {"dtype": "half"}, "'half'; there are: float32, bfloat16"),
    ):
        with pytest.raises(UserError, match=message):
            submit(path, output, workdirs=workdirs, **options)
    with pytest.raises(UserError, match=r"cannot be read.*--output of predict"):
        merge(out)
    assert not list(tmp_path.iterdir())


def test_centred_runs_find_the_galaxies_likewise(runs, images, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(runs / "data", data)
    detect(data, threshold=10, pixel_scale=4, num_workers=0)
    steps = {"num_train_steps": 1, "head_warmup_steps": 0}
    config = make_view_config("centred10", **steps, **on(data))
    train_and_evaluate(config, tmp_path / "centred")
    submit(images, tmp_path / "out.csv", workdirs=[tmp_path / "centred"])
    evaluate(tmp_path / "centred", split="all")
    known = read_votes(tmp_path / "centred" / "predictions-all-none.csv").votes
    votes = read_votes(tmp_path / "out.csv").votes
    # The table has lengths of 3 decimals.
    np.testing.assert_allclose(votes, known, atol=1e-3)
    assert np.abs(votes - known).mean() < 1e-5
    predictor = gzjax.load(tmp_path / "centred")
    paths = [images / f"{i}.jpg" for i in SOURCE.ids]
    np.testing.assert_allclose(predictor(paths).votes, votes, atol=1e-6)
    with pytest.raises(UserError, match="a program cannot find them"):
        export(tmp_path / "centred", tmp_path / "program")


def test_embeddings_are_a_table_of_the_last_features(runs, some, tmp_path):
    out = tmp_path / "out.parquet"
    (some / "note.txt").write_text("no galaxy")
    command = ["predict", f"--workdir={runs / 'a'}", f"--images={some}"]
    command += ["--kind=embeddings", "--averaging=c4", f"--output={out}"]
    for shard in ("2/2", "1/2"):
        assert main([*command, f"--shard={shard}"]) == 0
    assert main(["merge", f"--output={out}"]) == SOME_FLAGGED
    table = parquet.read_table(out).to_pydict()
    assert list(table) == ["name", "flag", *(f"feature_{i}" for i in range(8))]
    assert table["flag"] == ["ok"] * 12 + ["not an image"]
    features = np.array([table[f"feature_{i}"] for i in range(8)], float).T
    assert np.isnan(features[12]).all()
    predictor = gzjax.load(runs / "a")
    paths = [some / f"{name}.jpg" for name in table["name"][:12]]
    known = predictor.embed(paths, averaging="c4")
    np.testing.assert_allclose(features[:12], known, atol=1e-5)
    assert np.ptp(known, axis=0).max() > 1e-3
