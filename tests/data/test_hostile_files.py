"""Files meant to do harm: refused by name, in little memory, and nothing is written."""

import re
import struct
import warnings
import zipfile

import pytest
from hostile import GIB, bomb, jpeg, refusal, run_in_little_memory, sparse, watched

from gzjax.data.images.cutouts import find_cutouts
from gzjax.data.images.read_image import NOT_AN_IMAGE, read_cutout
from gzjax.data.images.stretch import Stretch
from gzjax.data.sources.challenge import open_challenge
from gzjax.trees import GZ2

CSV, IMAGES = "training_solutions_rev1.csv", "images_training_rev1"


@pytest.fixture
def folder(tmp_path):
    with watched(tmp_path) as inside:
        yield inside


def write_zip(path, *names, content=b"x", attributes=0):
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            entry = zipfile.ZipInfo(name)
            entry.external_attr = attributes
            archive.writestr(entry, content)
    return path


# Zips -----------------------------------------------------------------------------

LEADING_OUT = r"../../x.jpg /etc/x.jpg a/../../x.jpg ..\x.jpg C:\x.jpg a/.."


@pytest.mark.parametrize("name", LEADING_OUT.split())
def test_zip_whose_entries_lead_out_of_it_is_refused_by_their_name(name, folder):
    write_zip(folder / "images.zip", "1.jpg", name)
    assert f"lead out of it: {name}" in refusal(find_cutouts, folder / "images.zip")
    write_zip(folder / "training_solutions_rev1.zip", name, CSV)
    write_zip(folder / f"{IMAGES}.zip", f"{IMAGES}/7.jpg", name)
    text = refusal(open_challenge, folder, GZ2)
    for zipped in ("training_solutions_rev1.zip", f"{IMAGES}.zip"):
        assert f"{zipped} cannot be read: it has entries that lead out" in text


def test_dots_in_names_are_no_paths(folder):
    names = {"a..b.jpg", "..c.jpg", "d../e.jpg", "é:f.jpg"}
    path = write_zip(folder / "images.zip", *names)
    assert set(find_cutouts(path).names) == names - {"..c.jpg"}  # it is hidden


def test_link_in_a_zip_is_not_followed(folder):
    (folder / "secret.jpg").write_bytes(jpeg())
    target = str(folder / "secret.jpg").encode()
    path = folder / "images.zip"
    write_zip(path, "1.jpg", content=target, attributes=0o120777 << 16)
    assert read_cutout(find_cutouts(path), 0, Stretch()) == (None, NOT_AN_IMAGE)


def test_entries_that_stand_twice_are_refused_by_name(folder):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        write_zip(folder / f"{IMAGES}.zip", *[f"{IMAGES}/7.jpg"] * 2)
        write_zip(folder / "training_solutions_rev1.zip", CSV, CSV)
    text = refusal(open_challenge, folder, GZ2)
    assert f"it has two entries {IMAGES}/7.jpg" in text
    assert f"it should hold one {CSV}" in text


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_what_inflates_all_at_once_is_not_read(method, folder):
    with zipfile.ZipFile(folder / "images.zip", "w", method) as archive:
        archive.writestr("1.jpg", jpeg())
    text = refusal(find_cutouts, folder / "images.zip")
    assert "not stored or deflated: 1.jpg" in text


