"""Galaxies are found, measured, and put in the middle at one size."""

import math
import os
import pickle
import re
import shutil
import sys
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from gzjax.data.detections import detect as detect_module
from gzjax.data.detections.detect import detect, detect_galaxy
from gzjax.data.detections.table import (
    COLUMNS,
    find_detections,
    header,
    read_placements,
    scale_of,
)
from gzjax.data.geometry import FRAME_PX, pixel_matrix, view_matrix, warp
from gzjax.data.ledger import alone_in
from gzjax.data.sources.base import CentredSource
from gzjax.data.synthetic.source import SyntheticSource
from gzjax.errors import UserError

IMAGES = "images_training_rev1"
HEAD = header(2.0, 1.0, FRAME_PX, "by-hand")
IDS = (7, 40, 100008, 100023, 100100, 999967)


def disc(
    x=0.0, y=0.0, length=8.0, ratio=1.0, angle=0.0, peak=180.0, size=FRAME_PX, power=1.0
):
    """float64 [h w]: ``peak · exp(-(r / length)^power)`` about an offset in px."""
    rows, columns = np.mgrid[:size, :size] - (size - 1) / 2
    columns, rows = columns - x, rows - y
    along = columns * math.cos(angle) + rows * math.sin(angle)
    across = (rows * math.cos(angle) - columns * math.sin(angle)) / ratio
    return peak * np.exp(-((np.hypot(along, across) / length) ** power))


def picture(*parts, noise=2.0, seed=0):
    """uint8 [h w 3]: the parts above a sky of 15; red and blue say nothing."""
    rng = np.random.default_rng(seed)
    green = sum(parts) + rng.normal(15, noise, parts[0].shape)
    green = np.clip(np.round(green), 0, 255).astype(np.uint8)
    return np.stack([rng.permuted(green), green, np.zeros_like(green)], -1)


def petrosian_radius(brightness):
    """Where the brightness at r falls to 0.2 of the mean inside; by integration."""
    r = np.linspace(0.001, 20, 200_000)
    mean = np.cumsum(brightness(r) * r) * 2 * (r[1] - r[0]) / r**2
    return r[np.argmax(brightness(r) < 0.2 * mean)]


def write_images(folder, images):
    (folder / IMAGES).mkdir(parents=True)
    for galaxy, image in images.items():
        data = image if isinstance(image, bytes) else cv2.imencode(".jpg", image)[1]
        (folder / IMAGES / f"{galaxy}.jpg").write_bytes(bytes(data))


@pytest.fixture
def folder(tmp_path):
    """Three galaxies in small frames, and what is not one."""
    galaxies = [
        picture(disc(5 * i, -3 * i, 6.0, size=128), seed=i) for i in range(1, 4)
    ]
    black = np.zeros((128, 128, 3), np.uint8)
    noise = picture(np.zeros((128, 128)), noise=1.0)
    broken = b"\xff\xd8 broken"
    images = dict(zip(IDS, [*galaxies, broken, black, noise], strict=True))
    write_images(tmp_path / "data", images)
    return tmp_path / "data"


def find(folder, threshold=5.0, **kwargs):
    return detect(folder, threshold, num_workers=0, **kwargs)


# The galaxy ----------------------------------------------------------------------


@pytest.mark.parametrize(("x", "y"), [(0.0, 0.0), (12.3, -20.6), (-31.8, 7.4)])
def test_an_ellipse_is_found_where_it_is(x, y):
    found = detect_galaxy(picture(disc(x, y, 12.0, 0.5, 0.7)))
    assert found.flag == "ok"
    assert math.hypot(found.offset_x_px - x, found.offset_y_px - y) < 0.5


@pytest.mark.parametrize("power", [0.7, 1.0, 2.0])  # 1: exponential; 2: Gaussian
@pytest.mark.parametrize("ratio", [1.0, 0.6])
def test_petrosian_radius_is_that_of_the_profile(power, ratio):
    length = {0.7: 4.0, 1.0: 8.0, 2.0: 20.0}[power]
    expected = 2 * length * petrosian_radius(lambda r: np.exp(-(r**power)))
    found = detect_galaxy(picture(disc(3, 5, length, ratio, 0.4, power=power)))
    assert found.radius_px == pytest.approx(expected, rel=0.05)


