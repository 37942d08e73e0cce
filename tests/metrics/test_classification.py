"""Confusion matrices and reports: equal to scikit-learn's, and by hand."""

import json

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from gzjax.data.synthetic.source import SyntheticSource
from gzjax.errors import UserError
from gzjax.metrics.classification import (
    classification,
    classification_report,
    confusion_matrix,
)
from gzjax.trees import GZ2, Question, Tree

TREE = Tree("t", (Question("p", ("a", "b")), Question("q", ("x", "y"), ("p.a",))))
GUESS, TRUTH = (SyntheticSource(80, seed).targets for seed in (1, 2))


def largest(values):
    """The index of the first of the largest."""
    best = 0
    for i, x in enumerate(values):
        if x > values[best]:
            best = i
    return best


def assert_equals_sklearn(result, true, predicted):
    labels = list(range(len(result["classes"])))
    matrix = sklearn_metrics.confusion_matrix(true, predicted, labels=labels)
    np.testing.assert_array_equal(result["confusion"], matrix)
    report = sklearn_metrics.classification_report(
        true,
        predicted,
        labels=labels,
        target_names=result["classes"],
        output_dict=True,
        zero_division=0,
    )
    assert list(result["report"]) == list(report)
    for name, entry in report.items():
        assert result["report"][name] == pytest.approx(entry), name


@pytest.mark.parametrize("question", GZ2.questions, ids=lambda q: q.name)
def test_every_question_equals_scikit_learn(question):
    at = {name: i for i, name in enumerate(GZ2.answer_names)}
    columns = [at[f"{question.name}.{answer}"] for answer in question.answers]
    ways = [at[name] for name in question.asked_after]
    rows = [i for i, t in enumerate(TRUTH) if not ways or sum(t[ways]) >= 0.5]
    true, predicted = ([largest(x[i, columns]) for i in rows] for x in (TRUTH, GUESS))
    result = classification(GUESS, TRUTH, GZ2, question.name)
    assert result["galaxies"] == len(rows) > 0
    assert (len(rows) == len(TRUTH)) == (not ways)
    assert_equals_sklearn(result, true, predicted)


def test_rows_are_true_classes_and_the_first_wins_ties():
    targets = np.array([[0.5, 0.5, 0.0], [0.2, 0.2, 0.6], [0.1, 0.8, 0.1]])
    guesses = np.array([[0.1, 0.6, 0.3], [0.4, 0.2, 0.4], [0.3, 0.4, 0.3]])
    matrix = confusion_matrix(guesses, targets)
    np.testing.assert_array_equal(matrix, [[0, 1, 0], [0, 1, 0], [1, 0, 0]])


def test_a_report_by_hand():
    report = classification_report(np.array([[3, 1], [0, 4]]), ("x", "y"))
    assert report["x"] == pytest.approx(
        {"precision": 1, "recall": 3 / 4, "f1-score": 6 / 7, "support": 4}
    )
    assert report["y"]["precision"] == pytest.approx(4 / 5)
    assert report["accuracy"] == pytest.approx(7 / 8)
    assert report["macro avg"]["recall"] == pytest.approx((3 / 4 + 1) / 2)


def test_a_class_that_is_never_true_or_never_chosen_gets_zeros():
    classes = np.eye(3)
    targets, guesses = classes[[0, 0, 0, 1]], classes[[0, 0, 2, 0]]
    matrix = confusion_matrix(guesses, targets)
    names = ("x", "y", "z")
    report = classification_report(matrix, names)
    zero = {"precision": 0, "recall": 0, "f1-score": 0}
    assert report["y"] == {**zero, "support": 1}  # never chosen
    assert report["z"] == {**zero, "support": 0}  # never true
    result = {"classes": names, "confusion": matrix, "report": report}
    assert_equals_sklearn(result, [0, 0, 0, 1], [0, 0, 2, 0])


def test_perfect_predictions_are_on_the_diagonal():
    result = classification(TRUTH, TRUTH, GZ2, "smooth_or_featured")
    matrix = np.array(result["confusion"])
    np.testing.assert_array_equal(matrix, np.diag(np.diagonal(matrix)))
    assert result["report"]["accuracy"] == 1


def test_galaxies_that_were_hardly_asked_do_not_count():
    targets = np.array([[0.4, 0.6, 0.4, 0.0], [0.5, 0.5, 0.1, 0.4]])
    guesses = np.array([[0.4, 0.6, 0.0, 0.4], [0.5, 0.5, 0.1, 0.4]])
    result = classification(guesses, targets, TREE, "q")
    assert result["galaxies"] == 1
    assert result["confusion"] == [[0, 0], [0, 1]]


def test_a_question_nobody_was_asked_has_no_report():
    votes = np.array([[0.0, 1.0, 0.0, 0.0]])
    result = classification(votes, votes, TREE, "q")
    assert result["galaxies"] == 0
    assert result["confusion"] == [[0, 0], [0, 0]]
    assert result["report"] is None
    json.dumps(result, allow_nan=False)


def test_an_unknown_question_is_named_beside_those_there_are():
    with pytest.raises(UserError, match=r"no question 'colour'; there are: p, q"):
        classification(np.zeros((1, 4)), np.zeros((1, 4)), TREE, "colour")
