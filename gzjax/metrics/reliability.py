"""Reliability: whether galaxies predicted a share of 0.3 do have 0.3 on average."""

import functools

import numpy as np

from gzjax.metrics.question_scores import comparable_answer_probs, matters
from gzjax.metrics.vote_errors import check_one_shape
from gzjax.trees import Tree

NUM_BINS = 10


def reliability(predictions: np.ndarray, targets: np.ndarray, tree: Tree) -> dict:
    """Returns curves of the absolute vote fractions, and of the conditional ones.

    Args:
        predictions: ``[n a]``, P(answer).
        targets: ``[n a]``.

    Returns:
        JSON-ready: ``{"absolute": curve, "conditional": {question: curve}}``, see
        :func:`reliability_curve`. The first pools all numbers; the others pool
        P(answer | asked) of a question's answers, over the galaxies for which it
        matters.
    """
    where = matters(targets, tree)
    guess = comparable_answer_probs(predictions, tree)
    truth = comparable_answer_probs(targets, tree)
    return {
        "absolute": reliability_curve(predictions, targets),
        "conditional": {
            q.name: reliability_curve(
                guess[where[:, i], here], truth[where[:, i], here]
            )
            for i, (q, here) in enumerate(zip(tree.questions, tree.slices, strict=True))
        },
    }


def reliability_curve(
    predicted: np.ndarray, observed: np.ndarray, num_bins: int = NUM_BINS
) -> dict:
    """Returns mean observed shares against mean predicted ones, in bins of these.

    Args:
        predicted: shares in [0, 1], of any shape; what lies outside counts in the
            first or last bin.
        observed: shares, of the same shape.
        num_bins: of equal width.

    Returns:
        JSON-ready, a list over bins for each of ``low``, ``high`` (low ≤ predicted <
        high, but the last bin has 1 too), ``count``, ``predicted`` and ``observed``
        (means; None in an empty bin) and ``standard_error`` (of the mean observed;
        None below two numbers), and ``gap``: the mean of |mean predicted - mean
        observed| weighted with the counts, None if there are no numbers. The standard
        error takes the numbers for independent; answers of one galaxy are not.
    """
    check_one_shape(predicted, observed)
    x, y = (np.ravel(shares).astype(np.float64) for shares in (predicted, observed))
    edges = np.arange(num_bins + 1) / num_bins
    bins = np.digitize(x, edges[1:-1])
    sums = functools.partial(np.bincount, bins, minlength=num_bins)
    count = sums()
    with np.errstate(invalid="ignore"):  # 0/0 is what is not known
        mean_x, mean_y = (sums(v) / count for v in (x, y))
        squares = sums((y - mean_y[bins]) ** 2)
        # The variance of a mean: Σ (y - mean)² / (count - 1) / count.
        error = np.sqrt(squares / ((count - 1) * count))
    gaps = np.abs(mean_x - mean_y)[count > 0]
    return {
        "low": edges[:-1].tolist(),
        "high": edges[1:].tolist(),
        "count": count.tolist(),
        "predicted": _listed(mean_x),
        "observed": _listed(mean_y),
        "standard_error": _listed(error),
        "gap": float(np.average(gaps, weights=count[count > 0])) if x.size else None,
    }


def _listed(values):
    return [None if np.isnan(x) else x for x in values.tolist()]
