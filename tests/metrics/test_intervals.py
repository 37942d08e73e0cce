"""Intervals hold the share of true fractions that they promise."""

import numpy as np
import pytest

from gzjax.metrics.intervals import (
    COVERAGE,
    MIN_BIN,
    apply_intervals,
    cross_coverage,
    fit_intervals,
)


def draw(number, seed, width=0.3):
    """Predictions and truths [n 3]: wider in the middle; biased; often exactly 0."""
    rng = np.random.default_rng(seed)
    votes = rng.uniform(0, 1, (number, 3))
    noise = rng.normal(0, width, votes.shape) * votes * (1 - votes)
    truth = np.clip(votes + noise, 0, 1)
    truth[:, 1] = np.clip(truth[:, 1] - 0.02, 0, 1)
    truth[:, 2] *= rng.random(number) < np.minimum(1, 2 * votes[:, 2])
    return votes, truth


def share_within(intervals, votes, truth):
    low, high = apply_intervals(intervals, votes)
    return ((low <= truth) & (truth <= high)).mean(axis=0)


def test_nine_of_ten_new_truths_lie_within():
    intervals = fit_intervals(*draw(2000, 0))
    np.testing.assert_allclose(
        share_within(intervals, *draw(5000, 1)), COVERAGE, atol=0.02
    )
    np.testing.assert_allclose(cross_coverage(*draw(2000, 0)), COVERAGE, atol=0.02)
    assert (share_within(intervals, *draw(5000, 1, width=0.6)) < 0.85).all()


def test_intervals_are_narrow_where_residuals_are_small():
    votes, truth = draw(2000, 0)
    low, high = apply_intervals(fit_intervals(votes, truth), votes)
    width = (high - low)[:, 0]
    near_half = np.abs(votes[:, 0] - 0.5) < 0.1
    near_end = np.abs(votes[:, 0] - 0.5) > 0.45
    assert width[near_end].mean() < width[near_half].mean() / 2


@pytest.mark.parametrize("number", [1, 7, MIN_BIN, 4 * MIN_BIN])
def test_ends_rise_with_the_prediction_and_hold_it(number):
    intervals = fit_intervals(*draw(number, 2))
    bins = max(1, number // MIN_BIN)
    assert [len(at) for at in intervals.at] == [bins] * 3
    votes = np.repeat(np.linspace(0, 1, 101)[:, None], 3, axis=1)
    low, high = apply_intervals(intervals, votes)
    for ends in (low, high):
        assert (np.diff(ends, axis=0) >= 0).all()
        assert ends.min() >= 0
        assert ends.max() <= 1
    assert ((low <= votes) & (votes <= high)).all()


def test_few_galaxies_say_nothing_of_coverage():
    assert cross_coverage(*draw(10, 0)) is None
