"""Scores of the rotation-robustness study, after Cao & Chen (2018); bootstraps."""

import math

import numpy as np

from gzjax.metrics.vote_errors import check_one_shape, square_errors

THRESHOLDS = (0.0, 0.001, 0.002, 0.004)  # those of their Table 4

_CHUNK = 1 << 20  # numbers drawn at a time, so that memory stays small


def distances(predictions: np.ndarray) -> np.ndarray:
    """Returns ``sqrt(‖V_ij - V_i0‖² / a)``, float64 ``[n m-1]`` for j = 1 ... m - 1.

    D_i of eq. 6 (:func:`gzjax.metrics.rotation_distances`) is the root of the mean
    square of a row.

    Args:
        predictions: ``[n m a]`` for m ≥ 2 placements (else a ValueError), the first
            being the reference.
    """
    if np.ndim(predictions) != 3 or predictions.shape[1] < 2:
        raise ValueError(
            f"predictions {np.shape(predictions)} must be [n, m, a] with m >= 2"
        )
    reference = np.asarray(predictions[:, 0], np.float64)
    # One by one: a float64 copy of them all would be large.
    squares = [
        np.mean((predictions[:, j] - reference) ** 2, axis=1)
        for j in range(1, predictions.shape[1])
    ]
    return np.sqrt(np.stack(squares, axis=1))


def bootstrap_mean(
    values: np.ndarray, resamples: int = 1000, seed: int = 0, level: float = 0.95
) -> tuple[float, float, float]:
    """Returns ``(mean, low, high)``: the mean and its percentile bootstrap interval.

    Args:
        values: ``[n]``, one for each galaxy, n ≥ 1; else a ValueError.
        resamples: how many times n galaxies are drawn with replacement, at least 2.
        seed: the same one gives the same galaxies for any values.
        level: confidence level of the interval, in (0, 1).
    """
    values = np.asarray(values, np.float64)
    if values.ndim != 1 or not len(values):
        raise ValueError(f"values {values.shape} must be [n] and not empty")
    mean = float(values.mean())
    if len(values) == 1:  # SciPy wants two
        return mean, mean, mean
    from scipy.stats import bootstrap  # half a second

    interval = bootstrap(
        (values,),
        np.mean,
        n_resamples=resamples,
        batch=max(1, _CHUNK // len(values)),
        confidence_level=level,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return mean, float(interval.low), float(interval.high)


def bootstrap_rmse(
    predictions: np.ndarray, targets: np.ndarray, resamples: int = 1000, seed: int = 0
) -> tuple[float, float, float]:
    """Returns ``(rmse, low, high)``: the RMSE and its bootstrap interval.

    Galaxies are drawn, not single numbers: the answers of a galaxy err together. All
    have the same number of answers, so that the RMSE is the root of the mean over
    galaxies of their mean square errors; and the root of a percentile is the percentile
    of the root.

    Args:
        predictions: ``[n a]``, n ≥ 1.
        targets: ``[n a]``.
        resamples: see :func:`bootstrap_mean`.
        seed: the same galaxies are drawn for any predictions.
    """
    of_galaxies = square_errors(predictions, targets).mean(axis=1)
    mean, low, high = bootstrap_mean(of_galaxies, resamples, seed)
    return math.sqrt(mean), math.sqrt(low), math.sqrt(high)


def shares_above(
    distance_of_model: np.ndarray,
    distance_of_reference: np.ndarray,
    thresholds: tuple[float, ...] = THRESHOLDS,
    seed: int = 0,
) -> list[dict]:
    """Returns the shares of galaxies with D_i(model) - D_i(reference) ≥ t: Table 4.

    The comparison has no tolerance: galaxies of equal D_i count at t = 0, so a model
    has a share of 1 beside itself. Where both D_i are float noise, so is that share.

    Args:
        distance_of_model: ``[n]``, D_i of each galaxy.
        distance_of_reference: ``[n]``, of the same galaxies in the same order.
        thresholds: t, in units of vote fractions.
        seed: the same galaxies are drawn for every threshold.

    Returns:
        JSON-ready, ``{"threshold", "share", "low", "high"}`` for each threshold.
    """
    check_one_shape(distance_of_model, distance_of_reference)
    difference = np.subtract(distance_of_model, distance_of_reference, dtype=np.float64)
    rows = []
    for t in thresholds:
        share, low, high = bootstrap_mean(difference >= t, seed=seed)
        rows.append({"threshold": t, "share": share, "low": low, "high": high})
    return rows
