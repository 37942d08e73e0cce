"""The checkpoints of a run, by Orbax, which nothing else here knows of."""

from gzjax.training.checkpoint.checkpoints import Checkpoints

__all__ = ["Checkpoints"]
