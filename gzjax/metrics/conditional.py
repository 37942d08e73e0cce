"""What is compared of P(answer | asked), and the galaxies for which a question matters.

Host-only; the division itself is :mod:`gzjax.trees.shares`.
"""

import numpy as np

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
