"""The Kaggle download: read as it lies on disks, and every fault of it named."""

import multiprocessing
import os
import re
import shutil
import zipfile

import cv2
import numpy as np
import pytest

from gzjax.data.images.decode_jpeg import jpeg_problem
from gzjax.data.images.store import FolderFiles
from gzjax.data.sources.challenge import open_challenge
from gzjax.errors import UserError
from gzjax.trees import GZ2, Question, Tree

IDS = (7, 40, 100008, 100023, 999967)
CSV, IMAGES = "training_solutions_rev1.csv", "images_training_rev1"
SMALL = Tree(
    "small", (Question("a", ("x", "y")), Question("b", ("u", "v", "w"), ("a.x",)))
)


def make_votes(num_rows, tree, seed=0):
    """float64 [n a] that add up: answers drawn, multiplied down the tree."""
    votes = np.zeros((num_rows, tree.num_answers))
    rng = np.random.default_rng(seed)
    for columns, parents in zip(tree.slices, tree.parents, strict=True):
        asked = votes[:, parents].sum(axis=1, keepdims=True) if parents else 1.0
        size = columns.stop - columns.start
        votes[:, columns] = asked * rng.dirichlet(np.ones(size), num_rows)
    return votes


def make_jpeg(seed=0, size=24, channels=3):
    shape = (size, size, channels)[: 2 + (channels > 1)]
    image = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    return cv2.imencode(".jpg", image)[1].tobytes()


def make_table(ids=IDS, tree=GZ2):
    """The CSV as lines, header first."""
    rows = zip(ids, make_votes(len(ids), tree), strict=True)
    header = ",".join(["GalaxyID", *tree.columns])
    return [header, *(f"{i}," + ",".join(f"{v:.9g}" for v in row) for i, row in rows)]


def write_csv(folder, lines, end="\n", head=b""):
    (folder / CSV).write_bytes(head + end.join([*lines, ""]).encode())


@pytest.fixture
def folder(tmp_path):
    """Five good galaxies, unzipped, at the scale of a few kilobytes."""
    root = tmp_path / "data"
    (root / IMAGES).mkdir(parents=True)
    for i, galaxy in enumerate(IDS):
        (root / IMAGES / f"{galaxy}.jpg").write_bytes(make_jpeg(i))
    write_csv(root, make_table())
    return root


def zip_images(folder, name=IMAGES, entry_folder=f"{IMAGES}/"):
    """Turns the image folder into a zip with what macOS adds."""
    with zipfile.ZipFile(folder / f"{name}.zip", "w") as archive:
        archive.writestr("__MACOSX/" + entry_folder + "._7.jpg", b"resource fork")
        archive.writestr("__MACOSX/" + entry_folder + "12.jpg", b"resource fork")
        archive.writestr(entry_folder + "Thumbs.db", b"other")
        for path in sorted((folder / IMAGES).iterdir()):
            archive.write(path, entry_folder + path.name)
    shutil.rmtree(folder / IMAGES)


def zip_labels(folder):
    with zipfile.ZipFile(folder / "training_solutions_rev1.zip", "w") as archive:
        archive.writestr(f"__MACOSX/._{CSV}", b"\xff resource fork")
        archive.write(folder / CSV, CSV)
    (folder / CSV).unlink()


def _other_columns(lines):
    """The table with its columns in the opposite order, and one more."""
    return [",".join(["more", *line.split(",")[::-1]]) for line in lines]


def message(folder, tree=GZ2, **kwargs):
    """The complaint about a folder, which must be one, and speak to people."""
    with pytest.raises(UserError) as error:
        open_challenge(folder, tree, **kwargs)
    text = str(error.value)
    assert text.startswith(str(folder))
    assert "What to do:" in text
    return text


def test_reads_ids_votes_and_bytes_in_order(folder):
    header, *rows = make_table()
    write_csv(folder, [header, *rows[::-1]])
    source = open_challenge(folder, GZ2, pixel_scale=2)
    assert source.ids.dtype == np.int64
    assert source.ids.tolist() == list(IDS)
    assert source.targets.dtype == np.float32
    np.testing.assert_allclose(source.targets, make_votes(5, GZ2), atol=1e-7)
    assert source.pixel_scale == 2.0
    assert len(source) == 5
    assert [source.read(i) for i in range(5)] == [make_jpeg(i) for i in range(5)]
    assert source.num_unlabelled == 0


