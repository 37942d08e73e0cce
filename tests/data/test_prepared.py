"""A prepared data set is the download: the same pixels, votes and fingerprint."""

import concurrent.futures
import hashlib
import json
import multiprocessing
import os
import pickle
import shutil
import zipfile

import numpy as np
import pytest
from grain.sources import ArrayRecordDataSource
from tiny import make_config

from gzjax.data import make_source
from gzjax.data.detections.detect import detect
from gzjax.data.pipeline import train_batches
from gzjax.data.prepared.manifest import read_manifest
from gzjax.data.prepared.prepare import prepare
from gzjax.data.prepared.source import open_prepared
from gzjax.data.synthetic.folder import IMAGES, write_folder
from gzjax.data.synthetic.source import SyntheticSource
from gzjax.errors import UserError
from gzjax.training.open_run import use_data
from gzjax.trees import GZ2, Question, Tree

COUNT, SIZE = 12, 96
SHARD = "images-00000-of-00001.array_record"
SETS = [("jpeg", SHARD), ("pixels2", "pixels.npy")]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """One data set in five forms; the last two are decoded at half size and whole."""
    root = tmp_path_factory.mktemp("forms")
    write_folder(SyntheticSource(COUNT, size_px=SIZE), root / "folder")
    (root / "zip").mkdir()
    with zipfile.ZipFile(root / "zip" / f"{IMAGES}.zip", "w") as archive:
        for path in (root / "folder" / IMAGES).iterdir():
            archive.write(path, f"{IMAGES}/{path.name}")
    for path in (root / "folder").glob("*.csv"):
        shutil.copy(path, root / "zip")
    scale = {"pixel_scale": 4.0, "num_workers": 0}
    prepare(root / "folder", root / "jpeg", **scale)
    for decode_scale in (1, 2):
        output = root / f"pixels{decode_scale}"
        prepare(root / "zip", output, kind="pixels", decode_scale=decode_scale, **scale)
    return root


@pytest.fixture
def copies(folders, tmp_path):
    """The prepared sets, to be damaged."""
    for name, _ in SETS:
        shutil.copytree(folders / name, tmp_path / name)
    return tmp_path


def config_of(folder, scale=1, **changes):
    changes = {"pixel_scale": 4.0, "decode_scale": scale, **changes}
    changes = {"kind": "challenge", "dir": str(folder), **changes}
    return make_config(**{f"data__{k}": v for k, v in changes.items()})


def open_(folder, scale=1, **changes):
    return make_source(config_of(folder, scale, **changes), GZ2)


def images_of(source):
    return [source.decode(index) for index in range(len(source))]


def digest_of_batches(folder, scale):
    """Of all that a network would be trained with, over some epochs."""
    config = config_of(folder, scale)
    digest = hashlib.sha256()
    source = make_source(config, GZ2)
    for batch in train_batches(source, np.arange(COUNT), config, 0):
        for name in sorted(batch):
            digest.update(np.ascontiguousarray(batch[name]))
    return digest.hexdigest()


@pytest.mark.parametrize("scale", [1, 2])
def test_a_run_may_move_between_the_forms(folders, scale):
    forms = ("folder", "zip", "jpeg", f"pixels{scale}")
    digests = {digest_of_batches(folders / form, scale) for form in forms}
    assert len(digests) == 1
    assert digest_of_batches(folders / "jpeg", 3 - scale) not in digests
    sources = [open_(folders / form, scale) for form in forms]
    first = sources[0]
    for source in sources:
        np.testing.assert_array_equal(source.ids, first.ids)
        np.testing.assert_array_equal(source.targets, first.targets)
        assert (source.ids.dtype, source.targets.dtype) == (np.int64, np.float32)
        assert source.fingerprint == first.fingerprint
        assert source.pixel_scale == 4 * scale
        assert source.num_unlabelled == 0
        assert len(source) == COUNT
        assert source.placement(0, None) is None
    manifest = read_manifest(folders / f"pixels{scale}")
    assert manifest.fingerprint == first.fingerprint


def test_shards_hold_the_jpegs_and_are_read_by_grains_own_source(folders):
    folder, prepared = open_(folders / "folder"), open_(folders / "jpeg")
    records = ArrayRecordDataSource([str(folders / "jpeg" / SHARD)])
    assert len(records) == COUNT
    for index in range(COUNT):
        assert prepared.read(index) == folder.read(index) == records[index]


