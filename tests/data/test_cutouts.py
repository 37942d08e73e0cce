"""Images without labels are found, all of them, in a stated order."""

import concurrent.futures
import os
import pickle
import zipfile

import numpy as np
import pytest

from gzjax.data.images.cutouts import find_cutouts
from gzjax.data.images.store import ZipFiles
from gzjax.errors import READ_ERRORS, UserError


def write(folder, *names):
    """A file for each name, which holds its name."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    return folder


def write_zip(path, *names):
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, name.rsplit("/", 1)[-1])
    return path


def write_list(folder, *lines, end="\n"):
    (folder / "list.csv").write_bytes(end.join([*lines, ""]).encode())
    return folder / "list.csv"


def message(path):
    """The complaint, which must be one, and speak to people."""
    with pytest.raises(UserError) as error:
        find_cutouts(path)
    text = str(error.value)
    assert text.startswith(str(path))
    assert "What to do:" in text
    return text


def contents(cutouts):
    return [cutouts.read(i).decode() for i in range(len(cutouts))]


def test_numbers_ascend_and_the_others_follow(tmp_path):
    write(tmp_path, "b.jpg", "100.jpg", "readme.txt", "9.jpg", "B.png", "20")
    names = ("9.jpg", "20", "100.jpg", "B.png", "b.jpg", "readme.txt")
    cutouts = find_cutouts(tmp_path)
    assert cutouts.names == names
    assert cutouts.stems == ("9", "20", "100", "B", "b", "readme.txt")
    assert contents(cutouts) == list(names)
    assert cutouts.sizes.tolist() == [len(name) for name in names]


def test_subfolders_are_searched_and_a_common_one_is_not_named(tmp_path):
    write(tmp_path / "up" / "data", "x/2.jpg", "x/y/1.fits.fz", "z.tif")
    for path in (tmp_path, tmp_path / "up" / "data"):
        cutouts = find_cutouts(path)
        assert cutouts.names == ("x/2.jpg", "x/y/1.fits.fz", "z.tif")
        assert cutouts.stems == ("x/2", "x/y/1", "z")
        assert contents(cutouts) == list(cutouts.names)


def test_what_the_system_put_there_is_left_out(tmp_path):
    junk = (".hidden.jpg", "__MACOSX/._1.jpg", ".cache/2.jpg", "Thumbs.db")
    junk += ("lost+found/3.jpg",)
    write(tmp_path / "data", *junk, "a/1.jpg", "a/desktop.ini")
    assert find_cutouts(tmp_path).names == ("1.jpg",)
    path = write_zip(tmp_path / "data.zip", *junk, "./a/1.jpg", "./a/desktop.ini")
    assert find_cutouts(path).names == ("1.jpg",)


def test_stems_keep_their_suffix_where_they_need_it(tmp_path):
    write(tmp_path / "clash", "1.jpg", "1.png", "2.jpg")
    clash = find_cutouts(tmp_path / "clash")
    assert clash.stems == clash.names == ("1.jpg", "1.png", "2.jpg")
    write(tmp_path / "dots", "J0123.45+01.JPG", "NGC.1365", "x.csv")
    stems = find_cutouts(tmp_path / "dots").stems
    assert stems == ("J0123.45+01", "NGC.1365", "x.csv")


@pytest.mark.parametrize("prefix", ["", "data/", "a/b/"])
def test_a_folder_and_its_zip_are_the_same(tmp_path, prefix):
    names = ("7.jpg", "8.jpg", "70.jpg", "notes.txt", "sub/9.png")
    folder = find_cutouts(write(tmp_path / "data", *names))
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
        archive.writestr("a/", b"")
        for name in reversed(names):
            archive.write(tmp_path / "data" / name, prefix + name)
    zipped = find_cutouts(tmp_path / "data.zip")
    assert folder.names == zipped.names == names
    assert folder.fingerprint == zipped.fingerprint
    assert contents(folder) == contents(zipped) == list(names)


def test_the_fingerprint_tells_names_sizes_and_order_apart(tmp_path):
    def fingerprint(*lines):
        return find_cutouts(write_list(tmp_path, "path", *lines)).fingerprint

    write(tmp_path, "a.jpg", "b.jpg")
    before = fingerprint("a.jpg", "b.jpg")
    assert fingerprint("b.jpg", "a.jpg") != before
    assert fingerprint("a.jpg") != before
    (tmp_path / "a.jpg").write_bytes(b"other")
    assert fingerprint("a.jpg", "b.jpg") == before
    (tmp_path / "a.jpg").write_bytes(b"longer")
    assert fingerprint("a.jpg", "b.jpg") != before


@pytest.mark.parametrize("zipped", [False, True])
def test_the_challenge_is_recognised(tmp_path, capsys, zipped):
    write(tmp_path, "training_solutions_rev1.csv", "images_training_rev1/1.jpg")
    (tmp_path / "images_test_rev1").mkdir()  # as a failed unzip leaves it
    if zipped:
        write_zip(tmp_path / "images_test_rev1.zip", "images_test_rev1/2.jpg")
    else:
        write(tmp_path, "images_test_rev1/2.jpg")
    cutouts = find_cutouts(tmp_path)
    assert cutouts.names == ("2.jpg",)
    assert cutouts.path.name == "images_test_rev1" + ".zip" * zipped
    assert f"are those of {cutouts.path.name}" in capsys.readouterr().err


def test_a_list_keeps_its_order_and_names(tmp_path):
    write(tmp_path, "z.jpg", "sub/a.jpg")
    lines = ["GalaxyID,ra, FILE ", "9,1,z.jpg", "", "J1.jpg,2, sub/a.jpg"]
    path = write_list(tmp_path, *lines, f"8,3,{tmp_path}/z.jpg", end="\r\n")
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    cutouts = find_cutouts(path)
    assert cutouts.names == cutouts.stems == ("9", "J1.jpg", "8")
    assert contents(cutouts) == ["z.jpg", "sub/a.jpg", "z.jpg"]


def test_a_list_without_names_goes_by_its_paths(tmp_path):
    cutouts = find_cutouts(write_list(tmp_path, "image", "10.jpg", "sub/9.png"))
    assert cutouts.names == ("10.jpg", "sub/9.png")
    assert cutouts.stems == ("10", "sub/9")


def test_what_is_wrong_in_a_list_is_said_with_its_lines(tmp_path):
    rows = ["1,a.jpg", "2,b.jpg", "1,c.jpg", "3", " ,d.jpg", "1,e.jpg"]
    text = message(write_list(tmp_path, "id,path", *rows))
    assert "names given twice: 2 (lines 2 and 4 ('1'), 2 and 7 ('1'))" in text
    assert "rows without 2 fields: 1 (line 5)" in text
    assert "rows without a name: 1 (line 6)" in text
    text = message(write_list(tmp_path, "path", "a.jpg", "b.jpg", "a.jpg"))
    assert "line 2 and 4 ('a.jpg')" in text
    text = message(write_list(tmp_path, "GalaxyID,Class1.1", "1,0.5"))
    assert "no column of paths: the header (line 1) has GalaxyID, Class1.1" in text
    assert "path, file, filename" in text
    assert "has nothing" in message(write_list(tmp_path))
    assert "no row after the header" in message(write_list(tmp_path, "path"))
    (tmp_path / "list.csv").write_bytes(b"path\n\xff.jpg\n")
    assert "in UTF-8" in message(tmp_path / "list.csv")


def test_what_holds_no_images_is_refused(tmp_path):
    assert "there is no such path" in message(tmp_path / "nowhere")
    write(tmp_path / "hidden", ".a.jpg")
    assert "there are no files in it" in message(tmp_path / "hidden")
    assert "no files in it" in message(write_zip(tmp_path / "empty.zip", "folder/"))
    write(tmp_path, "not.zip", "one.jpg")
    assert "not a zip file" in message(tmp_path / "not.zip")
    assert "no folder, .zip or .csv" in message(tmp_path / "one.jpg")


def test_a_zip_with_a_name_twice_is_refused(tmp_path):
    with pytest.warns(UserWarning, match="Duplicate name"):
        path = write_zip(tmp_path / "twice.zip", "a/1.jpg", "a/2.jpg", "a/1.jpg")
    assert "it has two entries a/1.jpg\n" in message(path)


def test_a_damaged_zip_raises_what_readers_expect(tmp_path):
    path = write_zip(tmp_path / "data.zip", "first.jpg", "second.jpg")
    data = path.read_bytes()
    assert data.count(b"second.jpg") == 3  # two headers, and the content
    content = data.index(b"second.jpg") + len(b"second.jpg")
    path.write_bytes(data[:content] + b"SECOND" + data[content + 6 :])
    cutouts = find_cutouts(path)
    assert cutouts.read(0) == b"first.jpg"
    with pytest.raises(READ_ERRORS, match="CRC"):
        cutouts.read(1)


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_no_more_is_read_than_tells_that_it_is_too_much(tmp_path, monkeypatch, kind):
    monkeypatch.setattr("gzjax.data.images.store.MAX_BYTES", 10)
    if kind == "zip":
        path = write_zip(tmp_path / "data.zip", "0123456789", "0123456789ab")
    else:
        path = write(tmp_path, "0123456789", "0123456789ab")
    assert contents(find_cutouts(path)) == ["0123456789", "0123456789a"]


def test_a_forked_child_opens_the_zip_for_itself(tmp_path, monkeypatch):
    files = ZipFiles(write_zip(tmp_path / "data.zip", "7.jpg"))
    inherited = files._open()
    assert files._open() is inherited
    monkeypatch.setattr(os, "getpid", lambda: -1)
    assert files._open() is not inherited
    assert files.read("7.jpg") == b"7.jpg"


@pytest.mark.parametrize("kind", ["folder", "zip", "list"])
def test_pickles_small_and_reads_in_many_threads(tmp_path, kind):
    names = [f"{i}.jpg" for i in range(300)]
    write(tmp_path, *names)
    paths = {
        "folder": tmp_path,
        "zip": tmp_path / "data.zip",
        "list": tmp_path / "list.csv",
    }
    if kind == "zip":
        write_zip(paths[kind], *names)
    if kind == "list":
        write_list(tmp_path, "path", *names)
    cutouts = find_cutouts(paths[kind])
    cutouts.read(0)
    pickled = pickle.dumps(cutouts)
    assert len(pickled) < 50 * len(names)
    copy = pickle.loads(pickled)
    assert copy.fingerprint == cutouts.fingerprint
    np.testing.assert_array_equal(copy.sizes, cutouts.sizes)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert [x.decode() for x in pool.map(copy.read, range(300))] == names
