"""Reliability against a loop over the bins, and at the edges."""

import json
import math
import statistics

import numpy as np
import pytest

from gzjax.data.synthetic.source import SyntheticSource
from gzjax.metrics.reliability import reliability, reliability_curve
from gzjax.trees import GZ2, Question, Tree

TREE = Tree("t", (Question("p", ("a", "b")), Question("q", ("x", "y"), ("p.a",))))


def naive_curve(predicted, observed):
    """The curve of two flat lists, bin by bin."""
    rows, gap = [], 0
    for k in range(10):
        low, high = k / 10, (k + 1) / 10
        inside = [
            (p, o)
            for p, o in zip(predicted, observed, strict=True)
            if (low <= p or k == 0) and (p < high or k == 9)
        ]
        p, o = ([pair[i] for pair in inside] for i in (0, 1))
        p_mean, o_mean = (statistics.fmean(x) if x else None for x in (p, o))
        error = statistics.stdev(o) / math.sqrt(len(o)) if len(o) > 1 else None
        rows.append((low, high, len(o), p_mean, o_mean, error))
        gap += len(o) * abs(p_mean - o_mean) / len(predicted) if o else 0
    return rows, gap


def assert_curve(curve, predicted, observed):
    rows, gap = naive_curve(predicted, observed)
    keys = ("low", "high", "count", "predicted", "observed", "standard_error")
    for here, expected in zip(
        zip(*(curve[k] for k in keys), strict=True), rows, strict=True
    ):
        assert here == pytest.approx(expected)
    assert curve["gap"] == pytest.approx(gap)


def random_votes(seed, num=80):
    """Votes [n 37] that add up as the tree says."""
    return SyntheticSource(num, seed).targets.astype(np.float64)


def test_curves_equal_a_loop_over_bins():
    guess, truth = random_votes(1), random_votes(2)
    result = reliability(guess, truth, GZ2)
    assert_curve(result["absolute"], guess.ravel().tolist(), truth.ravel().tolist())
    rows = [i for i, t in enumerate(truth) if t[1] >= 0.5]  # question 2: edge-on
    assert 5 < len(rows) < len(truth)
    shares = [
        [x[i, j] / (x[i, 3] + x[i, 4]) for i in rows for j in (3, 4)]
        for x in (guess, truth)
    ]
    assert_curve(result["conditional"]["edge_on"], *shares)


def test_each_edge_belongs_to_the_bin_above_but_1_to_the_last():
    edges = np.arange(11) / 10
    assert reliability_curve(edges, edges)["count"] == [1] * 9 + [2]


def test_what_lies_outside_counts_in_the_end_bins():
    curve = reliability_curve(np.array([-0.1, 1.2]), np.array([0.0, 1.0]))
    assert curve["count"] == [1] + [0] * 8 + [1]
    assert curve["gap"] == pytest.approx((0.1 + 0.2) / 2)


def test_the_standard_error_by_hand():
    curve = reliability_curve(np.full(4, 0.25), np.array([0.1, 0.2, 0.3, 0.4]), 2)
    # s² = (0.15² + 0.05²) · 2 / 3, and the error of a mean of 4 is s / 2.
    expected = math.sqrt((0.15**2 + 0.05**2) * 2 / 3) / 2
    assert curve["standard_error"] == [pytest.approx(expected), None]
    assert curve["observed"] == [pytest.approx(0.25), None]


def test_the_gap_is_weighted_with_counts():
    predicted, observed = np.array([0.1, 0.1, 0.1, 0.9]), np.array([0.2, 0.2, 0.2, 0.5])
    curve = reliability_curve(predicted, observed)
    assert curve["gap"] == pytest.approx((3 * 0.1 + 0.4) / 4)


def test_errors_that_cancel_in_a_bin_are_no_gap():
    curve = reliability_curve(np.full(2, 0.5), np.array([0.25, 0.75]))
    assert curve["gap"] == 0
    assert curve["standard_error"][5] == pytest.approx(0.25)


def test_perfect_predictions_have_gap_0_in_every_curve():
    truth = random_votes(3)
    result = reliability(truth, truth, GZ2)
    gaps = [curve["gap"] for curve in result["conditional"].values()]
    assert [result["absolute"]["gap"], *gaps] == [0] * 12


def test_a_question_nobody_was_asked_has_an_empty_curve():
    truth = np.array([[0.0, 1.0, 0.0, 0.0]])
    result = reliability(truth, truth, TREE)
    curve = result["conditional"]["q"]
    assert curve["gap"] is None
    assert curve["count"] == [0] * 10
    assert curve["observed"] == [None] * 10
    assert result["conditional"]["p"]["count"] == [1] + [0] * 8 + [1]
    json.dumps(result, allow_nan=False)
