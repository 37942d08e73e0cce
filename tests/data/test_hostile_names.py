"""Names meant to do harm: they are text, and never a path, a formula or a command."""

import csv
import os
import shutil
import subprocess
import unicodedata

import pytest
from hostile import jpeg, refusal, watched

from gzjax.data.detections.table import COLUMNS, MADE_BY, read_placements
from gzjax.data.images.cutouts import find_cutouts
from gzjax.data.images.read_image import MISSING, NOT_AN_IMAGE, OK, read_cutout
from gzjax.data.images.stretch import Stretch
from gzjax.data.labels.name_match import NameMatch
from gzjax.data.sources.challenge import open_challenge
from gzjax.data.sources.survey import open_survey
from gzjax.data.vote_files import read_names, write_names
from gzjax.files import open_regular, read_bytes
from gzjax.training import run_files as layout
from gzjax.trees import GZ2, Question, Tree
from gzjax.trees.tree_file import read_tree

TREE = Tree("mine", (Question("bar", ("yes", "no")),))
OUT = "../../victim"
NAMES = "=cmd|' /C calc'!A0 +1 -1 @SUM(1) 🌌 é <script>alert(1)</script> a,b \" [/red]"
NAMES = (*NAMES.rsplit(" ", 9), "x" * 250, "$\\frac{")


@pytest.fixture
def folder(tmp_path):
    with watched(tmp_path) as inside:
        yield inside


def flags(cutouts):
    return {
        name: read_cutout(cutouts, i, Stretch())[1]
        for i, name in enumerate(cutouts.names)
    }


# What is no file ------------------------------------------------------------------


def test_pipes_devices_and_loops_are_no_images_and_nobody_waits(folder):
    images = folder / "images"
    (images / "sub").mkdir(parents=True)
    (images / "1.jpg").write_bytes(jpeg())
    os.mkfifo(images / "2.jpg")
    (images / "3.jpg").symlink_to("/dev/zero")
    (images / "4.jpg").symlink_to("4.jpg")
    (images / "sub" / "up").symlink_to(images)
    names = [f"{i}.jpg" for i in range(1, 5)]
    assert flags(find_cutouts(images)) == {
        name: OK if name == "1.jpg" else MISSING for name in names
    }
    paths = [*(f"images/{n}" for n in names), "/dev/zero", "/dev/tty", "gone", folder]
    rows = [f"{i},{path}" for i, path in enumerate([*paths, "", ".", "\0"])]
    (folder / "list.csv").write_text("\n".join(["id,path", *rows]))
    listed = find_cutouts(folder / "list.csv")
    assert listed.sizes.tolist() == [len(jpeg())] + [-1] * 10
    assert list(flags(listed).values()) == [OK] + [MISSING] * 10
    (folder / "loop.zip").symlink_to("loop.zip")
    assert str(folder / "loop.zip") in refusal(find_cutouts, folder / "loop.zip")


def test_challenge_of_pipes_has_no_images_and_no_labels(folder):
    (folder / "images_training_rev1").mkdir()
    os.mkfifo(folder / "images_training_rev1/7.jpg")
    os.mkfifo(folder / "training_solutions_rev1.csv")
    assert "no labels: looked for" in refusal(open_challenge, folder, GZ2)


def test_tables_that_are_pipes_are_refused_at_once(folder):
    for name in ("labels.csv", "tree.json", "detections-2.csv"):
        os.mkfifo(folder / name)
    text = refusal(open_survey, folder / "labels.csv", folder, TREE)
    assert "labels.csv cannot be read: not a regular file" in text
    assert "not a regular file" in refusal(read_tree, folder / "tree.json")
    assert "not a regular file" in refusal(
        read_placements, folder / "detections-2.csv", [1]
    )
    with pytest.raises(OSError, match="not a regular file"):
        open_regular("/dev/zero")
    (folder / "large").write_bytes(bytes(11))
    with pytest.raises(OSError, match="larger than 0 MiB"):
        read_bytes(folder / "large", 10)


# Names of images and galaxies -----------------------------------------------------


def survey_of(folder, names):
    (folder / "images").mkdir(exist_ok=True)
    for name in names:
        (folder / "images" / f"{name.replace('/', ':')}.jpg").write_bytes(jpeg())
    with open(folder / "labels.csv", "w", newline="", encoding="utf-8") as file:
        rows = [(name.replace("/", ":"), 0.5, 0.5) for name in names]
        csv.writer(file).writerows([("name", "bar.yes", "bar.no"), *rows])
    return open_survey(folder / "labels.csv", folder / "images", TREE)


