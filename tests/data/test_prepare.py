"""One pass over a download: resumable, verified, and every fault of it named."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest

from gzjax.data.images import challenge_files as image_files
from gzjax.data.prepared import prepare as prepare_module
from gzjax.data.prepared import state
from gzjax.data.prepared.journal import alone_in
from gzjax.data.prepared.prepare import prepare
from gzjax.data.prepared.source import open_prepared
from gzjax.data.synthetic.folder import IMAGES, write_folder
from gzjax.data.synthetic.source import SyntheticSource
from gzjax.errors import UserError
from gzjax.main import SOME_FLAGGED, main
from gzjax.prediction.predict import predict
from gzjax.trees import GZ2

COUNT, SIZE = 11, 48
KINDS = {"jpeg": {}, "pixels": {"decode_scale": 2}}
FILES = {"jpeg": "images-00001-of-00004.array_record", "pixels": "pixels.npy"}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drawn")
    write_folder(SyntheticSource(COUNT, size_px=SIZE), folder)
    return folder


@pytest.fixture
def download(drawn, tmp_path):
    """Eleven galaxies that a test may damage."""
    return shutil.copytree(drawn, tmp_path / "download")


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch):
    monkeypatch.setattr(prepare_module, "images_per_part", lambda kind, size: 3)


def make(download, output, kind="jpeg", **changes):
    options = {"num_workers": 0, **KINDS[kind], **changes}
    return prepare(download, output, kind=kind, **options)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def image_path(download, index):
    return download / IMAGES / f"{ids_of(download)[index]}.jpg"


def ids_of(download):
    return sorted(int(path.stem) for path in (download / IMAGES).iterdir())


# Killed at any moment --------------------------------------------------------------

SLOW = """
import sys, time
from gzjax.data.prepared import journal, prepare
if __name__ == "__main__":
    _, download, output, kind, scale, workers = sys.argv
    prepare.images_per_part = lambda kind, size: 1
    add = journal.Journal.add
    journal.Journal.add = lambda *args: (add(*args), time.sleep(0.1))
    options = {"decode_scale": int(scale) or None, "num_workers": int(workers)}
    prepare.prepare(download, output, kind=kind, **options)
