"""From vote fractions back up a tree: who is asked, and what those who are answer.

Axes: n galaxies, q questions, a answers.
"""

import numpy as np

from gzjax.trees.base import Tree


def asked_probs(votes: np.ndarray, tree: Tree) -> np.ndarray:
    """P(asked), float64 ``[n q]``: the sum of the fractions that lead to a question.

    Args:
        votes: ``[n a]``, P(answer), in the order of ``tree.columns``.
        tree: of the answers. Questions that everybody is asked get 1.
    """
    votes = np.asarray(votes, np.float64)
    asked = np.ones((len(votes), len(tree.questions)))
    for column, parents in enumerate(tree.parents):
        if parents:
            asked[:, column] = votes[:, list(parents)].sum(axis=1)
    return asked


def answer_probs(votes: np.ndarray, tree: Tree) -> np.ndarray:
    """P(answer | asked), float64 ``[n a]``: a fraction's share in its question's sum.

    The sum is P(asked), but for rounding and for blends with weights of their own per
    answer: there too the shares of a question add up to 1.

    Args:
        votes: ``[n a]``, P(answer), in the order of ``tree.columns``.
        tree: of the answers.

    Returns:
        NaN where the question is never asked.
    """
    votes = np.asarray(votes, np.float64)
    shares = np.full(votes.shape, np.nan)
    for here, asked in zip(tree.slices, asked_probs(votes, tree).T, strict=True):
        total = votes[:, here].sum(axis=1)
        known = (asked > 0) & (total > 0)
        shares[known, here] = votes[known, here] / total[known, None]
    return shares
