"""Synthetic galaxies: repeatable, exactly consistent, and visible in the picture."""

import csv
import dataclasses
import os
import pickle
import subprocess
import sys
from concurrent import futures

import cv2
import numpy as np
import pytest

from gzjax.data.synthetic.folder import write_folder
from gzjax.data.synthetic.painter import render
from gzjax.data.synthetic.source import SyntheticSource, draw_parameters
from gzjax.data.synthetic.votes import vote_fractions
from gzjax.errors import UserError
from gzjax.trees import GZ2, Question, Tree


def decode(jpeg):
    bgr = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_UNCHANGED)
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)


PLAIN = {"star": 0.0, "disk": 0.95, "radius": 80.0, "axis_ratio": 0.9, "bulge": 0.2}
PLAIN |= {"boxy": 0.0, "bar": 0.0, "arms": 0, "arm_contrast": 0.9, "pitch": 20.0}
PLAIN |= {"oddity": "", "odd_strength": 0.0, "brightness": 1.2, "warmth": 0.4}
PLAIN |= {"noise": 0.02, "seeing": 1.5}


def draw(**changes):
    """A bright, sharp, face-on disk with nothing on it but ``changes``."""
    galaxy = draw_parameters(np.random.default_rng(0))
    return dataclasses.replace(galaxy, **(PLAIN | changes))


def votes(galaxy):
    return dict(zip(GZ2.answer_names, vote_fractions(galaxy, GZ2), strict=True))


def paint(galaxy, size_px=212):
    """Mean of the channels less the sky, float32 [size_px size_px]."""
    rgb = render(galaxy, np.random.default_rng(1), size_px)
    return np.maximum(rgb.mean(axis=2) - 255 * galaxy.background - 8, 0)


@pytest.fixture(scope="module")
def many():
    return SyntheticSource(2000, seed=3, size_px=106)


def test_a_galaxy_depends_on_seed_and_position_only():
    few, more = SyntheticSource(4, 7, 106), SyntheticSource(9, 7, 106)
    backwards = [more.read(i) for i in reversed(range(4))][::-1]
    assert [few.read(i) for i in range(4)] == backwards
    np.testing.assert_array_equal(few.targets, more.targets[:4])
    np.testing.assert_array_equal(few.ids, more.ids[:4])
    assert len({*backwards}) == 4


def test_seeds_differ():
    a, b = SyntheticSource(4, 7, 106), SyntheticSource(4, 8, 106)
    assert all(a.read(i) != b.read(i) for i in range(4))
    assert np.abs(a.targets - b.targets).max(axis=1).min() > 0.01


def test_fingerprint_tells_every_field_and_not_what_was_read():
    fields = ({}, {"num_galaxies": 6}, {"seed": 1}, {"size_px": 212}, {"quality": 80})
    kinds = [SyntheticSource(**{"num_galaxies": 5, **field}) for field in fields]
    assert len({s.fingerprint for s in kinds}) == len(kinds)
    again = SyntheticSource(5)
    again.read(0)
    assert kinds[0].fingerprint == again.fingerprint
    assert len(bytes.fromhex(kinds[0].fingerprint)) == 32


def test_votes_obey_the_tree(many):
    y = many.targets.astype(np.float64)
    assert many.targets.dtype == np.float32
    assert y.shape == (2000, 37)
    assert y.min() >= 0
    assert y.max() <= 1
    for columns, parents in zip(GZ2.slices, GZ2.parents, strict=True):
        asked = y[:, list(parents)].sum(axis=1) if parents else 1.0
        assert np.abs(y[:, columns].sum(axis=1) - asked).max() < 1e-6


def test_every_answer_is_somebodys_favourite(many):
    for q, columns in zip(GZ2.questions, GZ2.slices, strict=True):
        y = many.targets[:, columns]
        asked = y.sum(axis=1, keepdims=True)
        best = (y / np.maximum(asked, 1e-9)).argmax(axis=1)[asked[:, 0] > 0.2]
        assert np.unique(best).size == len(q.answers), q.name


@pytest.mark.parametrize(
    ("answer", "low", "high"),
    [
        ("smooth_or_featured.smooth", 0.38, 0.52),
        ("smooth_or_featured.star_or_artifact", 0.01, 0.05),
        ("edge_on.yes", 0.08, 0.16),
        ("spiral_arms.yes", 0.18, 0.3),
        ("bar.yes", 0.04, 0.14),
        ("odd.yes", 0.14, 0.26),
    ],
)
def test_population_is_like_galaxy_zoo(many, answer, low, high):
    mean = many.targets[:, GZ2.answer_names.index(answer)].mean()
    assert low < mean < high


def test_votes_are_graded(many):
    smooth = many.targets[:, 0]
    assert 0.1 < ((smooth > 0.2) & (smooth < 0.7)).mean() < 0.7


@pytest.mark.parametrize("size_px", [212, 424])
def test_pictures_are_rgb_of_the_stated_size(size_px):
    source = SyntheticSource(1, size_px=size_px)
    image = decode(source.read(0))
    assert image.shape == (size_px, size_px, 3)
    assert image.dtype == np.uint8
    assert source.pixel_scale == 424 / size_px


