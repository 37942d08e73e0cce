"""Scores from predictions alone, NumPy in float64 on the host."""

from gzjax.metrics.vote_errors import (
    baseline,
    dead_questions,
    rmse,
    rotation_distances,
    scores,
)

__all__ = ["baseline", "dead_questions", "rmse", "rotation_distances", "scores"]
