"""One pass over a download: resumable, verified, and every fault of it named."""

import os
import resource
import shutil
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest

from gzjax.data.images import store as image_files
from gzjax.data.ledger import Ledger, alone_in
from gzjax.data.prepared import preparation as plan
from gzjax.data.prepared import prepare as prepare_module
from gzjax.data.prepared.manifest import read_manifest
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
def _small_shards(monkeypatch):
    monkeypatch.setattr(plan, "images_per_shard", lambda size: 3)


def make(download, output, kind="jpeg", **changes):
    options = {"num_workers": 0, **KINDS[kind], **changes}
    return prepare(download, output, kind=kind, **options)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def ids_of(download):
    return sorted(int(path.stem) for path in (download / IMAGES).iterdir())


def image_path(download, index):
    return download / IMAGES / f"{ids_of(download)[index]}.jpg"


def write_black(path, height, width):
    path.write_bytes(cv2.imencode(".jpg", np.zeros((height, width, 3), np.uint8))[1])


def interrupt(download, output, kind="jpeg"):
    """Stops when all shards are written."""

    def stop(*args):
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prepare_module, "write_last", stop)
        with pytest.raises(KeyboardInterrupt):
            make(download, output, kind)


def flip(path, at):
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


# Killed at any moment --------------------------------------------------------------

SLOW = """
import sys, time
from gzjax.data.ledger import Ledger
from gzjax.data.prepared import preparation as plan
from gzjax.data.prepared import prepare
if __name__ == "__main__":
    _, download, output, kind, scale, workers = sys.argv
    plan.images_per_shard = lambda size: 1
    add = Ledger.add
    Ledger.add = lambda *args: (add(*args), time.sleep(0.1))
    options = {"decode_scale": int(scale) or None, "num_workers": int(workers)}
    prepare.prepare(download, output, kind=kind, **options)
"""


@pytest.mark.parametrize("kind", KINDS)
def test_killed_twice_and_finished_it_is_what_it_would_have_been(
    drawn, tmp_path, kind, monkeypatch
):
    monkeypatch.setattr(plan, "images_per_shard", lambda size: 1)
    make(drawn, tmp_path / "whole", kind)
    script, output = tmp_path / "slow.py", tmp_path / "killed"
    script.write_text(SLOW)
    scale = str(KINDS[kind].get("decode_scale", 0))
    workers = str(int(kind == "jpeg"))
    command = [sys.executable, script, drawn, output, kind, scale, workers]
    ledger = output / "progress.jsonl"
    for lines in (3, 7):
        process = subprocess.Popen(command, stderr=subprocess.PIPE)
        while process.poll() is None:
            if ledger.is_file() and ledger.read_bytes().count(b"\n") > lines:
                process.send_signal(signal.SIGKILL)
                break
            time.sleep(0.01)
        _, said = process.communicate()
        assert process.returncode == -signal.SIGKILL, said.decode()
    assert not (output / "manifest.json").exists()
    done, seen, add = ledger.read_bytes().count(b"\n") - 1, [], Ledger.add
    assert done < COUNT
    monkeypatch.setattr(
        Ledger, "add", lambda self, results: seen.extend(results) or add(self, results)
    )
    make(drawn, output, kind)
    assert seen == list(range(done, COUNT))
    assert contents(output) == contents(tmp_path / "whole")


@pytest.mark.parametrize("kind", KINDS)
def test_a_set_is_verified_and_left_as_it_is(drawn, tmp_path, kind, capsys):
    make(drawn, tmp_path / "one", kind)
    make(drawn, tmp_path / "two", kind, num_workers=2)
    before = contents(tmp_path / "two")
    assert before == contents(tmp_path / "one")
    assert not [name for name in before if "partial" in name or "jsonl" in name]
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "one").iterdir()}
    capsys.readouterr()
    make(drawn, tmp_path / "one", kind)
    said = capsys.readouterr().err
    assert "complete; nothing to do" in said
    assert "11 images" in said
    assert "read again, sound" in said
    assert {path: path.stat().st_mtime_ns for path in times} == times


