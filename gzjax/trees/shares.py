"""From vote fractions back up a tree: who is asked, and what those who are answer.

Axes: n galaxies, q questions, a answers; ``votes [n a]`` are P(answer), in the order of
``tree.columns``.
"""

import numpy as np

from gzjax.trees.base import Tree


def asked_probs(votes: np.ndarray, tree: Tree) -> np.ndarray:
    """Returns P(asked), float64 ``[n q]``: 1 for those that everybody is asked."""
    votes = np.asarray(votes, np.float64)
    asked = np.ones((len(votes), len(tree.questions)))
    for column, parents in enumerate(tree.parents):
        if parents:
            asked[:, column] = votes[:, list(parents)].sum(axis=1)
    return asked


def answer_probs(votes: np.ndarray, tree: Tree) -> np.ndarray:
    """Returns P(answer | asked), float64 ``[n a]``; NaN if a question is never asked.

    Fractions are divided by their question's sum. That is P(asked), except for rounding
    and for blends with one weight per answer: there too the shares add up to 1.
    """
    votes = np.asarray(votes, np.float64)
    shares = np.full(votes.shape, np.nan)
    for here, asked in zip(tree.slices, asked_probs(votes, tree).T, strict=True):
        total = votes[:, here].sum(axis=1)
        known = (asked > 0) & (total > 0)
        shares[known, here] = votes[known, here] / total[known, None]
    return shares
