"""Batches as a function of (seed, position), whatever loads them; nothing dropped."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from gzjax.configs import base
from gzjax.data.augment import random_placements
from gzjax.data.averaging import AVERAGING_SETS
from gzjax.data.geometry import compose, pixel_matrix, place, view_matrix, warp
from gzjax.data.pipeline import eval_batches, train_batches
from gzjax.data.synthetic.source import SyntheticSource
from gzjax.errors import UserError
from gzjax.ops.groups import act

SOURCE = SyntheticSource(23, seed=1, size_px=106)
ALL = np.arange(23)


def make_config(**changes):
    config = base.get_config()
    config.view.size_px, config.batch_size, config.num_train_steps = 32, 6, 9
    config.view.scale = 8.0
    config.update_from_flattened_dict(changes)
    return config


def stream(config, start=0, process=0, processes=1, indices=ALL):
    batches = list(train_batches(SOURCE, indices, config, start, process, processes))
    return {k: np.concatenate([b[k] for b in batches]) for k in batches[0]}


def check_equal(a, b):
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name])


@pytest.fixture(scope="module")
def reference():
    return stream(make_config())


@pytest.mark.parametrize(("batch_size", "steps"), [(2, 27), (18, 3)])
def test_stream_does_not_depend_on_the_batch_size(reference, batch_size, steps):
    changes = {"batch_size": batch_size, "num_train_steps": steps}
    check_equal(stream(make_config(**changes)), reference)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("start", [0, 4])
def test_stream_does_not_depend_on_workers_and_resumes_anywhere(
    reference, workers, start
):
    resumed = stream(make_config(**{"data.num_workers": workers}), start)
    check_equal(resumed, {k: v[6 * start :] for k, v in reference.items()})


def test_processes_share_the_rows_of_every_batch(reference):
    halves = [stream(make_config(), process=p, processes=2) for p in (0, 1)]
    for name, whole in reference.items():
        parts = [h[name].reshape(9, 3, *whole.shape[1:]) for h in halves]
        joined = np.concatenate(parts, axis=1).reshape(whole.shape)
        np.testing.assert_array_equal(joined, whole)


def test_every_epoch_shows_every_galaxy_once_in_a_new_order_and_place():
    config = make_config(batch_size=23, num_train_steps=2)
    first, second = np.split(stream(config)["targets"], 2)
    assert not np.array_equal(first, second)
    for epoch in (first, second):
        assert sorted(map(tuple, epoch)) == sorted(map(tuple, SOURCE.targets))
    images = stream(make_config(batch_size=1, num_train_steps=3), indices=np.array([5]))
    assert len(np.unique(images["images"].reshape(3, -1), axis=0)) == 3


@pytest.mark.parametrize("angles", [(0.0,), (0.0, 45.0)])
def test_twice_the_same_galaxy_is_turned_anew_and_nothing_else(reference, angles):
    changes = {"loss_consistency": 1.0, "batch_size": 12, "view.angles_deg": angles}
    twice = stream(make_config(**changes))
    v = len(angles)
    assert twice["images"].shape == (54, 2 * v, 32, 32, 3)
    for name in ("targets", "colour"):
        np.testing.assert_array_equal(twice[name], reference[name])
    np.testing.assert_array_equal(twice["images"][:, :1], reference["images"])
    resumed = stream(make_config(**changes), 4, 1, 2)  # the second process
    rows = twice["images"].reshape(9, 6, *twice["images"].shape[1:])[4:, 3:]
    np.testing.assert_array_equal(resumed["images"], rows.reshape(-1, *rows.shape[2:]))
    once, anew = (
        random_placements(make_config().augment, 0, np.arange(54), again)
        for again in (False, True)
    )
    np.testing.assert_array_equal(anew[..., 2], once[..., 2])
    sizes = [np.linalg.det(x[..., :2]) for x in (anew, once)]
    np.testing.assert_allclose(*np.abs(sizes))
    assert 10 < np.sum(sizes[0] * sizes[1] < 0) < 44  # mirrored now, or no more
    cos = np.einsum("nij,nij->n", anew[..., :2], once[..., :2])
    assert np.ptp(cos / np.abs(sizes[0])) > 1.5


def test_another_seed_gives_another_stream(reference):
    other = stream(make_config(seed=1))
    assert not np.array_equal(other["targets"], reference["targets"])
    assert not np.array_equal(other["images"], reference["images"])


def test_targets_go_with_their_images():
    config = make_config(batch_size=23, num_train_steps=1)
    for key in config.augment:
        config.augment[key] = 1.0 if key == "zoom" else 0.0
    shuffled = stream(config)
    (plain,) = eval_batches(SOURCE, ALL, AVERAGING_SETS["none"], 23, config)
    for image, target in zip(shuffled["images"], shuffled["targets"], strict=True):
        (i,) = np.flatnonzero((plain["targets"] == target).all(1))
        np.testing.assert_array_equal(image, plain["images"][i])


@pytest.mark.parametrize("batch_size", [1, 7, 64])
@pytest.mark.parametrize("processes", [1, 2])
def test_evaluation_sees_each_galaxy_once_in_order(batch_size, processes):
    size = batch_size * processes
    config = make_config()
    indices, placements = np.array([3, 4, 9, 22, 0, 7, 8, 1, 2]), AVERAGING_SETS["none"]
    shares = [
        list(eval_batches(SOURCE, indices, placements, size, config, p, processes))
        for p in range(processes)
    ]
    rows = np.concatenate(
        [batch["targets"] for batches in zip(*shares, strict=True) for batch in batches]
    )
    assert len(rows) == -(-len(indices) // size) * size
    np.testing.assert_array_equal(rows[: len(indices)], SOURCE.targets[indices])


def test_maps_of_d4_are_the_eight_elements():
    (batch,) = eval_batches(SOURCE, ALL, AVERAGING_SETS["d4"], 23, make_config())
    images = batch["images"]
    for element in range(8):
        np.testing.assert_array_equal(images[:, element], act(images[:, 0], element))
    np.testing.assert_allclose(
        batch["colour"], np.broadcast_to(np.eye(3, 4), (23, 3, 4)), atol=1e-7
    )


def two_views(**changes):
    """The winner's views and augmentation, small."""
    view = {"view.size_px": 23, "view.scale": 9.0, "view.angles_deg": (0.0, 45.0)}
    augment = {"augment.zoom": 1.3, "augment.shift_px": 4.0}
    return make_config(**view, **augment, **changes)


