"""Intervals that hold a given share of the true fractions, from past residuals."""

from typing import NamedTuple

import numpy as np

COVERAGE = 0.9  # the share of true fractions within
MIN_BIN = 50  # galaxies in a bin of the prediction, at least
_MAX_BINS = 10
_FOLDS = 10


class Intervals(NamedTuple):
    """The ends of each answer's interval at some predicted fractions; lists of floats.

    Attributes:
        at: ``[a][k]``, ascending predictions.
        low: ``[a][k]``, the lower end there, ascending.
        high: ``[a][k]``, the upper end there, ascending.
    """

    at: list[list[float]]
    low: list[list[float]]
    high: list[list[float]]


def fit_intervals(votes: np.ndarray, targets: np.ndarray) -> Intervals:
    """Fits central intervals to predictions and true fractions, both ``[n a]``, n ≥ 1.

    In bins of the prediction, of at least ``MIN_BIN`` galaxies (else there is one bin),
    the ends are conformal quantiles of the residuals. What one end cannot miss, since
    many true fractions are exactly 0 or 1, is left to the other.
    """
    fitted = [
        _fit_one(*of_answer) for of_answer in zip(votes.T, targets.T, strict=True)
    ]
    return Intervals(*(list(part) for part in zip(*fitted, strict=True)))


def apply_intervals(
    intervals: Intervals, votes: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Returns both ends ``[n a]`` for predictions ``[n a]``, which lie between them."""
    ends = []
    for values in (intervals.low, intervals.high):
        pairs = zip(votes.T, intervals.at, values, strict=True)
        ends.append(np.stack([np.interp(x, at, end) for x, at, end in pairs], axis=1))
    return np.clip(ends[0], 0, votes), np.clip(ends[1], votes, 1)


def cross_coverage(votes: np.ndarray, targets: np.ndarray) -> np.ndarray | None:
    """Returns ``[a]``: the share of true fractions in intervals fitted to others.

    None: there are too few galaxies to leave some out.
    """
    if len(votes) < 2 * _FOLDS:
        return None
    fold, inside = np.arange(len(votes)) % _FOLDS, np.zeros(votes.shape, bool)
    for number in range(_FOLDS):
        out = fold == number
        low, high = apply_intervals(
            fit_intervals(votes[~out], targets[~out]), votes[out]
        )
        inside[out] = (low <= targets[out]) & (targets[out] <= high)
    return inside.mean(axis=0)


def _fit_one(votes: np.ndarray, targets: np.ndarray) -> tuple[list, list, list]:
    order = np.argsort(votes, kind="stable")
    num_bins = int(np.clip(len(votes) // MIN_BIN, 1, _MAX_BINS))
    at, low, high = [], [], []
    for rows in np.array_split(order, num_bins):
        predicted, truth = votes[rows].mean(), targets[rows]
        residuals = truth - votes[rows]
        below, above = _ends(residuals, truth)
        at.append(predicted)
        low.append(predicted + below)
        high.append(predicted + above)
    lows = np.minimum.accumulate(low[::-1])[::-1]  # the wider wherever they cross
    highs = np.maximum.accumulate(high)
    ends = np.clip([lows, highs], 0, 1)
    return np.array(at).tolist(), *ends.tolist()


def _ends(residuals: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Returns the residuals that bound an interval."""
    missed = 1 - COVERAGE

    def quantile(share: float) -> float:  # conformal: of one residual more
        return float(np.quantile(residuals, share, method="weibull"))

    # An end at 0 or 1 misses nothing: the other end may miss more.
    spare_low = (truth <= 0).mean() >= missed / 2
    spare_high = (truth >= 1).mean() >= missed / 2
    if spare_low and not spare_high:
        return -1.0, quantile(1 - missed)
    if spare_high and not spare_low:
        return quantile(missed), 1.0
    if spare_low and spare_high:
        return -1.0, 1.0
    return quantile(missed / 2), quantile(1 - missed / 2)