def test_half_size_copy_gives_the_same_row():
    image = picture(disc(14, -9, 9.0, 0.6, 1.0), disc(-70, 60, 5.0, peak=100))
    half = cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    whole, copy = detect_galaxy(image), detect_galaxy(half, pixel_scale=2.0)
    np.testing.assert_allclose(copy[:2], whole[:2], atol=1.0)
    assert copy.radius_px == pytest.approx(whole.radius_px, rel=0.05)
    assert copy.flag == whole.flag == "ok"


@pytest.mark.parametrize(
    ("near", "far", "winner"),
    [  # (distance, scale length): 40² and 130² over 5000 are 0.32 and 3.4
        ((40, 8.0), (130, 16.0), "near"),
        ((40, 5.0), (-50, 12.0), "far"),
        ((0, 5.0), (60, 5.0), "near"),
    ],
)
def test_the_nearest_large_one_is_taken(near, far, winner):
    found = detect_galaxy(picture(disc(near[0], 0, near[1]), disc(far[0], 0, far[1])))
    expected = {"near": near, "far": far}[winner][0]
    assert found.offset_x_px == pytest.approx(expected, abs=1.0)


def test_a_neighbour_does_not_count_to_the_galaxy():
    alone = detect_galaxy(picture(disc(length=8.0)))
    paired = detect_galaxy(picture(disc(length=8.0), disc(45, 0, 2.0, peak=150)))
    assert paired.radius_px == pytest.approx(alone.radius_px, rel=0.05)


def test_a_higher_threshold_sees_less():
    faint = picture(disc(length=5.0, peak=12))
    assert detect_galaxy(faint, 2.0).flag == "ok"
    assert detect_galaxy(faint, 10.0).flag == "no detection"
    near, far = disc(length=14.0, peak=15), disc(60, 0, 6.0)
    assert detect_galaxy(picture(near, far), 2.0).offset_x_px < 10
    assert detect_galaxy(picture(near, far), 10.0).offset_x_px > 50


@pytest.mark.parametrize("value", [0, 80, 255])
@pytest.mark.parametrize("size", [1, 5, 212])
def test_a_constant_image_has_no_galaxy(value, size):
    found = detect_galaxy(np.full((size, size, 3), value, np.uint8))
    assert found[:2] == (0.0, 0.0)
    assert math.isnan(found.radius_px)
    assert found.flag == "no detection"


@pytest.mark.parametrize("threshold", [0.01, 0.5, 2.0])
def test_noise_never_breaks_it(threshold):
    image = np.random.default_rng(1).integers(0, 256, (96, 130, 3), np.uint8)
    found = detect_galaxy(image, threshold)
    assert found.flag in ("ok", "no radius", "no detection")


def test_a_galaxy_cut_off_by_the_corner_has_no_radius():
    found = detect_galaxy(picture(disc(205, 205, 12.0)))
    assert found.flag == "no radius"
    assert math.isnan(found.radius_px)


# The table -----------------------------------------------------------------------


def test_scale_is_160_over_the_radius_within_bounds():
    radii = [160.0, 128.0, 200.0, 20.0, 1000.0, math.nan]
    expected = [1.0, 1.25, 0.8, 1.5, 1 / 1.5, 1.0]
    np.testing.assert_allclose(scale_of(np.array(radii)), expected, rtol=1e-15)


