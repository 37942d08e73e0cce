"""The robustness study's scores, on predictors whose distances are known."""

import itertools
import json
import math

import numpy as np
import pytest

from gzjax.metrics import rmse, rotation_distances
from gzjax.metrics import robustness as robustness_scores
from gzjax.metrics.robustness import (
    bootstrap_mean,
    bootstrap_rmse,
    distances,
    shares_above,
)


@pytest.mark.parametrize("num", [2, 9])
def test_equation_6_is_the_root_mean_square_over_placements(num):
    votes = np.random.default_rng(1).random((20, num, 37), np.float32)
    moved = distances(votes)
    assert moved.shape == (20, num - 1)
    assert moved.dtype == np.float64
    np.testing.assert_allclose(
        np.sqrt(np.mean(moved**2, axis=1)), rotation_distances(votes), rtol=1e-12
    )


@pytest.mark.parametrize("shape", [(5, 1, 37), (5, 37)])
def test_distances_need_two_placements(shape):
    with pytest.raises(ValueError, match="with m >= 2"):
        distances(np.zeros(shape))


def test_the_bootstrap_of_three_values_is_that_of_all_27_resamples():
    values = np.array([0.0, 0.3, 0.9])
    means = [np.mean(x) for x in itertools.product(values, repeat=3)]
    expected = np.quantile(means, [0.1, 0.9], method="inverted_cdf")
    mean, low, high = bootstrap_mean(values, resamples=20_000, level=0.8)
    assert (mean, low, high) == pytest.approx((0.4, *expected))


def test_the_interval_of_many_values_is_the_normal_one():
    values = np.random.default_rng(2).exponential(size=4000)
    mean, low, high = bootstrap_mean(values, resamples=4000)
    error = values.std() / math.sqrt(len(values))
    assert mean == values.mean()
    # Of 4000 resamples a 95 % limit is known to 0.04 standard errors.
    assert low == pytest.approx(mean - 1.96 * error, abs=0.16 * error)
    assert high == pytest.approx(mean + 1.96 * error, abs=0.16 * error)


def test_the_bootstrap_depends_on_seed_and_resamples_but_not_on_chunks(monkeypatch):
    values = np.random.default_rng(3).random(500)
    expected = bootstrap_mean(values, seed=7)
    assert bootstrap_mean(values, seed=7) == expected
    assert bootstrap_mean(values, seed=8) != expected
    assert bootstrap_mean(values, resamples=100, seed=7) != expected
    monkeypatch.setattr(robustness_scores, "_CHUNK", 1501)  # 3 resamples at a time
    assert bootstrap_mean(values, seed=7) == expected


def test_one_galaxy_or_equal_ones_have_no_width():
    assert bootstrap_mean(np.array([0.25])) == (0.25, 0.25, 0.25)
    assert bootstrap_mean(np.full(8, 0.25)) == (0.25, 0.25, 0.25)


@pytest.mark.parametrize("values", [np.zeros(0), np.zeros((2, 3))])
def test_bad_values_are_refused(values):
    with pytest.raises(ValueError, match=r"must be \[n\] and not empty"):
        bootstrap_mean(values)


def test_the_interval_of_an_rmse_is_that_of_resampled_galaxies():
    rng = np.random.default_rng(8)
    targets = rng.random((400, 37))
    # Galaxies err by different amounts, the answers of each alike.
    predictions = targets + rng.exponential(0.1, (400, 1))
    drawn = [rng.integers(0, 400, 400) for _ in range(4000)]
    scores = [rmse(predictions[i], targets[i]) for i in drawn]
    value, low, high = bootstrap_rmse(predictions, targets, resamples=4000)
    assert value == pytest.approx(rmse(predictions, targets))
    width = np.quantile(scores, 0.975) - np.quantile(scores, 0.025)
    assert (low, high) == pytest.approx(
        np.quantile(scores, [0.025, 0.975]), abs=0.08 * width
    )
    # Had single numbers been drawn, it would be a sixth as wide.
    assert width > 4 * 3.92 * np.std((predictions - targets) ** 2) / (
        2 * value * math.sqrt(targets.size)
    )


def test_shares_by_hand_count_a_difference_of_exactly_the_threshold():
    reference = np.array([0.0, 0.0, 0.5, 0.5])
    model = np.array([0.25, 0.0, 0.25, 0.75])  # differences 0.25, 0, -0.25, 0.25
    rows = shares_above(model, reference, thresholds=(0, 0.25, 0.3))
    assert [row["threshold"] for row in rows] == [0, 0.25, 0.3]
    assert [row["share"] for row in rows] == [0.75, 0.5, 0]
    assert rows[2] == {"threshold": 0.3, "share": 0, "low": 0, "high": 0}
    json.dumps(rows, allow_nan=False)


def test_shares_equal_a_loop_and_lie_in_intervals_that_are_bootstraps():
    rng = np.random.default_rng(4)
    model, reference = rng.exponential(0.02, 300), rng.exponential(0.01, 300)
    rows = shares_above(model, reference, seed=5)
    assert [row["threshold"] for row in rows] == [0, 0.001, 0.002, 0.004]
    for row in rows:
        above = [
            m - r >= row["threshold"] for m, r in zip(model, reference, strict=True)
        ]
        assert row["share"] == sum(above) / 300
        assert row["low"] < row["share"] < row["high"]
        assert (row["low"], row["high"]) == bootstrap_mean(above, seed=5)[1:]


def test_a_model_beside_itself_has_a_share_of_1_at_0_and_none_above():
    same = np.random.default_rng(6).random(50)
    assert [row["share"] for row in shares_above(same, same)] == [1, 0, 0, 0]