def test_channels_are_in_the_order_red_green_blue():
    source = SyntheticSource(60, seed=2, size_px=106)
    centres = [decode(source.read(i))[43:63, 43:63].mean((0, 1)) for i in range(60)]
    redness = [red - blue for red, _, blue in centres]
    assert np.corrcoef(redness, source.targets[:, 0])[0, 1] > 0.3


def test_both_sizes_show_the_same_galaxy():
    full, half = SyntheticSource(12, 5), SyntheticSource(12, 5, size_px=212)
    np.testing.assert_array_equal(full.targets, half.targets)
    for i in range(12):
        small = cv2.resize(decode(full.read(i)), (212, 212), None, 0, 0, cv2.INTER_AREA)
        pair = [np.float32(im).mean(axis=2) for im in (small, decode(half.read(i)))]
        a, b = (cv2.GaussianBlur(im, (0, 0), 2) for im in pair)
        assert np.abs(a - b).mean() < 2
        assert np.abs(a - b).max() < 16
        # Half a stored pixel of offset would leave a dipole far above the noise.
        moved = cv2.warpAffine(b, np.float32([[1, 0, 0.5], [0, 1, 0]]), (212, 212))
        assert np.abs(a - b)[9:-9, 9:-9].std() < np.abs(a - moved)[9:-9, 9:-9].std()


@pytest.mark.parametrize(
    ("changes", "answer"),
    [
        ({"star": 1.0}, "smooth_or_featured.star_or_artifact"),
        ({"disk": 0.0}, "smooth_or_featured.smooth"),
        ({"axis_ratio": 0.15}, "edge_on.yes"),
        ({"bar": 1.0}, "bar.yes"),
        ({"arms": 2}, "spiral_arms.yes"),
        ({"arms": 2, "pitch": 9.0}, "winding.tight"),
        ({"arms": 2, "pitch": 38.0}, "winding.loose"),
        ({"arms": 4}, "arm_count.4"),
        ({"arms": 6}, "arm_count.more_than_4"),
        ({"arms": 1, "bulge": 0.9}, "bulge.dominant"),
        ({"arms": 1, "bulge": 0.0}, "bulge.none"),
        ({"axis_ratio": 0.15, "bulge": 0.8}, "edge_on_bulge.rounded"),
        ({"axis_ratio": 0.15, "bulge": 0.8, "boxy": 1.0}, "edge_on_bulge.boxy"),
        ({"axis_ratio": 0.15, "bulge": 0.0}, "edge_on_bulge.none"),
        ({"disk": 0.0, "axis_ratio": 0.3}, "roundness.cigar"),
        *(
            ({"oddity": name, "odd_strength": 1.0}, f"odd_feature.{name}")
            for name in GZ2.questions[7].answers
        ),
    ],
)
def test_a_feature_is_voted_for_and_changes_the_picture(changes, answer):
    q = next(q for q in GZ2.questions if q.name == answer.split(".")[0])
    with_it, without = votes(draw(**changes)), votes(draw())
    assert answer == max((f"{q.name}.{a}" for a in q.answers), key=with_it.get)
    assert with_it[answer] > without[answer] + 0.05
    galaxy = paint(draw(**changes))
    assert np.abs(galaxy - paint(draw())).mean() > 0.02 * galaxy.mean()


def test_as_many_arms_are_painted_as_are_voted_for():
    for arms in (1, 2, 3, 4):
        galaxy = draw(arms=arms, axis_ratio=1.0, bulge=0.1, pitch=30.0)
        circle = cv2.warpPolar(
            paint(galaxy, 424), (120, 360), (211.5, 211.5), 120, cv2.WARP_POLAR_LINEAR
        )[:, 48:54].mean(axis=1)
        spectrum = np.abs(np.fft.rfft(circle))[1:8]
        assert spectrum.argmax() + 1 == arms


def test_edge_on_disks_are_elongated():
    def elongation(axis_ratio):
        light = paint(draw(axis_ratio=axis_ratio))
        _, parts = cv2.connectedComponents(np.uint8(light > 5))
        m = cv2.moments(np.float32(light * (parts == parts[106, 106])))
        moments = [[m["mu20"], m["mu11"]], [m["mu11"], m["mu02"]]]
        low, high = np.linalg.eigvalsh(moments)
        return np.sqrt(high / low)

    assert elongation(0.95) < 1.3
    assert elongation(0.5) > 1.4
    assert elongation(0.15) > 2.5


def test_angle_and_mirror_image_do_not_change_the_votes():
    galaxy = draw(arms=2, bar=0.7)
    turned = dataclasses.replace(galaxy, angle=galaxy.angle + 1, sense=-galaxy.sense)
    np.testing.assert_array_equal(
        vote_fractions(galaxy, GZ2), vote_fractions(turned, GZ2)
    )
    assert np.abs(paint(galaxy) - paint(turned)).max() > 20