DAMAGE = {
    "flipped": lambda path: flip(path, path.stat().st_size // 2),
    "truncated": lambda path: os.truncate(path, path.stat().st_size // 2),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"x"),
    "gone": lambda path: path.unlink(),
    "a pipe": lambda path: (path.unlink(), os.mkfifo(path)),
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
    if damage in ("flipped", "longer"):
        assert "damaged: 1 of 4 shards" in capsys.readouterr().err


@pytest.mark.parametrize("kind", KINDS)
def test_shards_of_an_unfinished_set_that_are_gone_are_made_again(
    drawn, tmp_path, kind
):
    make(drawn, tmp_path / "whole", kind)
    interrupt(drawn, tmp_path / "set", kind)
    (tmp_path / "set" / FILES[kind]).unlink()
    make(drawn, tmp_path / "set", kind)
    assert contents(tmp_path / "set") == contents(tmp_path / "whole")


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
    assert f"damaged: 1 of 4 shards, in {FILES[kind]}\nWhat to do" in said
    assert contents(output).keys() == before.keys()
    (output / "galaxies.npy").unlink()
    assert main(command) == 2


def test_what_a_disk_spoils_while_it_is_written_is_found(drawn, tmp_path, monkeypatch):
    output, find_damaged = tmp_path / "set", prepare_module.find_damaged
    spoiled = []

    def spoil(folder, shards):
        if not spoiled:
            spoiled.append(flip(folder / shards[2].name, 40_000))
        return find_damaged(folder, shards)

    monkeypatch.setattr(prepare_module, "find_damaged", spoil)
    with pytest.raises(UserError, match="in 1 of 4 shards\nWhat to do"):
        make(drawn, output)
    assert not (output / "manifest.json").exists()
    assert make(drawn, output) == 0
    make(drawn, tmp_path / "other")
    assert contents(output) == contents(tmp_path / "other")


def test_files_that_the_manifest_does_not_name_are_removed(
    drawn, tmp_path, monkeypatch, capsys
):
    output = tmp_path / "set"
    make(drawn, output)
    for kind, size in (("jpeg", 5), ("pixels", 5), ("jpeg", 4)):
        monkeypatch.setattr(plan, "images_per_shard", lambda _, size=size: size)
        (output / "manifest.json").write_text("{")
        capsys.readouterr()
        make(drawn, output, kind)
        assert f"damaged: making the set again as --kind={kind} --pixel_scale=1" in (
            capsys.readouterr().err
        )
        make(drawn, tmp_path / f"{kind}{size}", kind)
        assert contents(output) == contents(tmp_path / f"{kind}{size}")


def test_killed_after_the_manifest_it_leaves_no_ledger(drawn, tmp_path, monkeypatch):
    def stop(*args):
        raise KeyboardInterrupt

    output = tmp_path / "set"
    with monkeypatch.context() as patch:
        patch.setattr(prepare_module, "_tidy", stop)
        with pytest.raises(KeyboardInterrupt):
            make(drawn, output)
    assert (output / "progress.jsonl").exists()
    make(drawn, output)
    make(drawn, tmp_path / "other")
    assert contents(output) == contents(tmp_path / "other")


@pytest.mark.parametrize(
    "line",
    [
        '[0, ["x"]]',
        "[0, 5]",
        '["zz", {}]',
        "[9, {}]",
        '[0, ["../x", 0, 1, 1, "", []]]',
        '[0, ["pixels.npy", 0, "1", 1, "", []]]',
        '[0, ["pixels.npy", 0, 1, 1, "", [[7]]]]',
        "[" * 100_000,
    ],
)
def test_damaged_lines_of_the_ledger_are_done_again(drawn, tmp_path, line):
    output = tmp_path / "set"
    interrupt(drawn, output, "pixels")
    ledger = output / "progress.jsonl"
    with open(ledger, "a") as file:
        file.write(line.replace("{}", ledger.read_text().splitlines()[1][4:-1]) + "\n")
    make(drawn, output, "pixels")
    make(drawn, tmp_path / "other", "pixels")
    assert contents(output) == contents(tmp_path / "other")


def test_sound_shards_keep_the_versions_that_made_them(drawn, tmp_path, monkeypatch):
    output = tmp_path / "set"
    make(drawn, output)
    before = contents(output)
    new = prepare_module.package_versions() | {"opencv": "99"}
    monkeypatch.setattr(prepare_module, "package_versions", lambda: new)
    (output / "galaxies.npy").write_bytes(b"")
    make(drawn, output)
    assert contents(output) == before
    flip(output / FILES["jpeg"], 300)
    make(drawn, output)
    assert read_manifest(output).versions == new


# Bad images ------------------------------------------------------------------------


def spoil_images(download):
    """Six kinds of bad images among eleven; their ids and reasons."""
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
    make(download, tmp_path / "whole", kind)
    whole = open_prepared(tmp_path / "whole", GZ2)
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
        if str(path) == away:
            raise OSError(5, "Input/output error")
        return read(path, *args)

    read = image_files.open_regular
    with monkeypatch.context() as patch:
        patch.setattr(image_files, "open_regular", refuse)
        for kind in KINDS:
            with pytest.raises(UserError, match=r"cannot be read: Input/output error"):
                make(download, tmp_path / kind, kind)
    make(download, tmp_path / "jpeg")
    assert contents(tmp_path / "jpeg") == contents(tmp_path / "whole")


@pytest.mark.parametrize("kind", KINDS)
def test_no_image_that_can_be_read(download, tmp_path, kind):
    for path in (download / IMAGES).iterdir():
        path.write_bytes(b"<html>")
    with pytest.raises(UserError, match="none of the images can be read"):
        make(download, tmp_path / "set", kind)
    assert not (tmp_path / "set" / "manifest.json").exists()


def test_wrong_labels_stop_it_before_anything_is_written(download, tmp_path):
    labels = download / "training_solutions_rev1.csv"
    lines = labels.read_text().splitlines()
    labels.write_text("\n".join([lines[0], lines[1].replace("0.", "7."), *lines[2:]]))
    with pytest.raises(UserError, match=r"data is not usable:\n .*outside \[0, 1\]"):
        make(download, tmp_path / "set")
    assert not (tmp_path / "set").exists()


def test_pixels_have_one_size(download, tmp_path):
    path = image_path(download, 2)
    write_black(path, 20, 30)
    with pytest.raises(UserError) as error:
        make(download, tmp_path / "set", "pixels")
    assert f"1 have not (ids {path.stem}: 30 x 20)" in str(error.value)
    assert "--kind=jpeg" in str(error.value)
    assert not (tmp_path / "set").exists()
    assert make(download, tmp_path / "set", "jpeg") == 0
    for path in (download / IMAGES).iterdir():
        write_black(path, 45, 45)
    with pytest.raises(UserError, match="give --decode_scale=1"):
        make(download, tmp_path / "odd", "pixels")


def test_a_full_disk_is_said_before_anything_is_written(drawn, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(prepare_module.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(UserError, match="0 MB are free\nWhat to do: make room"):
        make(drawn, tmp_path / "set", "pixels")
    assert not (tmp_path / "set").exists()


def test_a_disk_that_fills_meanwhile_is_said_and_resumed_from(drawn, tmp_path):
    output, limits = tmp_path / "set", resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, limits[1]))
    try:
        with pytest.raises(UserError, match="cannot be written") as error:
            make(drawn, output)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "the same command resumes" in str(error.value)
    assert [path.name for path in output.iterdir()] == ["progress.jsonl"]
    make(drawn, output)
    make(drawn, tmp_path / "other")
    assert contents(output) == contents(tmp_path / "other")


# What people get wrong -------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "png"}, "--kind is 'png'; there are: jpeg, pixels"),
        ({"decode_scale": 2}, "--decode_scale is for --kind=pixels"),
        ({"kind": "pixels", "decode_scale": 3}, "there are: 1, 2, 4, 8"),
        ({"pixel_scale": -1.0}, "must be a positive number"),
        ({"num_workers": -3}, "--num_workers is -3"),
    ],
)
def test_invalid_options(drawn, tmp_path, changes, message):
    with pytest.raises(UserError, match=message):
        prepare(drawn, tmp_path / "set", **changes)
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize("is_finished", [True, False])
def test_a_set_of_other_options_or_data_is_refused(download, tmp_path, is_finished):
    output = tmp_path / "set"
    (make if is_finished else interrupt)(download, output)
    before = contents(output)
    with pytest.raises(UserError, match="\n  kind: 'jpeg' there, 'pixels' here\n"):
        make(download, output, "pixels")
    with pytest.raises(UserError, match=r"conditions:\n  pixel_scale: .*\nWhat to do"):
        make(download, output, pixel_scale=2.0)
    image_path(download, 0).write_bytes(image_path(download, 1).read_bytes())
    with pytest.raises(UserError, match=r"conditions:\n  download: .*\nWhat to do"):
        make(download, output)
    assert contents(output) == before


def test_folders_of_other_things_are_left_alone(drawn, tmp_path):
    with pytest.raises(UserError, match=r"holds other things \(images_training_rev1"):
        make(drawn, drawn)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError, match="is a file"):
        make(drawn, tmp_path / "file")
    refused = pytest.raises(UserError, match="another process is writing it")
    with alone_in(tmp_path / "set"), refused:
        make(drawn, tmp_path / "set")


def test_the_command_line(download, tmp_path, capsys):
    image_path(download, 3).write_bytes(b"")
    paths = [f"--data={download}", f"--output={tmp_path / 'set'}"]
    options = ["--kind=pixels", "--pixel_scale=8", "--num_workers=0"]
    assert main(["prepare", *paths, *options]) == SOME_FLAGGED
    said = capsys.readouterr().err
    assert "--config.data.pixel_scale=8 --config.data.decode_scale=2" in said
    assert main(["prepare", *paths, "--kind=zip"]) == 2


def test_what_is_prepared_is_no_download_and_no_folder_of_images(drawn, tmp_path):
    make(drawn, tmp_path / "set")
    with pytest.raises(UserError, match="set is prepared already"):
        make(tmp_path / "set", tmp_path / "again")
    assert not (tmp_path / "again").exists()
    with pytest.raises(UserError, match="set is a prepared data set, for training"):
        predict(
            tmp_path / "set",
            tmp_path / "out.csv",
            workdirs=[tmp_path / "run"],
            kind="submission",
        )
