"""The winner's system end to end, shrunk: train, resume, detect, evaluate, blend."""

import jax
import numpy as np
import pytest
from tiny import make_view_config

from gzjax.data import make_source
from gzjax.data.averaging import AVERAGING_SETS
from gzjax.data.detections.detect import detect
from gzjax.data.pipeline import train_batches
from gzjax.data.synthetic.folder import write_folder
from gzjax.data.synthetic.source import SyntheticSource
from gzjax.data.vote_files import read_votes
from gzjax.errors import UserError
from gzjax.evaluation.evaluate import evaluate, train_and_evaluate
from gzjax.steps import mesh as sharding
from gzjax.training import experiment as experiment_module
from gzjax.training.checkpoint.saved import SavedCheckpoints
from gzjax.training.experiment import Experiment
from gzjax.training.stop_signals import StopSignals
from gzjax.trees import GZ2

# Bites at every second step, so that a run resumed at an odd one must count right.
MAX_NORM = {
    "max_norm__limits": (0.2, 0.15),
    "max_norm__every_steps": 2,
    "num_train_steps": 4,
}


def check_same(a, b, atol=0.0):
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_allclose(x, y, rtol=0, atol=atol)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("finished")
    config = make_view_config("max_norm", **MAX_NORM)
    return workdir, train_and_evaluate(config, workdir)


@pytest.mark.slow  # a quick one: test_train
def test_stopped_and_resumed_run_ends_bit_for_bit_the_same(
    finished, tmp_path, monkeypatch
):
    config = make_view_config("max_norm", **MAX_NORM)
    with monkeypatch.context() as patch:
        patch.setattr(StopSignals, "requested", lambda self, done: done == 3)
        with pytest.raises(SystemExit):
            train_and_evaluate(config, tmp_path)
    check_same(train_and_evaluate(config, tmp_path), finished[1])


def test_norms_are_within_their_limits_at_the_end(finished):
    params = finished[1].params
    for layer, limit in (("hidden1", 0.2), ("hidden2", 0.15)):
        rms = np.sqrt(np.mean(np.square(params[layer]["kernel"]), axis=0))
        assert rms.max() <= limit * 1.00001
        assert rms.max() > 0.9 * limit  # it does bite


@pytest.mark.slow  # a quick one: test_distributed
def test_devices_do_not_change_the_result(tmp_path, monkeypatch):
    config = make_view_config(num_train_steps=1)
    four = train_and_evaluate(config, tmp_path / "4")
    one_device = sharding.make_mesh(jax.devices()[:1])
    monkeypatch.setattr("gzjax.training.experiment.make_mesh", lambda: one_device)
    one = train_and_evaluate(config, tmp_path / "1")
    check_same(one.params, four.params, atol=1e-6)


def test_sixty_placements_are_averaged_after_the_head(finished, monkeypatch):
    workdir, _ = finished
    decoded, passes = [], []
    decode = SyntheticSource.decode
    count = lambda self, i: decoded.append(i) or decode(self, i)  # noqa: E731
    monkeypatch.setattr(SyntheticSource, "decode", count)
    program = experiment_module.run_batches

    def counted(*args, **kwargs):
        passes.append(len(args[4].warp))
        return program(*args, **kwargs)

    monkeypatch.setattr(experiment_module, "run_batches", counted)
    result = evaluate(workdir, averaging="dieleman60")
    assert result["maps"] == 60
    # One forward pass for each, and three more for R; those for R15.
    assert passes == [60 + 3, 20]
    # An image when the data are opened, then each of 11, filled up to 2 batches.
    assert len(decoded) == 1 + 2 * 16
    checkpoints = SavedCheckpoints(workdir / "checkpoints")
    experiment = Experiment(make_view_config("max_norm", **MAX_NORM), GZ2)
    state = checkpoints.restore(4, experiment.programs.abstract_state())
    placements = AVERAGING_SETS["dieleman60"]
    valid = experiment.splits["valid"]
    single = [experiment.predict(state, 4, valid, m[None]) for m in placements]
    single = np.concatenate(single, axis=1)  # 60 evaluations of one placement
    assert single.std(axis=1).max() > 1e-4  # else there is nothing to average
    written = read_votes(workdir / "predictions-valid-dieleman60.csv")
    np.testing.assert_allclose(written.votes, single.mean(axis=1), atol=1e-6)
    truth = read_votes(workdir / "targets-valid-dieleman60.csv")
    assert result["rmse"] == pytest.approx(
        np.sqrt(np.mean((written.votes - truth.votes) ** 2)), rel=1e-6
    )


@pytest.fixture
def galaxies(tmp_path):
    folder = tmp_path / "galaxies"
    write_folder(SyntheticSource(44, size_px=106), folder)
    return folder


def centred(folder, variant="centred10", **changes):
    here = {"data__dir": str(folder), "data__pixel_scale": 4.0, **changes}
    return make_view_config(variant, data__kind="challenge", **here)


def test_centred_run_refuses_to_go_without_its_table(galaxies, tmp_path):
    with pytest.raises(UserError) as error:
        train_and_evaluate(centred(galaxies), tmp_path / "run")
    command = f"python -m gzjax.main detect --data={galaxies} --threshold=10"
    assert f"{command} --pixel_scale=4" in str(error.value)
    assert not (tmp_path / "run").exists()


def test_a_run_on_galaxies_as_they_lie_takes_no_table(finished):
    with pytest.raises(UserError, match="leave out --detections"):
        evaluate(finished[0], detections="table.csv")


@pytest.mark.slow  # the main of it is in test_predict_images, too
def test_centred_run_sees_centred_galaxies(galaxies, finished, tmp_path):
    detect(galaxies, 10.0, 4.0, num_workers=0)
    config = centred(galaxies, num_train_steps=1, eval_every_steps=1)
    source = make_source(config, GZ2)
    plain = make_source(centred(galaxies, "rerun"), GZ2)
    assert source.placements.shape == (44, 2, 3)
    assert np.ptp(source.placements[:, 0, 0]) > 0  # galaxies differ in size
    assert source.fingerprint != plain.fingerprint
    plain_batch, batch = (
        next(iter(train_batches(s, np.arange(44), c, 0)))
        for s, c in ((plain, config), (source, config))
    )
    np.testing.assert_array_equal(batch["targets"], plain_batch["targets"])
    assert not np.array_equal(batch["images"], plain_batch["images"])
    config.data.num_workers = 1  # the table travels to loader processes
    again = next(iter(train_batches(source, np.arange(44), config, 0)))
    np.testing.assert_array_equal(again["images"], batch["images"])
    config.data.num_workers = 0
    state = train_and_evaluate(config, tmp_path / "run")
    assert evaluate(tmp_path / "run")["step"] == int(state.step) == 1
    # Galaxies of another folder have a table of their own.
    other = tmp_path / "other"
    write_folder(SyntheticSource(9, seed=4, size_px=106), other)
    with pytest.raises(UserError, match=f"detect --data={other}"):
        evaluate(tmp_path / "run", data=other, split="all")
    options = {"output": tmp_path / "table.csv", "num_workers": 0}
    table = detect(other, 10.0, pixel_scale=4.0, **options)
    options = {"split": "all", "detections": str(table)}
    result = evaluate(tmp_path / "run", data=other, **options)
    assert result["galaxies"] == 9
