"""Scores from predictions alone, NumPy in float64 on the host."""

from gzjax.metrics.vote_errors import baseline, rmse, rotation_distances, scores

__all__ = ["baseline", "rmse", "rotation_distances", "scores"]
