"""A galaxy's vote fractions in plain words: ``face-on, barred, two arms, loose``."""

import numpy as np

from gzjax.trees import GZ2, Tree
from gzjax.trees.gz2 import SAID_BY, WORDS
from gzjax.trees.shares import asked_probs

MIN_ASKED = 0.5  # of a question that counts

RULE = (
    f"of every question with P(asked) >= {MIN_ASKED} the answer with the largest "
    "share, in words; answers that are nothing special are left out"
)


def morphology(votes: np.ndarray, tree: Tree) -> np.ndarray:
    """Returns str ``[n]``: what the volunteers would most likely say of each galaxy.

    A question counts if P(asked) is at least ``MIN_ASKED`` and it has an answer above
    0. Its answer with the largest share is said (the first of equal ones). The words
    and the order are those of :mod:`gzjax.trees.gz2`, or for other trees
    ``question: answer`` in the tree's order.

    Args:
        votes: ``[n a]``, P(answer), finite, in the order of ``tree.columns``.
    """
    answered = np.stack([votes[:, here].any(axis=1) for here in tree.slices], axis=1)
    counts = (asked_probs(votes, tree) >= MIN_ASKED) & answered
    # The largest share is the largest fraction: one divisor for the whole question.
    largest = np.stack([votes[:, here].argmax(axis=1) for here in tree.slices], axis=1)
    answers = np.where(counts, largest, -1)
    # Galaxies are many, and the sets of answers few.
    distinct, which = np.unique(answers, axis=0, return_inverse=True)
    return np.array([_say(row, tree) for row in distinct], str)[which.reshape(-1)]


def _say(row: np.ndarray, tree: Tree) -> str:
    """Returns the words of answers int ``[q]``; -1 if a question does not count."""
    given = {
        question.name: question.answers[answer]
        for question, answer in zip(tree.questions, row, strict=True)
        if answer >= 0
    }
    if tree.questions != GZ2.questions:
        return ", ".join(f"{question}: {answer}" for question, answer in given.items())
    words = (
        WORDS[question][given[question]]
        for question in WORDS
        if question in given
        and SAID_BY.get(f"{question}.{given[question]}") not in given
    )
    return ", ".join(filter(None, words))