def test_what_is_no_galaxy_is_flagged(folder, capsys):
    table = find(folder)
    head, columns, *rows = table.read_text().splitlines()
    assert re.fullmatch(
        "# gzjax detect: threshold=5.0 pixel_scale=1.0 frame=128 "
        f"images={IMAGES}:[0-9a-f]{{16}}; lengths in px of the original frame",
        head,
    )
    assert columns == COLUMNS
    assert rows[3] == "100023,0.000,0.000,nan,unreadable"
    assert [int(row.split(",")[0]) for row in rows] == list(IDS)
    flags = [row.rsplit(",", 1)[1] for row in rows]
    assert flags == ["ok"] * 3 + ["unreadable", "no detection", "no detection"]
    assert "3 ok, 2 no detection, 1 unreadable (ids 100023)" in capsys.readouterr().err
    assert not list(folder.glob("*.partial"))


def test_the_galaxy_lands_in_the_middle_at_its_scale(folder):
    placed, _ = read_placements(find(folder), np.array(IDS))
    assert placed.shape == (6, 2, 3)
    np.testing.assert_array_equal(placed[3:], np.broadcast_to(np.eye(2, 3), (3, 2, 3)))
    np.testing.assert_allclose(placed[0, :, 2], [5, -3], atol=0.5)
    image = picture(disc(10, -6, 6.0, size=128), seed=2)
    matrix = pixel_matrix(view_matrix(placed[1], 65, 1.0), 1.0, (128, 128))
    view = warp(image, matrix[None], 65)[0]
    green = np.maximum(view[..., 1].astype(float) - 40, 0)
    x = (green.sum(0) * np.arange(65)).sum() / green.sum()
    y = (green.sum(1) * np.arange(65)).sum() / green.sum()
    assert math.hypot(x - 32, y - 32) < 0.75
    assert placed[1, 0, 0] == pytest.approx(1 / 1.5)  # a small one is enlarged


def test_a_galaxy_without_radius_is_only_centred(tmp_path):
    path = tmp_path / "detections-2.csv"
    path.write_text(f"{HEAD}\n{COLUMNS}\n7,3.5,-2.0,nan,no radius\n")
    np.testing.assert_array_equal(
        read_placements(path, np.array([7]))[0], [[[1, 0, 3.5], [0, 1, -2]]]
    )


def test_zip_and_processes_give_the_same_table(folder, tmp_path):
    expected = find(folder).read_bytes()
    with zipfile.ZipFile(folder / f"{IMAGES}.zip", "w") as archive:
        for path in (folder / IMAGES).iterdir():
            archive.write(path, f"{IMAGES}/{path.name}")
    shutil.rmtree(folder / IMAGES)
    table = detect(folder, 5.0, output=tmp_path / "other.csv", num_workers=2)
    assert table.read_bytes() == expected


def interrupt(folder):
    """Stops when two galaxies are in the ledger; returns its path."""

    def stop(*args):
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(detect_module, "_CHUNK", 2)
        patch.setattr("gzjax.progress.Progress.update", stop)
        with pytest.raises(KeyboardInterrupt):
            find(folder)
    return folder / "detections-5.csv.partial" / "progress.jsonl"


def test_an_interrupted_run_is_resumed(folder, tmp_path, capsys):
    expected = find(folder, output=tmp_path / "whole.csv").read_text()
    ledger = interrupt(folder)
    row = expected.splitlines()[2]
    ledger.write_text(ledger.read_text().replace(row, f"7,1.500,{row[8:]}"))
    assert find(folder).read_text() == expected.replace(row, f"7,1.500,{row[8:]}")
    assert "resuming after 2 images" in capsys.readouterr().err
    assert not ledger.exists()


@pytest.mark.parametrize("bad", ['"7,0.000,0.000,9.000,okk"', '"40,0,0,9,ok"', "5"])
def test_damaged_lines_of_a_ledger_are_done_again(folder, tmp_path, bad):
    expected = find(folder, output=tmp_path / "whole.csv").read_text()
    ledger = interrupt(folder)
    ledger.write_text(re.sub(r"\[7, .*\]", f"[7, {bad}]", ledger.read_text()))
    assert find(folder).read_text() == expected
    assert not list(folder.glob("*.partial"))