def test_views_of_a_batch_come_from_one_draw():
    config = two_views(batch_size=23, num_train_steps=1)
    (batch,) = train_batches(SOURCE, ALL, config, 0)
    assert batch["images"].shape == (23, 2, 23, 23, 3)
    position = np.arange(23)
    drawn = random_placements(config.augment, config.seed, position)
    order = [np.flatnonzero((SOURCE.targets == t).all(1))[0] for t in batch["targets"]]
    for i, placement, views in zip(order, drawn, batch["images"], strict=True):
        image = SOURCE.decode(i)
        for view, angle in zip(views, (0.0, 45.0), strict=True):
            composed = compose(placement, place(angle))
            matrix = pixel_matrix(view_matrix(composed, 23, 9.0), 4.0, (106, 106))
            np.testing.assert_array_equal(view, warp(image, matrix[None], 23)[0])


def test_frames_are_applied_nearest_to_the_image():
    class Framed:
        ids, targets, pixel_scale = SOURCE.ids, SOURCE.targets, SOURCE.pixel_scale
        decode = SOURCE.decode

        @staticmethod
        def placement(index, image):
            return place(zoom=1.25, shift_px=(8.0, -4.0))

    config, warps = two_views(), AVERAGING_SETS["dieleman60"][[7, 20]]
    (framed,) = eval_batches(Framed, ALL, warps, 23, config)
    moved = compose(Framed.placement(0, None), warps)
    (expected,) = eval_batches(SOURCE, ALL, moved, 23, config)
    np.testing.assert_array_equal(framed["images"], expected["images"])
    (plain,) = eval_batches(SOURCE, ALL, warps, 23, config)
    assert not np.array_equal(framed["images"], plain["images"])


def test_killed_worker_is_one_clear_message():
    config = make_config(**{"data.num_workers": 1, "num_train_steps": 1000})
    batches = train_batches(SOURCE, ALL, config, 0)
    next(batches)
    (worker,) = (p for p in children(os.getpid()) if "spawn_main" in command_line(p))
    os.kill(worker, signal.SIGKILL)
    with pytest.raises(UserError, match="a loader process died"):
        list(batches)


ORPHANS = """
import sys, time
import numpy as np
from gzjax.configs import base
from gzjax.data.pipeline import train_batches
from gzjax.data.synthetic.source import SyntheticSource
if __name__ == "__main__":
    config = base.get_config()
    config.view.size_px, config.batch_size, config.data.num_workers = 32, 4, 2
    source = SyntheticSource(23, seed=1, size_px=106)
    batches = train_batches(source, np.arange(23), config, 0)
    next(batches), next(batches)
    print("ready", flush=True)
    time.sleep(60)
"""


def children(pid):
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat") as stat:
                    if int(stat.read().rsplit(")", 1)[1].split()[1]) == pid:
                        found.append(int(entry))
            except OSError:
                continue
    return found


def command_line(pid):
    with open(f"/proc/{pid}/cmdline") as file:
        return file.read()


def test_workers_die_with_a_killed_trainer(tmp_path):
    script = tmp_path / "trainer.py"
    script.write_text(ORPHANS)
    trainer = subprocess.Popen(
        [sys.executable, script], stdout=subprocess.PIPE, text=True
    )
    assert trainer.stdout.readline().strip() == "ready"
    workers = children(trainer.pid)
    assert len(workers) >= 2
    trainer.send_signal(signal.SIGKILL)
    trainer.wait()
    trainer.stdout.close()
    deadline = time.monotonic() + 15
    alive = workers
    while alive and time.monotonic() < deadline:
        alive = [w for w in alive if os.path.exists(f"/proc/{w}")]
        time.sleep(0.2)
    assert not alive