def test_pixels_can_be_mapped_into_memory_by_anybody(folders):
    array = np.load(folders / "pixels2" / "pixels.npy", mmap_mode="r")
    assert array.shape == (COUNT, SIZE // 2, SIZE // 2, 3)
    assert array.dtype == np.uint8
    galaxies = np.load(folders / "pixels2" / "galaxies.npy", allow_pickle=False)
    source = open_prepared(folders / "pixels2", pixel_scale=4.0)
    np.testing.assert_array_equal(galaxies["votes"], source.targets)
    np.testing.assert_array_equal(array[galaxies["row"]], images_of(source))


def test_images_without_a_row_are_not_in_it(folders, tmp_path):
    download = shutil.copytree(folders / "folder", tmp_path / "download")
    labels = download / "training_solutions_rev1.csv"
    labels.write_text("".join(labels.read_text().splitlines(keepends=True)[:-2]))
    prepare(download, tmp_path / "set", num_workers=0)
    source = open_prepared(tmp_path / "set", GZ2)
    assert (len(source), source.num_unlabelled) == (COUNT - 2, 2)
    assert source.fingerprint == open_(download, pixel_scale=1.0).fingerprint


# Where it lies, and who reads it ---------------------------------------------------


@pytest.mark.parametrize("name", ["jpeg", "pixels2"])
def test_it_is_read_on_another_path_and_by_processes(copies, folders, name):
    expected = images_of(open_prepared(folders / name, pixel_scale=4.0))
    (copies / name).rename(copies / "moved")
    source = open_prepared(copies / "moved", pixel_scale=4.0)
    source.decode(0)  # its files are open now
    copy = pickle.loads(pickle.dumps(source))
    assert copy.fingerprint == source.fingerprint
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        many = list(pool.map(copy.decode, list(range(COUNT)) * 20))
    np.testing.assert_array_equal(many, expected * 20)
    with multiprocessing.get_context("spawn").Pool(2) as processes:
        images = processes.map(source.decode, list(range(COUNT)) * 4, chunksize=1)
    np.testing.assert_array_equal(images, expected * 4)


_inherited = []


def _read_inherited():
    source = _inherited.pop()
    return images_of(source), source._process == os.getpid()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*fork.*:RuntimeWarning")
@pytest.mark.parametrize("name", ["jpeg", "pixels2"])
def test_a_forked_child_reads_for_itself(folders, name):
    source = open_prepared(folders / name, pixel_scale=4.0)
    expected = images_of(source)
    fork = multiprocessing.get_context("fork")
    with fork.Pool(1, _inherited.append, (source,)) as processes:
        images, are_its_own = processes.apply(_read_inherited)
    np.testing.assert_array_equal(images, expected)
    assert are_its_own
    with pytest.raises(IndexError):
        source.decode(COUNT)


# What is damaged -------------------------------------------------------------------


def message(folder, **changes):
    with pytest.raises(UserError) as error:
        open_prepared(folder, GZ2, **{"pixel_scale": 4.0, **changes})
    assert str(folder) in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(("name", "file"), SETS)
def test_files_cut_or_gone_are_named_at_start_up(copies, name, file):
    path = copies / name / file
    size = path.stat().st_size
    os.truncate(path, size - 1)
    text = message(copies / name)
    assert f"length: 1 (file {file}: {size - 1:,} bytes for {size:,})" in text
    path.unlink()
    text = message(copies / name)
    assert f"files missing: 1 (file {file})\nWhat to do: copy the set again" in text


@pytest.mark.parametrize(("name", "file"), SETS)
def test_a_set_that_shrinks_or_goes_away_later(copies, name, file):
    sources = [open_prepared(copies / name, GZ2, 4.0) for _ in range(2)]
    os.truncate(copies / name / file, 1000)
    with pytest.raises(UserError, match="cannot be read"):
        sources[0].decode(COUNT - 1)
    (copies / name / file).unlink()
    with pytest.raises(UserError, match="No such file"):
        sources[1].decode(0)


def test_a_damaged_record_is_named_when_it_is_read(copies):
    path = copies / "jpeg" / SHARD
    data = path.read_bytes()
    jpeg = open_prepared(copies / "jpeg", GZ2, 4.0).read(3)
    at = data.index(jpeg) + len(jpeg) // 2
    path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    source = open_prepared(copies / "jpeg", GZ2, 4.0)
    with pytest.raises(UserError, match=rf"{SHARD}: the image of galaxy") as error:
        source.decode(3)
    assert "it mends what is damaged" in str(error.value)


@pytest.mark.parametrize("damage", ["byte", "gone", "other", "huge"])
def test_votes_are_checked_at_start_up(copies, damage):
    path = copies / "jpeg" / "galaxies.npy"
    expected = "checksum"
    if damage == "byte":
        path.write_bytes(path.read_bytes().replace(b"\x3f", b"\x3e", 1))
    elif damage == "gone":
        path.unlink()
        expected = "No such file"
    elif damage == "huge":
        os.truncate(path, 100 << 30)  # sparse: 100 GiB
        expected = "larger than"
    else:
        np.save(path, np.array([{}]), allow_pickle=True)
    text = message(copies / "jpeg")
    assert "galaxies.npy cannot be read" in text
    assert expected in text


def edit_manifest(folder, **changes):
    """As somebody does who knows about its checksum."""
    path = folder / "manifest.json"
    content = {**json.loads(path.read_text()), **changes}
    del content["sha256"]
    text = json.dumps(content, sort_keys=True).encode()
    content["sha256"] = hashlib.sha256(text).hexdigest()
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '"x"', "\x00\xff", '{"format": 2}', '{"format": "2"}', None],
)
def test_a_damaged_manifest_is_refused(copies, text):
    path = copies / "jpeg" / "manifest.json"
    changed = path.read_text().replace(f'"count": {COUNT}', '"count": 11')
    path.write_text(changed if text is None else text)
    assert "manifest.json cannot be read: " in (said := message(copies / "jpeg"))
    assert "it mends what is damaged" in said
    os.truncate(path, 100 << 30)
    assert "larger than" in message(copies / "jpeg")
    path.unlink()
    with pytest.raises(UserError, match=r"manifest\.json cannot be read: No such file"):
        open_(copies / "jpeg")
    (copies / "jpeg" / "progress.jsonl").touch()
    with pytest.raises(UserError, match="not finished\nWhat to do: give the command"):
        open_(copies / "jpeg")