@pytest.mark.parametrize(
    "rearrange",
    [
        zip_images,
        zip_labels,
        lambda f: zip_images(f, entry_folder=""),
        lambda f: zip_images(f, "images_train_rev1", "images_train_rev1/"),
        lambda f: zip_images(f, "images_train_rev1"),
        lambda f: (f / IMAGES).rename(f / "images_train_rev1"),
        lambda f: write_csv(f, make_table(), end="\r\n"),
        lambda f: write_csv(f, make_table(), head=b"\xef\xbb\xbf"),
        lambda f: write_csv(f, [*make_table(), "", ""]),
        lambda f: write_csv(f, _other_columns(make_table())),
    ],
)
def test_every_form_of_the_download_is_the_same_data(folder, rearrange):
    plain = open_challenge(folder, GZ2)
    contents = [plain.read(i) for i in range(5)]
    rearrange(folder)
    source = open_challenge(folder, GZ2)
    assert source.fingerprint == plain.fingerprint
    assert [source.read(i) for i in range(5)] == contents


def test_an_empty_image_folder_does_not_hide_the_zip(folder):
    zip_images(folder)
    (folder / IMAGES).mkdir()
    assert len(open_challenge(folder, GZ2)) == 5


def test_images_without_a_row_are_counted_not_checked(folder):
    write_csv(folder, make_table(IDS[:3]))
    (folder / IMAGES / "999967.jpg").write_bytes(b"broken")
    source = open_challenge(folder, GZ2)
    assert (len(source), source.num_unlabelled) == (3, 2)


def test_another_tree_is_read_by_its_own_columns(folder):
    write_csv(folder, make_table(tree=SMALL))
    assert open_challenge(folder, SMALL).targets.shape == (5, 5)


def _change_vote(folder):
    write_csv(folder, make_table((7, 40, 100008, 100023, 999968)))
    (folder / IMAGES / "999967.jpg").rename(folder / IMAGES / "999968.jpg")


@pytest.mark.parametrize(
    ("change", "scale"),
    [
        (_change_vote, 1.0),
        (lambda f: (f / IMAGES / "7.jpg").write_bytes(make_jpeg(99, size=32)), 1.0),
        (lambda f: None, 2.0),
    ],
)
def test_fingerprint_notices(folder, change, scale):
    before = open_challenge(folder, GZ2).fingerprint
    assert re.fullmatch("[0-9a-f]{64}", before)
    assert open_challenge(folder, GZ2).fingerprint == before
    change(folder)
    assert open_challenge(folder, GZ2, scale).fingerprint != before


def _read_all(source):
    return [source.read(i) for i in range(len(source))]


@pytest.mark.parametrize("zipped", [False, True])
def test_source_travels_to_a_process(folder, zipped):
    if zipped:
        zip_images(folder)
    source = open_challenge(folder, GZ2)
    expected = _read_all(source)
    with multiprocessing.get_context("spawn").Pool(1) as processes:
        assert processes.apply(_read_all, (source,)) == expected


def test_an_image_that_goes_away_or_is_cut_later_is_a_user_error(folder):
    source = open_challenge(folder, GZ2)
    image = folder / IMAGES / "40.jpg"
    whole = image.read_bytes()
    image.unlink()
    with pytest.raises(UserError, match=r"40\.jpg cannot be read any more: No such"):
        source.read(1)
    image.write_bytes(whole[:-9])  # OpenCV would decode it
    with pytest.raises(
        UserError, match=r"40\.jpg .*: \d+ bytes, not \d+\n.*Put it back"
    ):
        source.decode(1)
    image.write_bytes(whole)
    source.decode(1)


# What is not there ---------------------------------------------------------------


def test_what_is_no_folder_or_empty(folder, tmp_path, monkeypatch):
    assert "No such file or directory" in message(folder / "nowhere")
    assert "Not a directory" in message(folder / CSV)
    (tmp_path / "empty").mkdir()
    text = message(tmp_path / "empty")
    for name in (CSV, CSV[:-3] + "zip", "images_train_rev1/", f"{IMAGES}.zip"):
        assert name in text
    assert "the folder is empty" in text

    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "listdir", refuse)  # chmod does not stop root
    assert "Permission denied" in message(folder)


