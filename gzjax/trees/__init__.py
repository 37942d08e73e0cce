"""Decision trees as data; ``TREES`` is what ``config.tree`` names."""

from gzjax.trees.base import Question, Tree
from gzjax.trees.gz2 import GZ2

TREES = {tree.name: tree for tree in (GZ2,)}

__all__ = ["GZ2", "TREES", "Question", "Tree"]
