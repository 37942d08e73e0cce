"""Describes decision trees as data.

In: questions as JSON. Out: a ``Tree``. ``TREES`` holds those that ``config.tree`` can
name.
"""

from gzjax.trees.base import Question, Tree
from gzjax.trees.gz2 import GZ2

TREES = {tree.name: tree for tree in (GZ2,)}

__all__ = ["GZ2", "TREES", "Question", "Tree"]
