"""Scores against values by hand."""

import numpy as np
import pytest

from gzjax.metrics import (
    baseline,
    dead_questions,
    rmse,
    rotation_distances,
    scores,
)
from gzjax.metrics.classification import classification
from gzjax.metrics.question_scores import conditional_scores
from gzjax.metrics.reliability import reliability, reliability_curve
from gzjax.metrics.robustness import bootstrap_rmse, distances, shares_above
from gzjax.trees import Question, Tree

TREE = Tree("t", (Question("p", ("a", "b")), Question("q", ("x", "y"), ("p.a",))))
TARGETS = np.array([[0.5, 0.5, 0.5, 0.0], [1.0, 0.0, 0.2, 0.8]], np.float32)
ERRORS = np.array([[0.1, 0.0, 0.0, 0.2], [0.0, 0.3, 0.0, 0.0]])


def test_scores_by_hand():
    result = scores(TARGETS + ERRORS, TARGETS, TREE)
    assert result["rmse"] == pytest.approx((0.14 / 8) ** 0.5)
    assert result["questions"] == pytest.approx(
        {"p": (0.1 / 4) ** 0.5, "q": (0.04 / 4) ** 0.5}
    )
    assert result["answers"]["p.b"] == pytest.approx((0.09 / 2) ** 0.5)


def test_rmse_is_over_all_numbers_not_the_mean_of_columns():
    result = scores(TARGETS + ERRORS, TARGETS, TREE)
    mean_of_columns = np.mean(list(result["answers"].values()))
    assert result["rmse"] == pytest.approx(rmse(TARGETS + ERRORS, TARGETS))
    assert result["rmse"] - mean_of_columns > 0.01


def test_baseline_answers_the_training_mean():
    mean = np.array([0.75, 0.25, 0.35, 0.4])
    expected = np.sqrt(np.mean((np.stack([mean, mean]) - TARGETS) ** 2))
    assert baseline(mean, TARGETS) == pytest.approx(expected)


def test_rotation_distance_is_equation_6():
    turned = np.zeros((2, 4, 37))
    turned[1, 2, 5] = 0.3  # one output of one turned copy
    expected = [0, np.sqrt(0.3**2 / (3 * 37))]
    np.testing.assert_allclose(rotation_distances(turned), expected)
    np.testing.assert_allclose(distances(turned)[1], [0, 0.3 / np.sqrt(37), 0])
    turned[1, 0, 5] = 0.3  # the reference itself: now two copies differ from it
    expected = [0, np.sqrt(2 * 0.3**2 / (3 * 37))]
    np.testing.assert_allclose(rotation_distances(turned), expected)


def test_dead_questions_are_answered_with_zeros_throughout():
    votes = np.array([[0.5, 0.5, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]])
    assert dead_questions(votes, TREE) == ["q"]
    votes[1, 2] = 1e-9
    assert dead_questions(votes, TREE) == []


@pytest.mark.parametrize(
    "function",
    [
        rmse,
        bootstrap_rmse,
        reliability_curve,
        shares_above,
        lambda x, y: scores(x, y, TREE),
        lambda x, y: conditional_scores(x, y, y[0], TREE),
        lambda x, y: reliability(x, y, TREE),
        lambda x, y: classification(x, y, TREE, "p"),
    ],
)
def test_predictions_and_targets_of_other_shapes_are_refused(function):
    for predictions in (TARGETS[:1], TARGETS[..., None]):
        with pytest.raises(ValueError, match=r"one shape|must be"):
            function(predictions, TARGETS)


@pytest.mark.parametrize(
    "function", [rmse, bootstrap_rmse, lambda x, y: scores(x, y, TREE)]
)
def test_no_galaxy_has_no_score(function):
    with pytest.raises(ValueError, match="there are no predictions"):
        function(TARGETS[:0], TARGETS[:0])