@pytest.mark.parametrize("gone", [CSV, IMAGES])
def test_half_a_download_says_what_is_there(folder, gone):
    shutil.move(folder / gone, folder / "elsewhere")
    text = message(folder)
    assert ("no labels" in text, "no images" in text) == (gone == CSV, gone == IMAGES)
    assert "There is: elsewhere, " in text


# What is wrong in the labels ------------------------------------------------------


def _edit(row, column, text):
    """Replaces a field of the CSV: row 1 is the first galaxy, column 0 its id."""

    def edit(lines):
        fields = lines[row].split(",")
        fields[column] = text
        lines[row] = ",".join(fields)

    return edit


def _zero_row(lines):
    lines[3] = ",".join(["100008", *["0"] * 37])


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (
            _edit(0, 5, "Klass2.2"),
            ["missing from the header: 1 (column 'Class2.2' (nearest: 'Klass2.2'))"],
        ),
        (
            _edit(0, 5, "Class2.1"),
            [
                "columns missing from the header: 1 (column 'Class2.2')",
                "columns twice in the header: 1 (column Class2.1)",
            ],
        ),
        (
            lambda lines: lines.pop(0),
            [
                "columns missing from the header: 37 (columns 'Class1.1', ",
                "no column of ids: looked for any of GalaxyID; the header has 7, ",
            ],
        ),
        (
            lambda lines: lines.__setitem__(
                slice(None), [f"{line},{line.split(',')[0]}" for line in lines]
            ),
            ["columns twice in the header: 1 (column GalaxyID)"],
        ),
        (_edit(5, 37, "0,0"), ["rows without 38 fields (a truncated file?): 1 (line"]),
        (
            lambda lines: lines.append("999968,0.1,0."),
            ["rows without 38 fields (a truncated file?): 1 (line 7)"],
        ),
        *(
            (_edit(2, 3, text), ["rows with a value that is not a number: 1 (line 3)"])
            for text in ("n/a", "", "0_1")
        ),
        *(
            (_edit(1, 0, text), ["GalaxyID is not a whole number: 1 (line 2)"])
            for text in ("7.0", "-7", "../../7", "7\x00", "٧" * 30, "9" * 40)
        ),
        (_edit(1, 0, "40"), ["ids given twice: 1 (id 40)"]),
        *(
            (_edit(3, 2, text), ["a value outside [0, 1] or NaN: 1 (id 100008)"])
            for text in ("1.5", "-0.1", "nan", "1e999", "1e99")
        ),
        (_zero_row, ["rows of nothing but zeros: 1 (id 100008)"]),
        (
            _edit(2, 1, "0"),
            [
                "question 'smooth_or_featured' (Class1.1 to Class1.3) does not add up "
                "to 1: 1 (id 40)",
                "'roundness' (Class7.1 to Class7.3) does not add up to Class1.1: 1",
            ],
        ),
        (lambda lines: lines.clear(), ["the file is empty"]),
        (
            lambda lines: lines.__delitem__(slice(1, None)),
            ["no row that can be read"],
        ),
        (_edit(2, 3, "1" * 70_000), ["line 3 is too long"]),
        (_edit(3, 0, '"7'), ["rows without 38 fields"]),
    ],
)
def test_wrong_labels_are_named(folder, edit, expected):
    lines = make_table()
    edit(lines)
    write_csv(folder, lines)
    text = message(folder)
    assert [part for part in expected if part not in text] == []
    assert text.count("\n  ") == len(expected)


@pytest.mark.parametrize(("error", "fine"), [(0.8e-5, True), (1.2e-5, False)])
def test_tolerance_of_the_tree_sums(folder, error, fine):
    votes = make_votes(5, GZ2)
    lines = make_table()
    _edit(1, 14, repr(float(votes[0, 13])))(lines)
    _edit(1, 15, repr(float(votes[0, 14] + error)))(lines)
    write_csv(folder, lines)
    if fine:
        assert len(open_challenge(folder, GZ2)) == 5
    else:
        assert "question 'odd' (Class6.1 to Class6.2)" in message(folder)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"\xff\xfeG\x00a\x00", "line 1 is not UTF-8 text"),
        (b"\x1f\x8b\x08\x00\x00", "line 1 is not UTF-8 text"),
        ("\n".join(make_table()).encode()[:-200] + b"\xe9\n", "line 6 is not UTF-8"),
        (b"\x00" * 5000, "columns missing from the header: 37"),
        (b"\x00" * 200_000, "line 1 is too long"),
        ("\r".join(make_table()).encode(), "new-line character seen"),
        (b'"' + b"a,\n" * 100_000, "field larger than field limit"),
        (b"\n\n", "the file is empty"),
    ],
)
def test_labels_that_are_no_table(folder, data, expected):
    (folder / CSV).write_bytes(data)
    assert expected in message(folder)


