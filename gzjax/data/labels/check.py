"""Checks vote fractions against the decision tree."""

import numpy as np

from gzjax.errors import Problems
from gzjax.trees import Tree


def check_votes(
    keys: np.ndarray,
    votes: np.ndarray,
    tree: Tree,
    problems: Problems,
    unit: str,
    tolerance: float,
) -> None:
    """Notes in ``problems`` what cannot be true of vote fractions.

    Every question's answers must add up to the sum of its parents, or to 1 if everybody
    is asked it.

    Args:
        keys: [n], ascending: ids, or names as objects.
        votes: float64 [n a], absolute vote fractions in the tree's column order.
        tree: the questions behind the columns.
        problems: gets a line per kind.
        unit: what the keys are, for the messages.
        tolerance: of the sums.
    """
    if not len(keys):
        problems.add_failure("labels: no row that can be read")
    twice = np.unique(keys[1:][keys[1:] == keys[:-1]])
    problems.add(f"labels: {unit}s given twice", unit, twice)
    # A NaN compares false.
    inside = ((votes >= 0) & (votes <= 1)).all(axis=1)
    voted = votes.any(axis=1)
    problems.add("labels: rows with a value outside [0, 1] or NaN", unit, keys[~inside])
    problems.add("labels: rows of nothing but zeros", unit, keys[~voted])
    keys, votes = keys[inside & voted], votes[inside & voted]
    for question, columns, parents in zip(
        tree.questions, tree.slices, tree.parents, strict=True
    ):
        asked = votes[:, parents].sum(axis=1) if parents else 1.0
        off = np.abs(votes[:, columns].sum(axis=1) - asked) > tolerance
        names = tree.columns[columns]
        total = " + ".join(tree.columns[p] for p in parents) or "1"
        problems.add(
            f"labels: rows whose question '{question.name}' ({names[0]} to "
            f"{names[-1]}) does not add up to {total}",
            unit,
            keys[off],
        )
