"""Keeps the checkpoints of a run. Nothing else knows of Orbax."""

from gzjax.training.checkpoint.checkpoints import Checkpoints

__all__ = ["Checkpoints"]