def _damage(path, at, with_bytes):
    data = bytearray(path.read_bytes())
    data[at : at + len(with_bytes)] = with_bytes
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("write", "expected"),
    [
        (lambda p: p.write_bytes(b"<html>sign in</html>"), "File is not a zip file"),
        (lambda p: p.write_bytes(p.read_bytes()[:-30]), "File is not a zip file"),
        (lambda p: _damage(p, 1500, b"x"), "Bad CRC-32"),
        (lambda p: zipfile.ZipFile(p, "w").close(), f"one {CSV}, but holds -"),
        (lambda p: p.unlink() or p.mkdir(), "no labels: looked for"),
    ],
)
def test_damaged_label_zip(folder, write, expected):
    zip_labels(folder)
    write(folder / "training_solutions_rev1.zip")
    assert expected in message(folder)


# What is wrong with the images ----------------------------------------------------


def _with_frame(at, value):
    """A JPEG with another value in its start-of-frame segment."""
    data = bytearray(make_jpeg())
    start = data.index(b"\xff\xc0") + at
    data[start : start + len(value)] = value
    return bytes(data)


def _with_thumbnail(data):
    """Embeds a whole JPEG, end marker and all, as EXIF does."""
    inner = make_jpeg(9, size=8)
    size = (len(inner) + 2).to_bytes(2, "big")
    return data[:2] + b"\xff\xe1" + size + inner + data[2:]


PNG = cv2.imencode(".png", np.zeros((4, 4, 3), np.uint8))[1].tobytes()
PROGRESSIVE = cv2.imencode(
    ".jpg", np.zeros((9, 9, 3), np.uint8), [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]
)[1].tobytes()


@pytest.mark.parametrize(
    "data",
    [
        make_jpeg(),
        _with_thumbnail(make_jpeg()),
        make_jpeg() + b"\x00" * 100,
        make_jpeg()[:2] + b"\xff\xff" + make_jpeg()[2:],
        PROGRESSIVE,
    ],
)
def test_whole_images_pass(data):
    assert jpeg_problem(data) is None


BAD_IMAGES = [
    (b"", "unreadable: no bytes at all"),
    (b"\x00" * 500, "unreadable: not a JPEG (the challenge has JPEG only)"),
    (PNG, "unreadable: not a JPEG (the challenge has JPEG only)"),
    (make_jpeg()[:-2], "unreadable: truncated"),
    (make_jpeg()[:700], "unreadable: truncated"),
    (_with_thumbnail(make_jpeg())[:-9], "unreadable: truncated"),
    (make_jpeg()[:30], "unreadable: damaged or truncated JPEG header"),
    (make_jpeg(channels=1), "not RGB: grey, 1 component"),
    (_with_frame(9, b"\x04"), "not RGB: CMYK, 4 components"),
    (_with_frame(9, b"\x02"), "not RGB: unknown colours, 2 components"),
    (_with_frame(5, b"\0\0"), "unreadable: JPEG of 24x0 pixels"),
    (_with_frame(5, b"\xff\xff\xff\xff"), "too large: JPEG of 65535x65535 pixels"),
]


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize(("data", "expected"), BAD_IMAGES)
def test_bad_images_are_named(folder, data, expected, zipped):
    for galaxy in (40, 100023):
        (folder / IMAGES / f"{galaxy}.jpg").write_bytes(data)
    if zipped:
        zip_images(folder)
    text = message(folder)
    assert re.search(
        rf"\n  images: {re.escape(expected)}.*: 2 \(ids 40, 100023\)\n", text
    )
    assert text.count("\n  ") == 1


def test_no_prefix_of_an_image_passes_or_breaks_the_check():
    data = _with_thumbnail(make_jpeg())
    assert all(jpeg_problem(data[:n]) for n in range(len(data)))


