"""The checkpoints of a run, by Orbax, which nothing else here knows of."""

from gzjax.checkpoint.checkpoints import Checkpoints

__all__ = ["Checkpoints"]
