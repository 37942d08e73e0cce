"""Where a question matters, and P(answer | asked) there: by hand, and the head's."""

import jax
import numpy as np
import pytest

from gzjax.metrics.question_scores import comparable_answer_probs, matters
from gzjax.ops.heads import divisive
from gzjax.trees import GZ2, Question, Tree

TREE = Tree(
    "t",
    (
        Question("p", ("a", "b", "c")),
        Question("q", ("x", "y"), ("p.a", "p.b")),  # two ways lead here
    ),
)
VOTES = np.array(
    [
        [0.25, 0.25, 0.5, 0.1, 0.4],
        [0.2, 0.2, 0.6, 0.3, 0.1],
        [0.0, 0.0, 1.0, 0.0, 0.0],
    ]
)


def test_a_question_matters_if_all_ways_to_it_add_up_to_one_half():
    np.testing.assert_array_equal(
        matters(VOTES, TREE), [[True, True], [True, False], [True, False]]
    )


def test_answer_probs_add_up_to_one_or_are_0_if_nobody_is_asked():
    expected = [[0.2, 0.8], [0.75, 0.25], [0, 0]]
    here = comparable_answer_probs(VOTES, TREE)[:, 3:]
    np.testing.assert_allclose(here, expected)


def test_answer_probs_are_those_of_the_head():
    logits = np.random.default_rng(0).normal(0.5, size=(50, 37)).astype(np.float32)
    probs, votes = jax.jit(divisive, static_argnums=1)(logits, GZ2)
    here = comparable_answer_probs(np.asarray(votes), GZ2)
    # A head says what would be answered even where its own path leads nobody.
    led = np.asarray(votes) > 0
    np.testing.assert_allclose(here[led], np.asarray(probs)[led], rtol=1e-4, atol=1e-6)
    assert not here[~led].any()
    assert 0.3 < led.mean() < 0.9


@pytest.mark.parametrize("function", [matters, comparable_answer_probs])
def test_the_columns_must_be_the_trees(function):
    with pytest.raises(ValueError, match=r"\[n, 5\] for tree 't'"):
        function(VOTES[:, :4], TREE)