def test_two_runs_of_one_table_are_refused(folder):
    refused = pytest.raises(UserError, match="another process is writing it")
    with alone_in(folder / "detections-5.csv.partial"), refused:
        find(folder)
    assert find(folder, 6.0).exists()


def test_another_run_is_not_resumed(folder):
    ledger = interrupt(folder)
    before = ledger.read_bytes()
    with pytest.raises(UserError, match=r"\n  pixel_scale: 1\.0 there, 2\.0 here\n"):
        find(folder, pixel_scale=2.0)
    shutil.copy(folder / IMAGES / "7.jpg", folder / IMAGES / "100023.jpg")
    with pytest.raises(UserError, match=f"  images: '{IMAGES}:.*\nWhat to do: remove"):
        find(folder)
    assert ledger.read_bytes() == before


def test_a_complete_table_is_left_alone(folder, capsys, monkeypatch):
    table = find(folder)
    monkeypatch.setattr(detect_module, "detect_galaxy", None)
    assert find(folder) == table
    assert "complete for these images; nothing to do" in capsys.readouterr().err


@pytest.mark.parametrize("old", ["threshold=5.0", f"images={IMAGES}:", "\n100023"])
def test_a_table_of_other_parameters_or_galaxies_is_made_again(folder, capsys, old):
    table = find(folder)
    expected = table.read_text()
    table.write_text(expected.replace(old, f"{old}0"))
    assert find(folder).read_text() == expected
    assert "or of other parameters or images; making it" in capsys.readouterr().err


# What people get wrong -------------------------------------------------------------


@pytest.mark.parametrize("name", ["threshold", "pixel_scale"])
@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
def test_parameters_must_be_positive(folder, name, value):
    with pytest.raises(UserError, match=f"--{name} must be a positive number"):
        detect(folder, **{name: value})


@pytest.mark.parametrize("make", [False, True])
def test_no_images(tmp_path, make):
    if make:
        (tmp_path / f"{IMAGES}.zip").write_bytes(b"<html>")
    expected = "cannot be read: File is not a zip file" if make else "no images"
    with pytest.raises(UserError, match=f"{expected}\nWhat to do"):
        find(tmp_path)


def test_other_files_are_not_overwritten(folder, tmp_path):
    shared, labels = tmp_path / "shared.csv", folder / "solutions.csv"
    labels.write_text("GalaxyID,Class1.1\n")
    before = find(folder, output=shared).read_bytes()
    shutil.copy(folder / IMAGES / "7.jpg", folder / IMAGES / "9.jpg")
    for path in (shared, labels):
        with pytest.raises(UserError, match="no table of detections in these images"):
            find(folder, output=path)
    assert shared.read_bytes() == before
    with pytest.raises(UserError) as error:
        read_placements(shared, np.array([9]), str(folder))
    assert str(error.value).endswith(f"detect --data={folder} --threshold=2")


def test_a_table_made_at_another_pixel_scale_is_noted(folder, capsys):
    table = find(folder)
    capsys.readouterr()
    size = cv2.imread(str(folder / IMAGES / "7.jpg")).shape[0]
    read_placements(table, np.array([7]), str(folder), 2.0, frame_px=2 * size)
    assert f"lie in frames of {size} px, these" in capsys.readouterr().err
    read_placements(table, np.array([7]), str(folder), 1.0, frame_px=size)
    assert not capsys.readouterr().err


@pytest.mark.parametrize("name", ["write_text", "Ledger"])
def test_a_folder_that_cannot_be_written(folder, monkeypatch, name):
    def refuse(path, *args):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(detect_module, name, refuse)
    expected = "(?s)Permission denied.*--output=FILE.*--config.data.detections=FILE"
    with pytest.raises(UserError, match=expected):
        find(folder)


def test_without_sep(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "sep", None)
    with pytest.raises(UserError, match="pip install sep"):
        find(folder)