BOUNDED = """
import sys
from pathlib import Path
from gzjax.data.sources.challenge import open_challenge
from gzjax.data.images.cutouts import find_cutouts
from gzjax.data.detections.table import read_placements
from gzjax.data.labels.name_match import NameMatch
from gzjax.data.images.read_image import read_cutout
from gzjax.data.images.stretch import Stretch
from gzjax.trees import GZ2
from gzjax.trees.tree_file import read_tree
from gzjax.data.vote_files import read_names, read_votes
from gzjax.training.weights.torch_files import read_state_dict

folder = Path(sys.argv[1])
def cutout(name):
    return read_cutout(find_cutouts(folder / name), 0, Stretch())[1]
def deep(name):
    return NameMatch(find_cutouts(folder / name).names).find("8")
for read, name in (
    (lambda p: open_challenge(p, GZ2), "sparse"),
    (lambda p: open_challenge(p, GZ2), "row"),
    (lambda p: open_challenge(p, GZ2), "lying"),
    (lambda p: open_challenge(p, GZ2), "honest"),
    (cutout, "lying/images_training_rev1.zip"),
    (cutout, "honest/images_training_rev1.zip"),
    (cutout, "images"),
    (find_cutouts, "list.csv"),
    (find_cutouts, "directory.zip"),
    (deep, "deep.zip"),
    (read_votes, "predictions-x.csv"),
    (read_names, "names-x.csv"),
    (lambda p: read_placements(p, [1]), "detections-2.csv"),
    (read_tree, "tree.json"),
    (read_state_dict, "w.pth"),
    (read_state_dict, "w.safetensors"),
):
    try:
        print(name, "gave", read(folder / name))
    except Exception as error:
        print(name, type(error).__name__, str(error).replace(chr(10), " "))
"""


@pytest.fixture(scope="module")
def bounded(tmp_path_factory):
    """What is said of bombs, by name, where memory is far less than they inflate to."""
    folder = tmp_path_factory.mktemp("bombs")
    names = "list predictions-x names-x detections-2 sparse/training_solutions_rev1"
    names = [f"{name}.csv" for name in names.split()]
    names += ["tree.json", "w.pth", "w.safetensors"]
    for name in (*names, f"sparse/{IMAGES}/7.jpg", "images/7.jpg"):
        sparse(folder / name)
    for name, claimed in (("lying", 1000), ("honest", None)):
        (folder / name).mkdir()
        bomb(folder / name / f"{IMAGES}.zip", f"{IMAGES}/7.jpg", 3 * GIB, claimed)
        (folder / name / CSV).write_text("GalaxyID\n7\n")
    (folder / "row" / IMAGES).mkdir(parents=True)
    (folder / "row" / IMAGES / "7.jpg").write_bytes(jpeg())
    # One row, which goes on in the next line within quotes.
    (folder / "row" / CSV).write_bytes(b'GalaxyID\n"\n' + b'","\n' * (1 << 20))
    end = struct.pack("<4H2IH", 0, 0, 1, 1, 3900 << 20, 0, 0)
    sparse(folder / "directory.zip", 4 * GIB)
    with open(folder / "directory.zip", "ab") as file:
        file.write(b"PK\x05\x06" + end)
    names = [f"{'a/' * 32_000}{i}.jpg" for i in range(8)]
    write_zip(folder / "deep.zip", "8.jpg", *names)
    lines = run_in_little_memory(BOUNDED, folder)
    return dict(line.split(" ", 1) for line in lines)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("sparse", f"UserError .*labels: {CSV} cannot be read: line 1 is too long"),
        ("row", f"UserError .*labels: {CSV} cannot be read: line 26.* is too long"),
        ("lying", "UserError .*images: unreadable: damaged in the zip"),
        ("honest", "UserError .*images: unreadable: larger than 64 MiB: 1 .id 7"),
        (f"lying/{IMAGES}.zip", "gave unreadable"),
        (f"honest/{IMAGES}.zip", "gave too large"),
        ("images", "gave too large"),
        ("list.csv", "UserError .*list.csv: cannot be .* line 1 is too long"),
        ("directory.zip", "UserError .*directory.zip: .*its directory has"),
        ("deep.zip", "gave "),
        ("predictions-x.csv", "UserError .*predictions-x.csv cannot .* too long"),
        ("names-x.csv", "UserError .*names-x.csv cannot .* too long"),
        ("detections-2.csv", "UserError .*detections-2.csv: .*larger than 1024 MiB"),
        ("tree.json", "UserError .*tree.json cannot .*larger than 1 MiB"),
        ("w.pth", "UserError .*w.pth is larger than the 2 GiB"),
        ("w.safetensors", "UserError .*w.safetensors is larger than the 2 GiB"),
    ],
)
def test_bombs_and_sparse_files_take_little_memory(name, words, bounded):
    assert re.match(words, bounded[name])
