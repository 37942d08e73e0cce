"""The command line: every kind of bad input is one message, exit code 2, no harm."""

import csv
import errno
import functools
import os
import re
import shutil
import zipfile

import cv2
import numpy as np
import pytest
from tiny import OVERRIDES, flags, plain_flags

from gzjax.data.synthetic.folder import write_folder
from gzjax.data.synthetic.source import SyntheticSource
from gzjax.main import main
from gzjax.progress import Progress

LABELS, IMAGES = "training_solutions_rev1.csv", "images_training_rev1"


@pytest.fixture(scope="module")
def good_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("download")
    write_folder(SyntheticSource(44, size_px=106), folder)
    return folder


@pytest.fixture
def folder(good_folder, tmp_path):
    return shutil.copytree(good_folder, tmp_path / "download")


def arguments(folder, workdir, network=plain_flags, **changes):
    changes = {"data.kind": "challenge", "data.dir": folder, "data.pixel_scale": 4.0,
               **changes}  # fmt: skip
    return [f"--workdir={workdir}", *network(**changes)]


def missing_folder(folder):
    shutil.rmtree(folder)


def empty_folder(folder):
    shutil.rmtree(folder)
    folder.mkdir()


def truncated_csv(folder):
    text = (folder / LABELS).read_text()
    (folder / LABELS).write_text(text[: len(text) // 2])


def missing_jpeg(folder):
    (folder / IMAGES / "100007.jpg").unlink()


def corrupt_jpeg(folder):
    path = folder / IMAGES / "100007.jpg"
    path.write_bytes(path.read_bytes()[:500])


def grey_jpeg(folder):
    grey = np.zeros((106, 106), np.uint8)
    cv2.imwrite(str(folder / IMAGES / "100007.jpg"), grey)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (missing_folder, "cannot be read: No such file"),
        (empty_folder, "no labels: looked for.*no images: looked for"),
        (truncated_csv, "fields"),
        (missing_jpeg, "missing.*100007"),
        (corrupt_jpeg, "truncated.*100007|100007.*truncated"),
        (grey_jpeg, "RGB.*100007|100007.*grey"),
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
        ({"learning_rat": 1}, "no key 'learning_rat' in the config; nearest: "
                              "'learning_rate'"),
        ({"split.kind": "random"}, "last_fraction"),
    ],
)  # fmt: skip
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
    ("argv", "code", "message"),
    [
        (["--workdir=x"], 2, "--config"),
        (["evaluate"], 2, "--workdir"),
        (
            ["evaluate", "--workdir=x", "--config.seed=1"],
            2,
            "only train and compare read configs",
        ),
        (["evaluate", "--workdir=/nowhere"], 2, "holds no checkpoint"),
        (["fly"], 2, "invalid choice"),
        (["compare"], 2, "--configs"),
        (["compare", "--configs", "p4m p4m"], 2, "called p4m: give each once"),
        (["compare", "--configs", "p4m", "--num_images=0"], 2, "not at least 1"),
        (["--config=p4m", "--batch=3"], 2, "unrecognized arguments"),
        ([], 2, "MODE"),
    ],
)
def test_bad_arguments(argv, code, message, capsys):
    try:
        assert main(argv) == code
    except SystemExit as exit_:
        assert exit_.code == code  # noqa: PT017 - argparse leaves by itself
    assert message in capsys.readouterr().err


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


def test_synthetic_folder_trains_like_the_source_it_was_written_from(
    good_folder, tmp_path, monkeypatch
):
    lines_at_once = functools.partialmethod(Progress.__init__, every_sec=0.0)
    monkeypatch.setattr(Progress, "__init__", lines_at_once)
    folder = tmp_path / "made"
    assert main(["synthesize", f"--output={folder}", "--num_galaxies=44",
                 "--size_px=106"]) == 0  # fmt: skip
    assert (folder / LABELS).read_bytes() == (good_folder / LABELS).read_bytes()
    for workdir, changes in (
        (tmp_path / "a", {"data.dir": folder}),
        (tmp_path / "b", {"data.kind": "synthetic", "data.pixel_scale": 1.0}),
    ):
        changes = {"num_train_steps": 2, **changes}
        assert main(arguments(folder, workdir, **changes)) == 0
    written, drawn = (
        (tmp_path / name / "predictions-valid-none.csv").read_bytes() for name in "ab"
    )
    assert written == drawn


def test_zipped_download_trains(good_folder, tmp_path):
    zipped = tmp_path / "zips"
    zipped.mkdir()
    with zipfile.ZipFile(zipped / "training_solutions_rev1.zip", "w") as archive:
        archive.write(good_folder / LABELS, LABELS)
    with zipfile.ZipFile(zipped / "images_train_rev1.zip", "w") as archive:
        for path in (good_folder / IMAGES).iterdir():
            archive.write(path, f"images_train_rev1/{path.name}")
    assert main(arguments(zipped, tmp_path / "run", num_train_steps=2)) == 0


def test_corrupt_image_in_mid_run_leaves_the_checkpoints(good_folder, tmp_path, capsys):
    folder = shutil.copytree(good_folder, tmp_path / "download")
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