@pytest.mark.parametrize(
    "changes", [{"count": 0}, {"count": 99}, {"kind": "zip"}, {"size_px": [7, 7]}]
)
def test_a_manifest_that_contradicts_itself_is_refused(copies, changes):
    edit_manifest(copies / "pixels2", **changes)
    assert "its contents contradict each other" in message(copies / "pixels2")


@pytest.mark.parametrize(
    "name", ["../../x", "/etc/passwd", "manifest.json", "images-0.jpg", 7, ""]
)
def test_a_manifest_names_files_of_its_own_folder_only(copies, name):
    shard = json.loads((copies / "jpeg" / "manifest.json").read_text())["shards"][0]
    edit_manifest(copies / "jpeg", shards=[[name, *shard[1:]]])
    assert "its contents contradict each other" in message(copies / "jpeg")


@pytest.mark.parametrize("made_as", [1, 3])
def test_another_format_is_refused_and_left_alone(copies, folders, made_as):
    edit_manifest(copies / "jpeg", format=made_as, more=[1])
    assert f"is of format {made_as}, not 2: prepare" in message(copies / "jpeg")
    with pytest.raises(UserError, match="in another folder, or install the version"):
        prepare(folders / "folder", copies / "jpeg", pixel_scale=4.0)


def test_a_download_with_a_manifest_of_something_else_is_a_download(folders, tmp_path):
    download = shutil.copytree(folders / "folder", tmp_path / "download")
    (download / "manifest.json").write_text("{}")
    assert len(open_(download)) == COUNT


# What people get wrong -------------------------------------------------------------


@pytest.mark.parametrize("name", ["jpeg", "pixels2"])
def test_other_scales_and_questions_are_refused(folders, name):
    text = message(folders / name, pixel_scale=1.0)
    assert "give --config.data.pixel_scale=4 (compare" in text
    with pytest.raises(UserError, match="decode_scale is 3; there are: 1, 2, 4, 8"):
        open_(folders / name, 3)
    other = Tree("other", (Question("a", ("x", "y")),))
    with pytest.raises(UserError, match=r"votes on the questions of 'gz2'.*'other'"):
        open_prepared(folders / name, other, 4.0)


@pytest.mark.parametrize("name", ["jpeg", "pixels2"])
def test_positions_that_are_not_there(folders, name):
    with pytest.raises(IndexError):
        open_prepared(folders / name, pixel_scale=4.0).decode(COUNT)


def test_pixel_scale_0_is_for_surveys_only(folders):
    for name in ("folder", "jpeg"):
        with pytest.raises(UserError, match=r"must be a positive number, not 0\.0"):
            open_(folders / name, pixel_scale=0.0)


def test_another_decode_scale_of_pixels_is_refused(folders):
    text = message(folders / "pixels2", decode_scale=1)
    assert "train with --config.data.decode_scale=2; for" in text
    assert "--decode_scale=1 or --kind=jpeg" in text


def test_evaluation_moves_to_it(folders):
    config = config_of(folders / "folder", 2)
    use_data("run", str(folders / "pixels2"), None, "")(config)
    assert len(make_source(config, GZ2)) == COUNT


# Detections ------------------------------------------------------------------------


def test_galaxies_are_found_in_it(folders, copies):
    options = {"pixel_scale": 4.0, "num_workers": 0}
    tables = [
        detect(folders / "folder", 5.0, output=copies / "folder.csv", **options),
        detect(copies / "jpeg", 5.0, **options),
        detect(copies / "pixels2", 5.0, **options),
    ]
    folder, jpeg, pixels = (table.read_text().splitlines() for table in tables)
    assert jpeg == folder
    assert "pixel_scale=8.0 frame=384 " in pixels[0]
    places = [
        np.array([row.split(",")[1:3] for row in rows[2:]], float)
        for rows in (folder, pixels)
    ]
    assert np.median(np.abs(places[0] - places[1])) < 4.0
    for name, scale in (("jpeg", 1), ("pixels2", 2)):
        source = open_(copies / name, scale, detections="detections-5.csv")
        assert source.threshold == 5.0
        assert source.placements.shape == (COUNT, 2, 3)


def test_detection_wants_the_sets_pixel_scale(copies):
    with pytest.raises(UserError, match="evaluate, report, robustness: --pixel_scale"):
        detect(copies / "pixels2", 5.0, pixel_scale=1.0, num_workers=0)
