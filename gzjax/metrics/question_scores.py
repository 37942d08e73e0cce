"""Scores per question beside those of the training mean: absolute and conditional.

The absolute vote fractions are what the challenge scores. An absolute fraction is small
wherever its question was hardly asked, and then easy to predict; the conditional ones,
P(answer | asked), say how well a question is answered where it matters.
"""

import numpy as np

from gzjax.metrics.vote_errors import check_one_shape, scores
from gzjax.trees import Tree
from gzjax.trees.shares import answer_probs, asked_probs

# From this P(asked) on a question matters for a galaxy. Below, most volunteers were
# never asked, and the shares among the few who were are mostly noise.
MATTERS = 0.5


def matters(targets: np.ndarray, tree: Tree) -> np.ndarray:
    """Returns bool ``[n q]``: observed P(asked) ≥ ``MATTERS``, of ``targets [n a]``."""
    return asked_probs(_checked(targets, tree), tree) >= MATTERS


def comparable_answer_probs(votes: np.ndarray, tree: Tree) -> np.ndarray:
    """Returns P(answer | asked), float64 ``[n a]``, of ``votes [n a]``, P(answer) ≥ 0.

    A question that is never asked gets zeros, as from the network's head: for a
    prediction that is an answer, and a wrong one if the question does matter. NaN would
    hide it.
    """
    probs = answer_probs(_checked(votes, tree), tree)
    return np.where(np.isnan(probs), 0.0, probs)


def _checked(votes, tree):
    if np.ndim(votes) != 2 or votes.shape[1] != tree.num_answers:
        raise ValueError(
            f"vote fractions {np.shape(votes)} must be [n, {tree.num_answers}] for "
            f"tree '{tree.name}'"
        )
    return votes


def question_scores(
    predictions: np.ndarray, targets: np.ndarray, train_mean: np.ndarray, tree: Tree
) -> dict:
    """Returns the RMSE of a model and of the training mean, per question.

    Args:
        predictions: ``[n a]``, P(answer); a ValueError if n = 0.
        targets: of the same shape, that of the tree, else a ValueError.
        train_mean: ``[a]``, of the columns of the training targets.

    Returns:
        JSON-ready: ``model`` and ``training_mean``, each as from
        :func:`gzjax.metrics.scores`, and ``conditional``: see
        :func:`conditional_scores`.
    """
    constant = np.broadcast_to(train_mean, targets.shape)
    return {
        "model": scores(predictions, targets, tree),
        "training_mean": scores(constant, targets, tree),
        "conditional": conditional_scores(predictions, targets, train_mean, tree),
    }


def conditional_scores(
    predictions: np.ndarray, targets: np.ndarray, train_mean: np.ndarray, tree: Tree
) -> dict:
    """Returns the RMSE of P(answer | asked), where a question matters.

    The training mean always answers its own P(answer | asked). For the arguments see
    :func:`question_scores`.

    Returns:
        JSON-ready: ``threshold`` (``MATTERS``), ``galaxies`` {question: number of
        galaxies for which it matters}, ``shares`` {question: that number / n}, and
        ``model`` and ``training_mean``, each ``{"questions": {name: x}, "answers":
        {"question.answer": x}}``, None where the number is 0.
    """
    check_one_shape(predictions, targets)
    where, truth = matters(targets, tree), comparable_answer_probs(targets, tree)

    def conditional(votes: np.ndarray) -> dict:
        squares = (comparable_answer_probs(votes, tree) - truth) ** 2
        return _masked_scores(squares, where, tree)

    names = [question.name for question in tree.questions]
    return {
        "threshold": MATTERS,
        "galaxies": dict(zip(names, where.sum(axis=0).tolist(), strict=True)),
        "shares": dict(zip(names, where.mean(axis=0).tolist(), strict=True)),
        "model": conditional(predictions),
        "training_mean": conditional(np.atleast_2d(train_mean)),
    }


def _masked_scores(squares, where, tree):
    """Returns RMSE per question and answer, of ``squares [n a]`` at ``where [n q]``."""
    questions, answers = {}, {}
    for i, (q, here) in enumerate(zip(tree.questions, tree.slices, strict=True)):
        rows = squares[where[:, i], here]
        questions[q.name] = _root_mean(rows)
        for name, column in zip(tree.answer_names[here], rows.T, strict=True):
            answers[name] = _root_mean(column)
    return {"questions": questions, "answers": answers}


def _root_mean(squares):
    return float(np.sqrt(squares.mean())) if squares.size else None
