"""The rotation-robustness study: the numbers of hand-made predictors, and of runs."""

import json
import types

import numpy as np
import pytest
from tiny import make_config, make_view_config

from gzjax.data.geometry import place
from gzjax.data.vote_files import read_votes
from gzjax.errors import UserError
from gzjax.evaluation.evaluate import evaluate
from gzjax.evaluation.robustness import _not_equal, robustness
from gzjax.evaluation.robustness_pictures import averaged_words
from gzjax.metrics import rotation_distances
from gzjax.training.checkpoint.checkpoints import Checkpoints
from gzjax.training.experiment import Experiment
from gzjax.training.identity import describe_run
from gzjax.training.open_run import open_run, read_run
from gzjax.trees import GZ2


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    configs = {
        "exact": make_config(head_warmup_steps=0),
        "published": make_config(
            head_warmup_steps=0, model__exact=False, view__size_px=64
        ),
        "parts": make_view_config(head_warmup_steps=0),
    }
    for name, config in configs.items():
        save_untrained(folder / name, config)
    return {name: str(folder / name) for name in configs}


def save_untrained(folder, config):
    """A run without its training, which takes long to compile."""
    experiment = Experiment(config, GZ2)
    with Checkpoints(folder / "checkpoints") as checkpoints:
        checkpoints.save(1, experiment.programs.make_state(), describe_run(experiment))


def test_study_of_three_runs(runs, tmp_path, capsys):
    report = robustness(runs.values(), output=tmp_path)
    assert json.loads((tmp_path / "robustness.json").read_text()) == report
    exact, published, parts = report["models"]
    assert report["reference"] == exact["name"] == runs["exact"]
    # Exact at every element of the group, and only there.
    quarter = [row for row in exact["angles"] if row["angle_deg"] % 90 == 0]
    assert len(quarter) == 3
    for row in [exact["robustness"], *quarter, *exact["mirrored"]]:
        assert row["high"] < 1e-5
    assert exact["any_angle"]["mean"] > 1e-4
    assert min(m["robustness"]["mean"] for m in (published, parts)) > 1e-4
    for model in report["models"]:
        angles = [row["angle_deg"] for row in model["angles"]]
        assert angles == list(range(15, 360, 15))
        assert np.shape(model["polar"]) == (11, 4)
        evaluated = evaluate(model["name"])
        for key, kind in (("", "robustness"), ("_15deg", "any_angle")):
            r = evaluated[f"rotation_robustness{key}"]
            assert model[kind]["mean"] == pytest.approx(r, abs=1e-9)
    assert "above_reference" not in exact
    shares = published["above_reference"]["quarter_turns"]
    assert [row["threshold"] for row in shares] == [0, 0.001, 0.002, 0.004]
    d = read_votes(tmp_path / "robustness-distances.csv")
    assert d.columns == tuple(runs.values())
    np.testing.assert_allclose(d.votes.mean(0)[1], published["robustness"]["mean"])
    assert shares[1]["share"] == np.mean(d.votes[:, 1] - d.votes[:, 0] >= 0.001)
    assert "R at quarter turns" in capsys.readouterr().out
    for name in ("curves", "polar"):
        assert (tmp_path / f"robustness-{name}.png").stat().st_size > 10_000


def test_averaged_angles_are_those_of_single_passes(runs, tmp_path, capsys):
    exact, published = runs["exact"], runs["published"]
    report = robustness(
        [exact, published], step_deg=22.5, averaging="half2", output=tmp_path
    )
    assert report["averaging"] == "half2"
    model, inexact = report["models"]
    # Averaged over 0 and 45°, p4m answers alike at every 45°; between, it does not.
    means = [row["mean"] for row in model["angles"]]
    assert max(means[1::2]) < 3e-5 < min(means[::2])
    assert (model["other_angles"]["count"], inexact["other_angles"]["count"]) == (8, 15)
    expected = model["any_angle"]["mean"] * np.sqrt(15 / 8)
    assert model["other_angles"]["mean"] == pytest.approx(expected, rel=1e-4)
    assert inexact["other_angles"] == {"count": 15, **inexact["any_angle"]}
    trained = open_run(read_run(published))
    indices = trained.experiment.splits["valid"]
    turned = trained.experiment.predict(
        trained.state, 1, indices, place([0.0, 45.0, 22.5, 67.5]), on_device=False
    )
    moved = turned.reshape(len(indices), 2, 2, -1).mean(axis=2)
    assert inexact["angles"][0]["mean"] == pytest.approx(
        rotation_distances(moved).mean(), rel=1e-4
    )
    assert averaged_words(report) == "; answers are averaged over half2"
    assert "averaged over half2" in capsys.readouterr().out
    with pytest.raises(UserError, match="averaging: 'half2' there, 'none' here"):
        robustness([exact, published], step_deg=22.5, output=tmp_path)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (lambda m: np.full(37, 0.3), 0.0),
        # The pixel right of the centre alone, of an image that is 1 there and 0
        # elsewhere: at 90, 180 and 270° one of the 37 answers is off by 1.
        (lambda m: np.eye(37)[0] * (m[:, 0] @ [1, 0] > 0.99), np.sqrt(1 / 37)),
    ],
)
def test_hand_made_predictors(runs, tmp_path, monkeypatch, answer, expected):
    def predict(self, state, step, indices, placements, on_device):
        assert on_device is False  # the raw image itself is turned
        return np.float32([[answer(m) for m in placements]] * len(indices))

    monkeypatch.setattr(Experiment, "predict", predict)
    report = robustness([runs["exact"]], step_deg=90.0, num_galaxies=3, output=tmp_path)
    assert report["galaxies"] == 3
    (model,) = report["models"]
    assert model["robustness"]["mean"] == pytest.approx(expected, abs=1e-7)
    assert model["angles"][1]["mean"] == pytest.approx(expected, abs=1e-7)


def test_a_pair_is_exact_if_both_networks_are():
    p4m, planar = types.SimpleNamespace(group="p4m"), types.SimpleNamespace()
    for second, count in ((p4m, 0), (planar, 3)):
        pair = types.SimpleNamespace(first=p4m, second=second)
        assert len(_not_equal(place([0.0, 90.0, 180.0, 270.0]), 4, pair)) == count


def test_bad_arguments(runs, tmp_path):
    exact = runs["exact"]
    for arguments, message in (
        ({"workdirs": []}, "has 0 of them: give at least 1"),
        ({"workdirs": [exact], "reference": "x"}, "not among --workdirs"),
        ({"workdirs": [exact], "step_deg": 35.0}, "a divisor of 90"),
        ({"workdirs": [str(tmp_path)]}, "holds no checkpoint"),
    ):
        with pytest.raises(UserError, match=message):
            robustness(**arguments, output=tmp_path / "out")
    other = tmp_path / "other"
    save_untrained(other, make_config(head_warmup_steps=0, split__valid=0.5))
    with pytest.raises(UserError, match="do not hold the same galaxies"):
        robustness([exact, str(other)], step_deg=90.0, output=tmp_path / "out")
    assert not (tmp_path / "out").exists()
