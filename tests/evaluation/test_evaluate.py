"""Evaluation: equal to NumPy on the written predictions, whatever the batch."""

import csv
import json

import jax
import numpy as np
import pytest
from tiny import make_config

from gzjax.data.averaging import AVERAGING_SETS, num_placements
from gzjax.data.geometry import place
from gzjax.data.synthetic.folder import write_folder
from gzjax.data.synthetic.source import SyntheticSource
from gzjax.errors import UserError
from gzjax.evaluation.evaluate import evaluate, score_votes, train_and_evaluate
from gzjax.steps import mesh as sharding
from gzjax.training.checkpoint.checkpoints import Checkpoints
from gzjax.training.experiment import Experiment
from gzjax.training.open_run import open_run, read_run
from gzjax.trees import GZ2


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    train_and_evaluate(make_config(), folder)
    return folder


def read_predictions(path):
    with path.open() as file:
        header, *rows = csv.reader(file)
    assert tuple(header) == ("GalaxyID", *GZ2.columns)
    ids = np.array([int(row[0]) for row in rows])
    return ids, np.array([[float(x) for x in row[1:]] for row in rows])


def assert_close(a, b):
    (left, structure), (right, other) = map(jax.tree.flatten, (a, b))
    assert structure == other
    for x, y in zip(left, right, strict=True):
        assert x == (pytest.approx(y, rel=1e-4, abs=1e-6) if type(y) is float else y)


@pytest.mark.parametrize("averaging", [*sorted(AVERAGING_SETS), "half2"])
def test_scores_are_those_of_the_written_predictions(workdir, averaging):
    result = evaluate(workdir, averaging=averaging)
    ids, votes = read_predictions(workdir / f"predictions-valid-{averaging}.csv")
    source = SyntheticSource(44, size_px=106)
    train, valid = source.targets[:33], source.targets[33:]
    np.testing.assert_array_equal(ids, source.ids[33:])
    assert result["rmse"] == pytest.approx(
        np.sqrt(np.mean((votes - valid) ** 2)), rel=1e-6
    )
    mean = np.float64(train).mean(0)
    assert result["training_mean"]["rmse"] == pytest.approx(
        np.sqrt(np.mean((mean - valid) ** 2))
    )
    bar = np.sqrt(np.mean((votes - valid)[:, 5:7] ** 2))
    assert result["questions"]["bar"] == pytest.approx(bar, rel=1e-6)
    arms = np.sqrt(np.mean((votes - valid)[:, 36] ** 2))
    assert result["answers"]["arm_count.cannot_tell"] == pytest.approx(arms, rel=1e-5)
    again = score_votes(votes, valid, mean, GZ2)
    for name in ("conditional", "reliability", "classification"):
        assert_close(result[name], again[name])
    bars = valid[:, 4] >= 0.5  # where most were asked about a bar
    assert result["conditional"]["galaxies"]["bar"] == bars.sum()
    assert np.sum(result["classification"]["confusion"]) == 11
    assert result["rotation_robustness"] < 1e-5
    assert result["rotation_robustness_15deg"] > 1e-5  # exact on the group alone
    assert result["galaxies_15deg"] == 11
    assert result["maps"] == num_placements(averaging)
    written = json.loads((workdir / f"evaluation-valid-{averaging}.json").read_text())
    assert written == json.loads(json.dumps(result))


def test_the_printed_table_has_the_ratio_to_the_training_mean(workdir, capsys):
    result = evaluate(workdir)
    lines = capsys.readouterr().out.splitlines()
    (row,) = [line.split()[1:] for line in lines if line.startswith("bar ")]
    x, mean = (r["questions"]["bar"] for r in (result, result["training_mean"]))
    conditional = result["conditional"]
    kinds = (conditional["model"], conditional["training_mean"])
    numbers = [x, mean, x / mean, *(kind["questions"]["bar"] for kind in kinds)]
    assert row == [
        *(f"{n:.4f}" for n in numbers),
        f"{conditional['shares']['bar']:.1%}",
    ]


def test_predictions_do_not_depend_on_batch_or_devices(workdir):
    with Checkpoints(workdir / "checkpoints") as checkpoints:
        results = []
        for size, devices in ((4, 4), (64, 4), (7, 3), (1, 1)):
            config = make_config(eval_batch_size=size)
            mesh = sharding.make_mesh(jax.devices()[:devices])
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(
                    "gzjax.training.experiment.make_mesh", lambda mesh=mesh: mesh
                )
                experiment = Experiment(config, GZ2)
            state = checkpoints.restore(6, experiment.programs.abstract_state())
            indices = np.array([40, 3, 17, 0, 43, 8, 21, 5, 6])
            results.append(experiment.predict(state, 6, indices, AVERAGING_SETS["c4"]))
    for other in results[1:]:
        assert other.shape == (9, 4, 37)
        np.testing.assert_allclose(other, results[0], atol=1e-6)
    reverse = experiment.predict(state, 6, indices[::-1], AVERAGING_SETS["c4"])
    np.testing.assert_allclose(reverse[::-1], results[-1], atol=1e-6)