"""


@pytest.mark.parametrize("kind", KINDS)
def test_killed_twice_and_finished_it_is_what_it_would_have_been(
    drawn, tmp_path, kind, monkeypatch
):
    monkeypatch.setattr(prepare_module, "images_per_part", lambda kind, size: 1)
    make(drawn, tmp_path / "whole", kind)
    script, output = tmp_path / "slow.py", tmp_path / "killed"
    script.write_text(SLOW)
    scale = str(KINDS[kind].get("decode_scale", 0))
    workers = str(int(kind == "jpeg"))
    command = [sys.executable, script, drawn, output, kind, scale, workers]
    journal = output / "progress.jsonl"
    for lines in (3, 7):
        process = subprocess.Popen(command, stderr=subprocess.PIPE)
        while process.poll() is None:
            if journal.is_file() and journal.read_bytes().count(b"\n") > lines:
                process.send_signal(signal.SIGKILL)
                break
            time.sleep(0.01)
        _, said = process.communicate()
        assert process.returncode == -signal.SIGKILL, said.decode()
    assert not (output / "manifest.json").exists()
    with open(journal, "a") as file:
        file.write('{"number": 10, "torn')
    done = journal.read_text().count('"number"') - 1
    assert done < COUNT
    seen = []
    add = prepare_module.Journal.add
    monkeypatch.setattr(
        prepare_module.Journal,
        "add",
        lambda self, number, result: seen.append(number) or add(self, number, result),
    )
    make(drawn, output, kind)
    assert seen == list(range(done, COUNT))
    assert contents(output) == contents(tmp_path / "whole")


@pytest.mark.parametrize("kind", KINDS)
def test_the_number_of_processes_changes_nothing(drawn, tmp_path, kind):
    make(drawn, tmp_path / "one", kind)
    make(drawn, tmp_path / "two", kind, num_workers=2)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert not [n for n in contents(tmp_path / "one") if "partial" in n or "jsonl" in n]


def test_a_complete_set_is_verified_and_left_as_it_is(drawn, tmp_path, capsys):
    output = tmp_path / "set"
    make(drawn, output)
    before = {path: path.stat().st_mtime_ns for path in output.iterdir()}
    capsys.readouterr()
    make(drawn, output)
    said = capsys.readouterr().err
    assert "complete; nothing to do" in said
    assert "11 images" in said
    assert "read again, sound" in said
    assert {path: path.stat().st_mtime_ns for path in output.iterdir()} == before


def flip(path, at):
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


DAMAGE = {
    "flipped": lambda path: flip(path, path.stat().st_size // 2),
    "truncated": lambda path: os.truncate(path, path.stat().st_size // 2),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"x"),
    "gone": lambda path: path.unlink(),
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("kind", KINDS)
def test_damage_is_mended_by_the_same_command(drawn, tmp_path, kind, damage, capsys):
    output = tmp_path / "set"
    make(drawn, output, kind)
    before = contents(output)
    for name in (FILES[kind], "galaxies.npy", "manifest.json"):
        DAMAGE[damage](output / name)
        make(drawn, output, kind)
        assert contents(output) == before
    if damage == "flipped":
        assert "damaged: 1 of 4 parts" in capsys.readouterr().err


@pytest.mark.parametrize("kind", KINDS)
def test_a_copy_is_verified_without_the_download(drawn, tmp_path, kind, capsys):
    output = tmp_path / "set"
    command = ["prepare", f"--output={output}", "--verify"]
    assert main(command) == 2
    assert "there is no prepared data set" in capsys.readouterr().err
    make(drawn, output, kind)
    assert main(command) == 0
    before = contents(output)
    flip(output / FILES[kind], 300)
    capsys.readouterr()
    assert main(command) == 2
    said = capsys.readouterr().err
    assert f"{FILES[kind]}: 1 of 4 parts are damaged\nWhat to do" in said
    assert contents(output).keys() == before.keys()
    (output / "galaxies.npy").unlink()
    assert main(command) == 2


def test_what_a_disk_spoils_while_it_is_written_is_found(drawn, tmp_path, monkeypatch):
    output, verify = tmp_path / "set", state.verify
    spoiled = []

    def spoil(folder, parts):
        if not spoiled:
            spoiled.append(flip(folder / parts[2].name, 40_000))
        return verify(folder, parts)

    monkeypatch.setattr(prepare_module, "verify", spoil)
    with pytest.raises(UserError, match="in 1 of 4 parts\nWhat to do"):
        make(drawn, output)
    assert not (output / "manifest.json").exists()
    assert make(drawn, output) == 0
    make(drawn, tmp_path / "other")
    assert contents(output) == contents(tmp_path / "other")


# Bad images ------------------------------------------------------------------------


def spoil_images(download):
    """Six kinds of bad images among eleven; their positions and reasons."""
    grey = cv2.imencode(".jpg", np.zeros((SIZE, SIZE), np.uint8))[1].tobytes()
    good = image_path(download, 4).read_bytes()
    table = good.index(b"\xff\xc4")  # Huffman's: its counts do not add up
    undecodable = good[: table + 5] + b"\xff" * 16 + good[table + 21 :]
    spoilt = {
        0: (good[:-40], "truncated JPEG"),
        1: (grey, "not RGB: grey"),
        3: (b"", "no bytes"),
        4: (undecodable, "cannot be decoded"),
        5: (b"<html>", "not a JPEG"),
        10: (None, "missing from the download"),
    }
    paths = {index: image_path(download, index) for index in spoilt}
    for index, (data, _) in spoilt.items():
        if data is None:
            paths[index].unlink()
        else:
            paths[index].write_bytes(data)
    return {int(paths[i].stem): reason for i, (_, reason) in spoilt.items()}


@pytest.mark.parametrize("kind", KINDS)
def test_bad_images_are_left_out_and_named(download, tmp_path, kind, capsys):
    all_ids = ids_of(download)
    whole = prepare_source(download, tmp_path / "whole", kind)
    bad = spoil_images(download)
    output = tmp_path / "set"
    assert make(download, output, kind) == len(bad)
    said = capsys.readouterr().err
    head, *rows = (output / "left_out.csv").read_text().splitlines()
    assert head == "GalaxyID,reason"
    found = dict(row.split(",", 1) for row in rows)
    assert [int(galaxy) for galaxy in found] == sorted(bad)
    for galaxy, reason in bad.items():
        assert reason in found[str(galaxy)]
        assert str(galaxy) in said
    source = open_prepared(output, GZ2)
    assert source.ids.tolist() == [i for i in all_ids if i not in bad]
    for index, galaxy in enumerate(source.ids):
        original = all_ids.index(galaxy)
        np.testing.assert_array_equal(source.targets[index], whole.targets[original])
        np.testing.assert_array_equal(source.decode(index), whole.decode(original))
    assert make(download, output, kind) == len(bad)
    assert "complete" in capsys.readouterr().err


def test_a_disk_that_is_gone_is_no_bad_image(download, tmp_path, monkeypatch):
    make(download, tmp_path / "whole")
    away = str(image_path(download, 5))

    def refuse(path, *args):
        if path == away:
            raise OSError(5, "Input/output error")
        return read(path, *args)

    read = image_files.read_bytes
    with monkeypatch.context() as patch:
        patch.setattr(image_files, "read_bytes", refuse)
        for kind in KINDS:
            with pytest.raises(UserError, match=r"cannot be read: Input/output error"):
                make(download, tmp_path / kind, kind)
    make(download, tmp_path / "jpeg")
    assert contents(tmp_path / "jpeg") == contents(tmp_path / "whole")


def prepare_source(download, output, kind):
    make(download, output, kind)
    return open_prepared(output, GZ2)


def test_no_image_that_can_be_read(download, tmp_path):
    for path in (download / IMAGES).iterdir():
        path.write_bytes(b"<html>")
    for kind in KINDS:
        with pytest.raises(UserError, match="none of the images can be read"):
            make(download, tmp_path / kind, kind)
        assert not (tmp_path / kind / "manifest.json").exists()


def test_wrong_labels_stop_it_before_anything_is_written(download, tmp_path):
    labels = download / "training_solutions_rev1.csv"
    lines = labels.read_text().splitlines()
    labels.write_text("\n".join([lines[0], lines[1].replace("0.", "7."), *lines[2:]]))
    with pytest.raises(UserError, match=r"data is not usable:\n .*outside \[0, 1\]"):
        make(download, tmp_path / "set")
    assert not (tmp_path / "set").exists()


def test_pixels_have_one_size(download, tmp_path):
    path = image_path(download, 2)
    path.write_bytes(cv2.imencode(".jpg", np.zeros((20, 30, 3), np.uint8))[1])
    with pytest.raises(UserError) as error:
        make(download, tmp_path / "set", "pixels")
    assert f"1 have not (ids {path.stem}: 30 x 20)" in str(error.value)
    assert "--kind=jpeg" in str(error.value)
    assert not (tmp_path / "set").exists()
    assert make(download, tmp_path / "set", "jpeg") == 0


def test_a_full_disk_is_said_before_anything_is_written(drawn, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(prepare_module.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(UserError, match="0 MB are free\nWhat to do: make room"):
        make(drawn, tmp_path / "set", "pixels")
    assert not (tmp_path / "set").exists()


LIMITED = """
import resource, sys
from gzjax.data.prepared.prepare import prepare
from gzjax.errors import UserError
from gzjax.trees import GZ2
resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, resource.RLIM_INFINITY))
try:
    prepare(sys.argv[1], sys.argv[2], num_workers=0)
