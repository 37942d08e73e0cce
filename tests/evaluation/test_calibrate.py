"""A calibration is made, found, refused where it is another's, and used."""

import csv
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny import make_plain_config

import gzjax
from gzjax.data.familiar.wrong_kinds import KINDS, draw_wrong
from gzjax.data.sources.challenge import open_challenge
from gzjax.data.synthetic.folder import write_folder
from gzjax.data.synthetic.source import SyntheticSource
from gzjax.errors import UserError
from gzjax.evaluation.calibration import calibrate as module
from gzjax.evaluation.calibration import fit_reference as fitting
from gzjax.evaluation.calibration.calibrate import calibrate
from gzjax.evaluation.calibration.examples import make_examples
from gzjax.evaluation.calibration.storage import find_calibration
from gzjax.evaluation.evaluate import train_and_evaluate
from gzjax.main import main
from gzjax.prediction.export import export
from gzjax.prediction.predict import predict
from gzjax.training.open_run import read_run
from gzjax.training.run_files import CALIBRATION
from gzjax.trees import GZ2

NUM_GOOD = 6


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run with a calibration, made quickly; and images, good ones and noise."""
    folder = tmp_path_factory.mktemp("calibrated")
    source = SyntheticSource(90, size_px=106)
    write_folder(source, folder / "data")
    data = {"data__kind": "challenge", "data__dir": str(folder / "data")}
    config = make_plain_config(
        num_train_steps=2, head_warmup_steps=0, data__pixel_scale=4.0, **data
    )
    train_and_evaluate(config, folder / "run")
    shutil.copytree(folder / "run", folder / "plain")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_DRAWN", 30)
        patch.setattr(module, "_DRAWN_HELD_OUT", 5)
        patch.setattr(fitting, "_STEPS", 200)
        patch.setattr(fitting, "FALSE_FLAGS", 0.1)
        main(["calibrate", f"--workdir={folder}/run"])
    (folder / "images").mkdir()
    for i in range(NUM_GOOD):
        Image.fromarray(source.decode(i)).save(folder / "images" / f"{i}.png")
    for i in range(3):
        noise = draw_wrong(KINDS.index("noise"), np.random.default_rng([7, i]), 212)
        Image.fromarray(noise).save(folder / "images" / f"noise{i}.png")
    (folder / "images" / "zero.png").touch()
    return folder


def table_of(folder, out, capsys, run="run", **options):
    predict(folder / "images", out, workdirs=[folder / run], **options)
    with open(out) as file:
        return list(csv.DictReader(file)), capsys.readouterr().err


def test_tables_say_what_is_unlike_and_give_intervals(folder, tmp_path, capsys):
    rows, said = table_of(folder, tmp_path / "t.csv", capsys)
    unlike = [row for row in rows if row["familiar"] == "False" and row["unlike"]]
    assert {"noise0", "noise1", "noise2"} <= {row["name"] for row in unlike}
    assert len(unlike) <= 3 + NUM_GOOD // 2
    for row in rows[:-1]:
        is_flagged = row["familiar"] == "False"
        assert is_flagged == (float(row["unlike"]) > 0.5) == bool(row["resembles"])
        for name in ("smooth_or_featured_smooth", "bar_yes"):
            ends = float(row[f"{name}_low"]), float(row[f"{name}_high"])
            assert ends[0] <= float(row[name]) + 1e-6
            assert float(row[name]) <= ends[1] + 1e-6
    assert (rows[-1]["unlike"], rows[-1]["resembles"]) == ("", "")
    assert f"unlike the training galaxies: {len(unlike)} of 10 images\n" in said
    assert ": noise0" in said


def test_resumed_and_whole_predictions_are_the_same(folder, tmp_path, capsys):
    whole, _ = table_of(folder, tmp_path / "a.csv", capsys)
    table_of(folder, tmp_path / "b.csv", capsys, shard="1/1")
    predict(folder / "images", tmp_path / "b.csv", workdirs=[folder / "run"])
    assert (tmp_path / "b.csv").read_bytes() == (tmp_path / "a.csv").read_bytes()
    shutil.rmtree(tmp_path / "b.csv.chunks" / "run0")
    (tmp_path / "b.csv").unlink()
    again, _ = table_of(folder, tmp_path / "b.csv", capsys)
    assert again == whole


def test_chunks_without_the_calibration_are_of_another_prediction(folder, tmp_path):
    out = tmp_path / "t.csv"
    predict(folder / "images", out, workdirs=[folder / "plain"])
    assert "unlike" not in out.read_text()
    shutil.copy(folder / "run" / CALIBRATION, folder / "plain")
    try:
        with pytest.raises(UserError, match="calibration"):
            predict(folder / "images", out, workdirs=[folder / "plain"])
    finally:
        (folder / "plain" / CALIBRATION).unlink()


def test_several_runs_are_judged_by_the_first_that_can(folder, tmp_path, capsys):
    runs = [folder / "plain", folder / "run"]
    predict(folder / "images", tmp_path / "t.csv", workdirs=runs)
    header = (tmp_path / "t.csv").read_text().splitlines()[0].split(",")
    assert header[3:6] == ["unlike", "familiar", "resembles"]
    assert "bar_yes_spread" in header
    assert "bar_yes_low" not in header


def test_load_says_the_same_and_an_export_takes_it_along(folder, tmp_path, capsys):
    rows, _ = table_of(folder, tmp_path / "t.csv", capsys)
    export(folder / "run", tmp_path / "weights", kind="safetensors")
    images = [folder / "images" / f"{row['name']}.png" for row in rows]
    for path in (folder / "run", tmp_path / "weights"):
        votes = gzjax.load(path)(images)
        assert list(votes.resembles) == [row["resembles"] for row in rows]
        known = [float(row["unlike"] or "nan") for row in rows]
        np.testing.assert_allclose(votes.unlike, known, atol=1e-3)
        low = [float(row["bar_yes_low"] or "nan") for row in rows]
        np.testing.assert_allclose(votes.low[:, 5], low, atol=1e-4)
        assert (votes.low <= votes.high)[:-1].all()
    plain = gzjax.load(folder / "plain")(images[:1])
    assert (plain.unlike, plain.resembles, plain.low, plain.high) == (None,) * 4


def test_the_calibration_of_another_step_is_not_used(folder, capsys):
    saved = read_run(folder / "run")
    assert find_calibration(saved).about["step"] == 2
    other = saved._replace(step=3)
    assert find_calibration(other) is None
    assert "is not used. Make it anew: gzjax calibrate" in capsys.readouterr().err
    other = saved._replace(run=saved.run | {"fingerprint": "0"})
    assert find_calibration(other) is None


def test_damage_is_said(folder, tmp_path):
    whole = (folder / "run" / CALIBRATION).read_bytes()
    shutil.copytree(folder / "plain", tmp_path / "run")
    for data in (b"", whole[:100], whole[:-4], whole.replace(b"far", b"fur")):
        (tmp_path / "run" / CALIBRATION).write_bytes(data)
        with pytest.raises(UserError, match=r"cannot be read.*with calibrate$"):
            find_calibration(read_run(tmp_path / "run"))


def test_only_galaxies_that_were_not_trained_on_calibrate(folder):
    with pytest.raises(UserError, match="--split=train: give valid or test"):
        calibrate(folder / "run", split="train")


@pytest.mark.slow
def test_real_galaxies_are_familiar_and_wrong_images_are_not():
    root = os.environ.get("GZJAX_DATA")
    if not root:
        pytest.skip("GZJAX_DATA does not name the folder of real galaxies")
    source = open_challenge(
        Path(root) / "galaxy-zoo-7k-half", GZ2, pixel_scale=2.0, check_images=False
    )
    odd = np.arange(1, len(source), 2)
    examples = make_examples(source, odd, 500, seed=0)
    others = make_examples(source, odd[::4] - 1, 150, seed=1)
    reference = fitting.fit_reference(examples, others, 0)
    more = make_examples(source, odd[2::4] - 1, 150, seed=2)
    flagged = fitting.flagged_shares(reference, more)
    assert flagged.pop("galaxies") <= 0.035
    assert min(flagged.values()) > 0.94, flagged
