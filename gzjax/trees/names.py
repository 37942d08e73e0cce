"""The names that a tree gives to the columns of a table of predictions."""

import re
from collections import Counter

from gzjax.errors import first_few
from gzjax.trees.base import Tree


def safe_name(text: str) -> str:
    """``text`` as part of a name that Python, and queries of tables, can read."""
    return re.sub(r"\W", "_", text)


def check_column_names(tree: Tree) -> None:
    """Raises a ValueError if two columns of a table would have the same name."""
    names = ["name", "flag", "morphology"]
    for question in tree.questions:
        names.append(f"{safe_name(question.name)}_asked")
        for answer in question.answers:
            name = f"{safe_name(question.name)}_{safe_name(answer)}"
            names += [name, f"{name}_fraction", f"{name}_spread"]
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise ValueError(
            f"tree '{tree.name}': several columns would be called {first_few(twice)}"
        )