def test_names_come_back_as_they_are_and_are_nothing_but_text(folder):
    source = survey_of(folder, NAMES)
    assert sorted(source.names) == sorted(n.replace("/", ":") for n in NAMES)
    path = folder / layout.names_name("valid-none")
    write_names(path, source.ids, source.names)
    assert tuple(read_names(path).values()) == source.names


@pytest.mark.parametrize(
    "name",
    ["../../victim", "/etc/passwd", "a\nb", "\x1b]0;x\x07", "\u202egpj.exe", " "],
)
def test_rows_of_names_that_lead_elsewhere_find_no_image(name, folder):
    survey_of(folder, ["good"])
    with open(folder / "labels.csv", "a", newline="") as file:
        csv.writer(file).writerow([name, 0.5, 0.5])
    text = refusal(open_survey, folder / "labels.csv", folder / "images", TREE)
    found = (
        f"1 (name {name})"
        if name.isprintable() and name.strip()
        else "can be printed: 1"
    )
    assert found in text


def test_detections_of_paths_and_wild_numbers_are_refused(folder):
    path = folder / "detections-2.csv"
    head = (
        f"{MADE_BY} threshold={{}} pixel_scale=1.0 frame={{}} images=x; y\n{COLUMNS}\n"
    )
    rows = (f"{OUT},0,0,1,ok", "7,1e999,0,1,ok", "7,0,0,nan,ok", "7,0,0,1,evil")
    path.write_text(head.format("2.0", 424) + "\n".join(rows))
    text = refusal(read_placements, path, [7])
    assert "rows that make no sense: 4 (lines 3, 4, 5, 6)" in text
    for threshold, frame in (("e-e", 424), ("1.2.3", 424), ("2.0", "9" * 5000)):
        path.write_text(head.format(threshold, frame) + "7,0,0,1,ok\n")
        assert "it does not begin with" in refusal(read_placements, path, [7])


def test_a_list_of_paths_may_lead_anywhere_but_reads_images_only(folder, tmp_path):
    (folder / "other").mkdir()
    (folder / "other/1.jpg").write_bytes(jpeg())
    paths = [folder / "other/1.jpg", "sub/../other/1.jpg", "/etc/hostname"]
    paths += [f"{OUT}.csv", "../victim.csv", "a" * 5000]
    (folder / "list.csv").write_text("\n".join(["path", *map(str, paths)]))
    found = list(flags(find_cutouts(folder / "list.csv")).values())
    assert (found[0], found[1]) == (OK, MISSING)
    assert found[2] in (NOT_AN_IMAGE, MISSING)
    assert found[3:] == [MISSING, NOT_AN_IMAGE, MISSING]


def test_any_name_that_a_disk_holds_is_read(folder):
    images = folder / "images"
    images.mkdir()
    names = [b"\xff\xfe.jpg", b"a\nb.jpg", b"=1+1.jpg", b"n" * 251 + b".jpg"]
    accent = unicodedata.normalize("NFD", "ö.jpg")
    names += [name.encode() for name in ("é.jpg", "🌌.jpg", accent)]
    for name in names:
        (images / os.fsdecode(name)).write_bytes(jpeg())
    cutouts = find_cutouts(images)
    assert {os.fsencode(name) for name in cutouts.names} == set(names)
    assert set(flags(cutouts).values()) == {OK}
    assert "\\udcff\\udcfe" in cutouts.stems
    for stem in cutouts.stems:
        assert stem.encode()  # fit to be written


def test_accents_match_however_they_are_written():
    composed, parts = (unicodedata.normalize(form, "sub/é") for form in ("NFC", "NFD"))
    for disk, table in ((composed, parts), (parts, composed)):
        find = NameMatch([f"{disk}.jpg", "b.jpg"]).find
        assert [find(name) for name in (table, f"{table}.png", table[4:])] == [0] * 3
    both = NameMatch([f"{composed}.jpg", f"{parts}.jpg"])
    assert [both.find(f"{name}.jpg") for name in (composed, parts)] == [0, 1]


def test_paths_that_are_too_long_are_named(folder):
    deep = folder
    for _ in range(12):
        deep = deep / ("d" * 250)
        deep.mkdir()
    (deep / "1.jpg").write_bytes(jpeg())
    assert len(find_cutouts(folder)) == 1
    # Made from within, a path can be longer than any that can be opened.
    made = subprocess.run(
        ["bash", "-c", "for i in 1 2 3 4 5 6; do mkdir $0 && cd $0; done", "e" * 250],
        cwd=deep,
        check=False,
    )
    if made.returncode == 0:
        assert "File name too long" in refusal(find_cutouts, folder)
        shutil.rmtree(deep)
    assert "too long" in refusal(find_cutouts, "x" * 5000)
