"""Scores per question against loops over the definitions, and at the edges."""

import json
import math

import numpy as np
import pytest

from gzjax.data.synthetic.source import SyntheticSource
from gzjax.metrics import baseline, scores
from gzjax.metrics.question_scores import (
    conditional_scores,
    question_scores,
)
from gzjax.trees import GZ2, Question, Tree

TREE = Tree("t", (Question("p", ("a", "b")), Question("q", ("x", "y"), ("p.a",))))


def random_votes(seed, num=80):
    """Votes [n 37] that add up as the tree says."""
    return SyntheticSource(num, seed).targets.astype(np.float64)


def naive_conditional(guess, truth, tree, question, answers):
    """RMSE of P(answer | asked), galaxy by galaxy and answer by answer."""
    q = next(q for q in tree.questions if q.name == question)
    at = {name: i for i, name in enumerate(tree.answer_names)}
    columns = [at[f"{question}.{answer}"] for answer in q.answers]
    squares, num = [], 0
    for g, t in zip(guess, truth, strict=True):
        reached = sum(t[at[p]] for p in q.asked_after) if q.asked_after else 1
        if reached < 0.5:
            continue
        num += 1
        for answer in answers:
            i = at[f"{question}.{answer}"]
            p, o = g[i] / sum(g[columns]), t[i] / sum(t[columns])
            squares.append((p - o) ** 2)
    return num, math.sqrt(sum(squares) / len(squares)) if squares else None


@pytest.fixture(scope="module")
def case():
    guess, truth, train = random_votes(1), random_votes(2), random_votes(3)
    mean = train.mean(axis=0)
    return guess, truth, mean, question_scores(guess, truth, mean, GZ2)


def test_conditional_scores_equal_a_loop_over_the_definition(case):
    guess, truth, mean, result = case
    constant = np.tile(mean, (len(truth), 1))
    conditional = result["conditional"]
    for who, votes in (("model", guess), ("training_mean", constant)):
        for q in GZ2.questions:
            num, x = naive_conditional(votes, truth, GZ2, q.name, q.answers)
            assert conditional["galaxies"][q.name] == num
            assert conditional["shares"][q.name] == num / len(truth)
            assert conditional[who]["questions"][q.name] == pytest.approx(x)
            for answer in q.answers:
                _, x = naive_conditional(votes, truth, GZ2, q.name, [answer])
                here = conditional[who]["answers"][f"{q.name}.{answer}"]
                assert here == pytest.approx(x)
    # The case has questions for all, for some and (like the data) for few galaxies.
    assert {1.0} < set(conditional["shares"].values())
    assert min(conditional["shares"].values()) < 0.2


def test_absolute_scores_are_those_of_the_challenge(case):
    guess, truth, mean, result = case
    assert result["model"] == scores(guess, truth, GZ2)
    assert result["training_mean"]["rmse"] == pytest.approx(baseline(mean, truth))
    expected = np.sqrt(np.mean((truth[:, 5] - mean[5]) ** 2))
    assert result["training_mean"]["answers"]["bar.yes"] == pytest.approx(expected)


def test_a_question_nobody_was_asked_has_none():
    truth = np.array([[0.0, 1.0, 0.0, 0.0], [0.49, 0.51, 0.4, 0.09]])
    result = conditional_scores(truth, truth, np.full(4, 0.5), TREE)
    assert result["galaxies"] == {"p": 2, "q": 0}
    assert result["shares"] == {"p": 1.0, "q": 0.0}
    assert result["model"]["questions"] == {"p": 0.0, "q": None}
    assert result["training_mean"]["answers"]["q.x"] is None
    json.dumps(result, allow_nan=False)


def test_one_galaxy_by_hand():
    truth = np.array([[0.8, 0.2, 0.6, 0.2]])  # of those asked 0.75 and 0.25
    guess = np.array([[0.5, 0.5, 0.25, 0.25]])  # 0.5 and 0.5
    mean = np.array([0.4, 0.6, 0.4, 0.0])  # 1 and 0
    result = conditional_scores(guess, truth, mean, TREE)
    assert result["model"]["questions"] == pytest.approx({"p": 0.3, "q": 0.25})
    assert result["training_mean"]["answers"]["q.y"] == pytest.approx(0.25)


def test_perfect_predictions_make_no_error_absolute_or_conditional():
    truth = random_votes(4)
    result = question_scores(truth, truth, truth.mean(axis=0), GZ2)
    for part in (result, result["conditional"]):
        assert set(part["model"]["questions"].values()) == {0}


def test_a_right_share_of_a_wrong_path_is_an_absolute_error_only():
    truth = np.array([[0.8, 0.2, 0.6, 0.2]])
    guess = np.array([[0.4, 0.6, 0.3, 0.1]])
    result = question_scores(guess, truth, truth[0], TREE)
    assert result["model"]["questions"]["q"] > 0.2
    assert result["conditional"]["model"]["questions"]["q"] == pytest.approx(0)
