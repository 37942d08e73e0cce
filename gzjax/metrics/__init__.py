"""Scores predictions.

In: predictions and targets, NumPy arrays. Out: numbers, JSON-ready, from sums in
float64 that are divided once, at the end.
"""

from gzjax.metrics.vote_errors import (
    baseline,
    dead_questions,
    rmse,
    rotation_distances,
    scores,
)

__all__ = ["baseline", "dead_questions", "rmse", "rotation_distances", "scores"]