def test_mirror_image_is_one():
    galaxy = draw(arms=2, bar=0.7, angle=0.0, sense=1)
    mirrored = dataclasses.replace(galaxy, sense=-1)
    a, b = (paint(g)[70:-70, 70:-70] for g in (galaxy, mirrored))
    assert np.abs(a - b[::-1]).mean() < 0.2 * np.abs(a - b).mean()


def test_noise_and_blur_hide_features():
    arms = "spiral_arms.yes"
    clear, poor = draw(arms=3), draw(arms=3, noise=0.1, seeing=5.0, brightness=0.4)
    assert votes(poor)[arms] < 0.6 * votes(clear)[arms]


def test_other_trees_of_the_same_questions():
    bar = dataclasses.replace(GZ2.questions[2], asked_after=())
    y = vote_fractions(draw(bar=1.0), Tree("bars", (bar,)))
    assert y.shape == (2,)
    assert y[0] > 0.9
    with pytest.raises(UserError, match="colour"):
        vote_fractions(draw(), Tree("t", (Question("colour", ("red", "blue")),)))


def test_pickles_small_and_equal():
    source = SyntheticSource(5, seed=2, size_px=106)
    first = source.read(1)
    blob = pickle.dumps(source)
    assert len(blob) < 200
    copy = pickle.loads(blob)
    assert copy == source
    assert hash(copy) == hash(source)
    assert copy.read(1) == first


def test_threads_read_the_same_bytes_and_the_second_read_is_from_memory(monkeypatch):
    alone, shared = (SyntheticSource(8, size_px=106) for _ in range(2))
    with futures.ThreadPoolExecutor(4) as pool:
        read = list(pool.map(shared.read, [*range(8), *range(8)]))
    assert read == [alone.read(i) for i in range(8)] * 2
    monkeypatch.setattr("gzjax.data.synthetic.source.render", None)
    assert shared.read(0) == read[0]
    with pytest.raises(TypeError):
        SyntheticSource(8, size_px=106).read(0)


@pytest.mark.parametrize("index", [-1, 3])
def test_positions_outside_are_refused(index):
    with pytest.raises(IndexError, match="of 3"):
        SyntheticSource(3).read(index)


@pytest.mark.parametrize(
    "field", [{"num_galaxies": 0}, {"seed": -1}, {"size_px": 8}, {"quality": 101}]
)
def test_fields_out_of_range_are_named(field):
    with pytest.raises(UserError, match=next(iter(field))):
        SyntheticSource(**({"num_galaxies": 3} | field))


def test_written_folder_is_the_source(tmp_path):
    source, calls = SyntheticSource(7, size_px=106), []
    write_folder(source, tmp_path / "a", progress=lambda *c: calls.append(c))
    with open(tmp_path / "a" / "training_solutions_rev1.csv", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["GalaxyID", *GZ2.columns]
    assert [int(row[0]) for row in rows] == source.ids.tolist()
    assert (np.diff(source.ids) > 0).all()
    np.testing.assert_array_equal(np.float32([r[1:] for r in rows]), source.targets)
    images = tmp_path / "a" / "images_training_rev1"
    assert sorted(os.listdir(images)) == [f"{i}.jpg" for i in source.ids]
    for i, galaxy_id in enumerate(source.ids):
        assert (images / f"{galaxy_id}.jpg").read_bytes() == source.read(i)
    assert calls == [(i, 7) for i in range(1, 8)]


def test_interrupted_write_has_no_labels_and_is_taken_up(tmp_path):
    source = SyntheticSource(5, size_px=106)
    images = tmp_path / "images_training_rev1"

    def stop(done, total):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_folder(source, tmp_path, progress=stop)
    assert not list(tmp_path.glob("*.csv"))
    kept = images / f"{source.ids[0]}.jpg"
    before = kept.stat().st_mtime_ns
    (images / f"{source.ids[1]}.jpg").unlink()
    write_folder(source, tmp_path)
    assert kept.stat().st_mtime_ns == before
    assert (images / f"{source.ids[1]}.jpg").read_bytes() == source.read(1)
    assert (tmp_path / "training_solutions_rev1.csv").stat().st_size > 5 * 37


def test_folders_of_other_data_and_files_in_the_way_are_refused(tmp_path):
    source, other = (SyntheticSource(2, seed, 106) for seed in (0, 1))
    folder, labels = tmp_path / "a", "training_solutions_rev1.csv"
    write_folder(source, folder)
    with pytest.raises(UserError, match=labels):
        write_folder(source, folder)
    (folder / labels).unlink()
    with pytest.raises(UserError, match="images_training_rev1 of other data"):
        write_folder(other, folder)
    (folder / "synthetic.txt").unlink()
    with pytest.raises(UserError, match="images_training_rev1 of other data"):
        write_folder(source, folder)
    zipped = tmp_path / "images_training_rev1.zip"
    zipped.write_bytes(b"")
    with pytest.raises(UserError, match=r"images_training_rev1\.zip of other data"):
        write_folder(source, tmp_path)
    with pytest.raises(UserError, match=r"cannot make the folder .*rev1\.zip"):
        write_folder(source, zipped)
    assert set(tmp_path.iterdir()) == {folder, zipped}


def test_jax_is_not_imported():
    code = "import sys, gzjax.data.synthetic.source; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