def test_averaging_is_the_mean_of_single_maps(workdir):
    with Checkpoints(workdir / "checkpoints") as checkpoints:
        experiment = Experiment(make_config(), GZ2)
        state = checkpoints.restore(6, experiment.programs.abstract_state())
    indices = experiment.splits["valid"]
    for name, placements in (
        ("d4", AVERAGING_SETS["d4"]),
        ("third3", place([0.0, 30.0, 60.0])),  # of p4m
    ):
        singles = [
            experiment.predict(state, 6, indices, m[None])[:, 0] for m in placements
        ]
        evaluate(workdir, averaging=name)
        _, votes = read_predictions(workdir / f"predictions-valid-{name}.csv")
        np.testing.assert_allclose(votes, np.mean(singles, axis=0), atol=1e-6)


@pytest.mark.slow  # quick ones: test_group_cnn, test_robustness
def test_negative_control_published_geometry_is_not_robust(tmp_path):
    config = make_config(
        model__exact=False, view__size_px=64, num_train_steps=6, head_warmup_steps=0
    )
    train_and_evaluate(config, tmp_path)
    assert evaluate(tmp_path)["rotation_robustness"] > 1e-3


def test_splits_checkpoints_and_other_data(workdir, tmp_path):
    before = (workdir / "evaluation-valid-none.json").read_text()
    assert evaluate(workdir, split="train")["galaxies"] == 33
    assert evaluate(workdir, split="all")["galaxies"] == 44
    with Checkpoints(workdir / "checkpoints") as checkpoints:
        best, steps = checkpoints.best_step(), checkpoints.steps
    assert evaluate(workdir, checkpoint="best")["step"] == best
    assert evaluate(workdir, checkpoint=str(steps[0]))["step"] == steps[0]
    folder = tmp_path / "other"
    source = SyntheticSource(12, seed=3, size_px=212)
    write_folder(source, folder)
    other = evaluate(workdir, data=folder, pixel_scale=2.0)
    assert other["galaxies"] == 3
    assert other["fingerprint"] != json.loads(before)["fingerprint"]
    # None of these replaces the scores of the run's newest checkpoint on its own data.
    assert (workdir / "evaluation-valid-none.json").read_text() == before


def test_evaluating_leaves_a_running_training_alone(workdir):
    under_way = workdir / "checkpoints" / "7.orbax-checkpoint-tmp"
    under_way.mkdir()
    evaluate(workdir)
    assert under_way.is_dir()
    under_way.rmdir()


def test_forgotten_pixel_scale_is_noted_with_the_number(workdir, tmp_path, capsys):
    write_folder(SyntheticSource(12, seed=3, size_px=212), tmp_path / "half")
    evaluate(workdir, data=tmp_path / "half", pixel_scale=1.0)
    assert "Copies of whole frames need pixel_scale=2" in capsys.readouterr().err
    evaluate(workdir, data=tmp_path / "half", pixel_scale=2.0)
    assert "note: the first image" not in capsys.readouterr().err


def test_dead_questions_are_said(workdir, capsys):
    trained = open_run(read_run(workdir))
    odd = GZ2.slices[[q.name for q in GZ2.questions].index("odd")]
    params = jax.tree.map(np.array, trained.state.params)
    params["outputs"]["bias"][odd] = -99
    state = trained.state.replace(params=params)
    trained.experiment.valid_rmse(state, trained.step)
    text = " ".join(capsys.readouterr().err.split())
    assert "step 6 answers odd, odd_feature with 0 for every galaxy" in text
    trained.experiment.valid_rmse(trained.state, trained.step)
    assert "for every galaxy" not in capsys.readouterr().err


def test_r15_is_of_a_spread_sample(workdir, monkeypatch, capsys):
    every = evaluate(workdir, split="all")
    monkeypatch.setattr("gzjax.evaluation.evaluate.MAX_15DEG", 4)
    some = evaluate(workdir, split="all")
    assert (every["galaxies_15deg"], some["galaxies_15deg"]) == (44, 4)
    assert some["rotation_robustness"] == every["rotation_robustness"]
    ratio = some["rotation_robustness_15deg"] / every["rotation_robustness_15deg"]
    assert 0.5 < ratio < 2
    assert ratio != 1
    assert "(4 galaxies)" in capsys.readouterr().out


def test_a_folder_that_cannot_be_written_is_said_first(workdir, monkeypatch):
    monkeypatch.setattr("os.access", lambda *_: False)
    monkeypatch.setattr("gzjax.evaluation.evaluate.open_run", pytest.fail)
    with pytest.raises(UserError, match=r"cannot be written: .*\. Make it one, or"):
        evaluate(workdir)
