"""The command line: every kind of bad input is one message, exit code 2, no harm."""

import csv
import errno
import os
import re
import shutil

import pytest
from tiny import OVERRIDES, flags, plain_flags

from gzjax.data.synthetic.folder import write_folder
from gzjax.data.synthetic.source import SyntheticSource
from gzjax.main import main

IMAGES = "images_training_rev1"


@pytest.fixture(scope="module")
def good_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("download")
    write_folder(SyntheticSource(44, size_px=106), folder)
    return folder


@pytest.fixture
def folder(good_folder, tmp_path):
    return shutil.copytree(good_folder, tmp_path / "download")


def arguments(folder, workdir, network=plain_flags, **changes):
    data = {"data.kind": "challenge", "data.dir": folder, "data.pixel_scale": 4.0}
    return [f"--workdir={workdir}", *network(**data | changes)]


def missing_folder(folder):
    shutil.rmtree(folder)


def corrupt_jpeg(folder):
    path = folder / IMAGES / "100007.jpg"
    path.write_bytes(path.read_bytes()[:500])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (missing_folder, "cannot be read: No such file"),
        (corrupt_jpeg, "truncated.*100007|100007.*truncated"),
    ],
)
def test_bad_data_is_one_message(damage, message, folder, tmp_path, capsys):
    damage(folder)
    workdir = tmp_path / "run"
    assert main(arguments(folder, workdir)) == 2
    error = capsys.readouterr().err
    assert re.search(message, error, re.S), error
    assert str(folder) in error
    assert "Traceback" not in error
    assert not workdir.exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"view.size_px": 70}, "70 px break the equivariance: pool1"),
        ({"batch_size": 7}, "batch_size is 7, which 4 devices cannot share"),
        ({"learning_rat": 1}, "no key 'learning_rat' in the config; nearest: "),
        ({"split.kind": "random"}, "last_fraction"),
    ],
)
def test_bad_config_is_one_message(changes, message, good_folder, tmp_path, capsys):
    argv = ["--config=p4m", *arguments(good_folder, tmp_path / "run", flags, **changes)]
    assert main(argv) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_workdir_that_is_a_file_is_one_message(good_folder, tmp_path, capsys):
    (tmp_path / "file").write_text("mine")
    assert main(arguments(good_folder, tmp_path / "file")) == 2
    assert str(tmp_path / "file") in capsys.readouterr().err
    assert (tmp_path / "file").read_text() == "mine"


def test_a_full_disk_is_one_message(tmp_path, monkeypatch, capsys):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "galaxies/1.jpg")

    monkeypatch.setattr("gzjax.data.synthetic.synthesize.write_folder", full)
    assert main(["synthesize", f"--output={tmp_path}", "--num_galaxies=1"]) == 2
    said = capsys.readouterr().err
    assert "No space left on device: 'galaxies/1.jpg'\nWhat to do: make room" in said


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def get_config(:", "line 1: SyntaxError"),
        ("x = 1\ny = 1 / 0", "line 2: ZeroDivisionError"),
        ("x = 1", "KeyError: 'get_config'"),
    ],
)
def test_broken_config_file_names_file_and_line(text, message, tmp_path, capsys):
    (tmp_path / "mine.py").write_text(text)
    assert main([f"--config={tmp_path}/mine.py"]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "mine.py" in error
    assert main([f"--config={tmp_path}/p4m.py"]) == 2  # not the packaged one
    assert "no config" in capsys.readouterr().err


def test_without_data_the_message_names_every_way_out(monkeypatch, capsys):
    monkeypatch.delenv("GZJAX_DATA", raising=False)
    assert main(["--config=configs/p4m.py", *flags(**{"data.kind": "challenge"})]) == 2
    error = capsys.readouterr().err
    for way in ("--config.data.dir", "GZJAX_DATA", "make demo"):
        assert way in error


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--workdir=x"], "--config"),
        (["evaluate"], "--workdir"),
        (["evaluate", "--workdir=x", "--config.seed=1"], "only train, compare and"),
        (["evaluate", "--workdir=/nowhere"], "holds no checkpoint"),
        (["fly"], "invalid choice"),
        (["compare"], "--configs"),
        (["compare", "--configs", "p4m p4m"], "called p4m: give each once"),
        (["compare", "--configs", "p4m", "--num_images=0"], "not at least 1"),
        (["--config=p4m", "--batch=3"], "unrecognized arguments"),
        ([], "MODE"),
    ],
)
def test_bad_arguments(argv, message, capsys):
    try:
        assert main(argv) == 2
    except SystemExit as exit_:
        assert exit_.code == 2  # noqa: PT017 - argparse leaves by itself
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("name", ["predict", "export"])
def test_ctrl_c_says_whether_the_command_resumes(name, monkeypatch, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(f"gzjax.prediction.{name}.{name}", interrupted)
    argv = [name, "--workdir=x", "--output=y"]
    assert main(argv + ["--images=z"] * (name == "predict")) == 130
    said = capsys.readouterr().err
    hint = "; run the same command again to resume" * (name == "predict")
    assert said == f"gzjax: interrupted{hint}\n"


def test_train_evaluate_and_refuse_from_the_command_line(good_folder, tmp_path, capsys):
    workdir = tmp_path / "run"
    argv = ["--config=p4m", *arguments(good_folder, workdir, flags)]
    assert main(argv) == 0
    table = capsys.readouterr().out
    assert re.search(r"R at quarter turns +\d\.\d\de-0[7-9]", table)
    assert "RMSE of the training mean" in table
    before = sorted(p for p in workdir.rglob("*"))

    assert main([*argv, "--config.seed=5"]) == 2
    assert "config.seed: 0 there, 5 here" in capsys.readouterr().err
    assert sorted(p for p in workdir.rglob("*")) == before

    assert main(["evaluate", f"--workdir={workdir}", "--averaging=d4"]) == 0
    with (workdir / "predictions-valid-d4.csv").open() as file:
        rows = list(csv.reader(file))
    assert rows[0][:2] == ["GalaxyID", "Class1.1"]
    assert len(rows) == 1 + 11
    for extra, message in (
        ("--averaging=e8", "there are: none, c4, d4"),
        ("--split=dev", "there are: train, valid, test, all"),
        ("--split=test", "the split 'test' is empty"),
        ("--checkpoint=5", "Steps kept: "),
    ):
        assert main(["evaluate", f"--workdir={workdir}", extra]) == 2
        assert message in capsys.readouterr().err


def test_corrupt_image_in_mid_run_leaves_the_checkpoints(folder, tmp_path, capsys):
    workdir = tmp_path / "run"
    assert main(arguments(folder, workdir, num_train_steps=2)) == 0
    for path in (folder / IMAGES).iterdir():  # after the check at start-up, as it were
        path.write_bytes(b"")
    unchecked = {"data.check_images": False}
    assert main(arguments(folder, workdir, **unchecked)) == 2
    assert "Traceback" not in capsys.readouterr().err
    assert (workdir / "checkpoints" / "2").is_dir()
    assert OVERRIDES["num_train_steps"] == 6
    assert os.listdir(workdir / "checkpoints") == ["2"]