def test_galaxies_without_a_row_are_named(folder):
    find(folder, 10.0)
    table = find_detections("detections-10.csv", folder)
    with pytest.raises(UserError, match=r"2 of 3 galaxies \(8, 9\)") as error:
        read_placements(table, np.array([7, 8, 9]), str(folder), 2.0)
    command = f"python -m gzjax.main detect --data={folder} --threshold=10"
    assert f"  {command} --pixel_scale=2" in str(error.value)
    assert "--output" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "end"),
    [
        ("detections-2.csv", "--threshold=2"),
        ("detections-2.5.csv", "--threshold=2.5"),
        ("mine.csv", "--threshold=2 --output={folder}/mine.csv"),
        ("a b/detections-3.csv", "--threshold=3 --output='a b/detections-3.csv'"),
    ],
)
def test_a_table_that_is_not_there(tmp_path, name, end):
    with pytest.raises(UserError, match="there is no such table") as error:
        find_detections(name, tmp_path)
    assert str(error.value).endswith(
        f"detect --data={tmp_path} {end.format(folder=tmp_path)}"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "does not begin with"),
        (f"{COLUMNS}\n7,0,0,100,ok\n", "does not begin with"),
        (f"{HEAD}\n{COLUMNS}\n7,0,0\n", r"make no sense: 1 \(line 3\)"),
        (f"{HEAD}\n{COLUMNS}\n7,nan,0,100,ok\n", "make no sense"),
        (f"{HEAD}\n{COLUMNS}\n7,0,0,nan,ok\n", "make no sense"),
        (f"{HEAD}\n{COLUMNS}\n7,0,0,-1,ok\n", "make no sense"),
        (f"{HEAD}\n{COLUMNS}\n7,0,0,nan,good\n", "make no sense"),
        (f"{HEAD}\n{COLUMNS}\n-7,0,0,100,ok\n", "make no sense"),
        (f"{HEAD}\n{COLUMNS}\n" + "7,0,0,100,ok\n" * 2, r"twice: 1 \(id 7\)"),
    ],
)
def test_damaged_tables_are_refused(tmp_path, text, expected):
    path = tmp_path / "detections-2.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=expected) as error:
        read_placements(path, np.array([7]))
    assert "python -m gzjax.main detect --data=DIR --threshold=2" in str(error.value)


def test_a_table_of_another_threshold_than_its_name_is_refused(folder):
    table = find(folder)
    named = table.rename(folder / "detections-10.csv")
    with pytest.raises(UserError, match=r"made with --threshold=5, unlike its name"):
        read_placements(named, np.array(IDS))
    read_placements(named.rename(folder / "mine.csv"), np.array(IDS))


# The source ------------------------------------------------------------------------


def test_a_centred_source_is_its_source_with_placements():
    source = SyntheticSource(3, size_px=32)
    placed = np.broadcast_to(np.eye(2, 3), (3, 2, 3)).copy()
    centred = CentredSource(source, placed, 2.0)
    moved = CentredSource(source, placed + 1, 2.0)
    assert len({source.fingerprint, centred.fingerprint, moved.fingerprint}) == 3
    copy = pickle.loads(pickle.dumps(centred))
    assert copy.fingerprint == centred.fingerprint
    np.testing.assert_array_equal(copy.decode(1), source.decode(1))
    np.testing.assert_array_equal(copy.placement(1, None), placed[1])
    np.testing.assert_array_equal(copy.placements, placed)
    assert copy.num_unlabelled == 0
    for name in ("ids", "targets", "pixel_scale"):
        np.testing.assert_array_equal(getattr(copy, name), getattr(source, name))


def test_real_galaxies_are_near_their_typical_size():
    root = os.environ.get("GZJAX_DATA")
    if not root:
        pytest.skip("GZJAX_DATA does not name the folder of real galaxies")
    paths = sorted(Path(root, "galaxy-zoo-600", IMAGES).iterdir())[:600:30]
    found = [detect_galaxy(cv2.imread(str(path)), 10.0) for path in paths]
    scales = scale_of(np.array([row.radius_px for row in found]))
    assert 0.85 < np.median(scales) < 1.15
    assert all(math.hypot(*row[:2]) < 60 for row in found)