def test_no_damaged_byte_breaks_the_check():
    data = make_jpeg()
    for at in range(2, 640):
        for byte in (0x00, 0x01, 0xC0, 0xDA, 0xFF):
            jpeg_problem(data[:at] + bytes([byte]) + data[at + 1 :])


def test_an_image_that_the_disk_does_not_give_is_no_missing_one(folder):
    image = folder / IMAGES / f"{IDS[1]}.jpg"
    image.unlink()
    image.symlink_to(image)
    assert "Too many levels of symbolic links" in message(folder)


def test_missing_images(folder):
    (folder / IMAGES / "40.jpg").rename(folder / IMAGES / "0040.jpg")
    (folder / IMAGES / "7.jpg").unlink()
    expected = f"images: missing from {IMAGES}: 2 (ids 7, 40)"
    assert expected in message(folder, check_images=False)


def test_forbidden_image(folder, monkeypatch):
    def refuse(images, file):
        raise PermissionError(13, "Permission denied", f"{images.path}/{file}")

    monkeypatch.setattr(FolderFiles, "read", refuse)
    assert "images: unreadable: Permission denied: 5 (ids 7, 40, " in message(folder)


def test_damaged_image_zip(folder):
    zip_images(folder)
    path = folder / f"{IMAGES}.zip"
    at = path.read_bytes().index(make_jpeg(1))
    _damage(path, at + 800, b"xxxx")
    text = message(folder)
    assert "images: unreadable: damaged in the zip" in text
    assert "1 (id 40)" in text
    path.write_bytes(path.read_bytes()[:2000])
    expected = f"images: {IMAGES}.zip cannot be read: File is not a zip file"
    assert expected in message(folder)


def test_images_that_are_not_the_challenges(folder):
    for path in list((folder / IMAGES).iterdir()):
        path.rename(path.with_suffix(".png"))
    assert "JPEG only" in message(folder)
    shutil.rmtree(folder / IMAGES)
    zipfile.ZipFile(folder / f"{IMAGES}.zip", "w").close()
    assert f"{IMAGES}.zip holds no {IMAGES}/<GalaxyID>.jpg" in message(folder)


def test_no_damaged_byte_of_a_zip_is_a_traceback(folder):
    zip_labels(folder)
    zip_images(folder)
    rng = np.random.default_rng(0)
    refused = 0
    for name in ("training_solutions_rev1.zip", f"{IMAGES}.zip"):
        good = (folder / name).read_bytes()
        # The directory at the end is where a changed byte does the most.
        for at in len(good) - 1 - rng.integers(0, 400, 60):
            _damage(folder / name, int(at), bytes([good[at] ^ rng.integers(1, 256)]))
            try:
                _read_all(open_challenge(folder, GZ2))
            except UserError:
                refused += 1
            (folder / name).write_bytes(good)
    assert 20 < refused < 120


def test_unchecked_images_are_not_read(folder):
    (folder / IMAGES / "40.jpg").write_bytes(b"broken")
    assert open_challenge(folder, GZ2, check_images=False).read(1) == b"broken"


def test_everything_wrong_is_in_one_message(folder):
    lines = make_table((*IDS, *range(200, 220)))
    _edit(1, 3, "x")(lines)
    _edit(2, 0, "999967")(lines)
    _edit(3, 1, "2")(lines)
    write_csv(folder, lines)
    (folder / IMAGES / "100023.jpg").write_bytes(make_jpeg(channels=1))
    (folder / IMAGES / "100008.jpg").write_bytes(make_jpeg()[:-5])
    assert message(folder).splitlines()[1:-1] == [
        "  labels: rows with a value that is not a number: 1 (line 2)",
        "  labels: ids given twice: 1 (id 999967)",
        "  labels: rows with a value outside [0, 1] or NaN: 1 (id 100008)",
        f"  images: missing from {IMAGES}: 20 (ids 200, 201, 202, 203, 204, …)",
        "  images: unreadable: truncated JPEG, no end-of-image marker: 1 (id 100008)",
        "  images: not RGB: grey, 1 component: 1 (id 100023)",
    ]


def test_progress_counts_to_the_end(folder):
    calls = []
    open_challenge(folder, GZ2, progress=lambda *call: calls.append(call))
    assert calls == [(5, 5)]