except UserError as error:
    sys.exit(str(error))
"""


def test_a_disk_that_fills_meanwhile_is_said_and_gone_on_from(drawn, tmp_path):
    output = tmp_path / "set"
    command = [sys.executable, "-c", LIMITED, drawn, output]
    done = subprocess.run(command, capture_output=True, text=True)
    assert "cannot be written" in done.stderr
    assert "the same command goes on" in done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name for path in output.iterdir()] == ["progress.jsonl"]
    make(drawn, output)
    make(drawn, tmp_path / "other")
    assert contents(output) == contents(tmp_path / "other")


def test_what_both_kinds_cost_is_said(drawn, tmp_path, capsys):
    make(drawn, tmp_path / "set")
    assert "MB as --kind=pixels of 24 x 24 px; " in capsys.readouterr().err


# What people get wrong -------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "png"}, "--kind is 'png'; there are: jpeg, pixels"),
        ({"decode_scale": 2}, "--decode_scale is for --kind=pixels"),
        ({"kind": "pixels", "decode_scale": 3}, "there are: 1, 2, 4, 8"),
        ({"pixel_scale": -1.0}, "must be a positive number"),
    ],
)
def test_options_that_cannot_be(drawn, tmp_path, changes, message):
    with pytest.raises(UserError, match=message):
        prepare(drawn, tmp_path / "set", **changes)
    assert not (tmp_path / "set").exists()


def test_sides_that_are_no_multiples(download, tmp_path):
    for path in (download / IMAGES).iterdir():
        path.write_bytes(cv2.imencode(".jpg", np.zeros((45, 45, 3), np.uint8))[1])
    with pytest.raises(UserError, match="give --decode_scale=1"):
        make(download, tmp_path / "set", "pixels")


def test_a_set_of_other_options_or_data_is_not_overwritten(download, tmp_path):
    output = tmp_path / "set"
    make(download, output)
    before = contents(output)
    with pytest.raises(UserError, match="of other kind, decode_scale, size_px\nWhat"):
        make(download, output, "pixels")
    with pytest.raises(UserError, match="of other pixel_scale, ids, votes or images"):
        make(download, output, pixel_scale=2.0)
    image_path(download, 0).write_bytes(image_path(download, 1).read_bytes())
    with pytest.raises(UserError, match="of other ids, votes or images"):
        make(download, output)
    assert contents(output) == before


def test_an_unfinished_set_of_other_options_is_begun_anew(drawn, tmp_path, capsys):
    output = tmp_path / "set"
    make(drawn, output, "pixels")
    manifest = json.loads((output / "manifest.json").read_text())
    (output / "manifest.json").unlink()
    head = {"kind": "pixels"}
    lines = [head, {"number": 0, **manifest["parts"][0], "left_out": []}]
    journal = output / "progress.jsonl"
    journal.write_text("".join(json.dumps(line) + "\n" for line in lines))
    make(drawn, output)
    assert "begun with other options" in capsys.readouterr().err
    make(drawn, tmp_path / "other")
    assert contents(output) == contents(tmp_path / "other")


def test_folders_of_other_things_are_left_alone(drawn, tmp_path):
    with pytest.raises(UserError, match=r"holds other things \(images_training_rev1"):
        make(drawn, drawn)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError, match="is a file"):
        make(drawn, tmp_path / "file")


def test_two_at_once_are_refused(drawn, tmp_path):
    with (
        alone_in(tmp_path / "set"),
        pytest.raises(UserError, match="another process is writing it"),
    ):
        make(drawn, tmp_path / "set")


def test_the_command_line(download, tmp_path, capsys):
    image_path(download, 3).write_bytes(b"")
    arguments = ["prepare", f"--data={download}", f"--output={tmp_path / 'set'}",
                 "--kind=pixels", "--pixel_scale=8", "--num_workers=0"]  # fmt: skip
    assert main(arguments) == SOME_FLAGGED
    said = capsys.readouterr().err
    assert "--config.data.pixel_scale=8 --config.data.decode_scale=2" in said
    assert main([*arguments[:3], "--kind=zip"]) == 2


def test_what_is_prepared_is_no_download_and_no_folder_of_images(download, tmp_path):
    make(download, tmp_path / "set")
    with pytest.raises(UserError, match="set is prepared already"):
        make(tmp_path / "set", tmp_path / "again")
    assert not (tmp_path / "again").exists()
    with pytest.raises(UserError, match="set is a prepared data set, for training"):
        predict([tmp_path / "run"], tmp_path / "set", tmp_path / "out.csv")


def test_fewer_than_no_processes_are_refused(download, tmp_path):
    with pytest.raises(UserError, match="--num_workers is -3"):
        prepare(download, tmp_path / "set", num_workers=-3)
