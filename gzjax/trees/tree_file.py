"""A survey's own decision tree, read from a JSON file.

::

    {
      "name": "mysurvey",
      "questions": [
        {"name": "shape", "answers": ["smooth", "featured"]},
        {"name": "bar", "answers": ["yes", "no"], "asked_after": ["shape.featured"]}
      ],
      "columns": {"shape.smooth": "frac_smooth"}
    }

``asked_after`` lists the answers any one of which leads to a question; without it
everybody is asked. ``columns`` says what the label table calls an answer, if not by its
full name, ``"shape.featured"``.
"""

import dataclasses
import json
import re
from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import Any

from gzjax.errors import UserError, first_few, nearest
from gzjax.files import read_json
from gzjax.trees import TREES
from gzjax.trees.base import Question, Tree

_MAX_BYTES = 1 << 20
_KINDS: dict[type, str] = {dict: "an object", list: "a list", str: "a text"}


def find_tree(name: str) -> Tree:
    """Returns the tree of that name in ``TREES``, or reads it from a ``.json`` file.

    Raises:
        UserError: there is no such tree, or the file is wrong.
    """
    if name in TREES:
        return TREES[name]
    if name.lower().endswith(".json"):
        return read_tree(name)
    raise UserError(
        f"the tree is '{name}'; there are: {', '.join(TREES)}; or give the path of a "
        ".json file as --tree (train: --config.tree)"
    )


def read_tree(path: str | Path) -> Tree:
    """Reads a tree from a JSON file as above, and checks all of it.

    Raises:
        UserError: names the file, and the key or the name at fault with the nearest
            valid one, or the line and column where it is not JSON.
    """
    what_to_do = f"correct the file, or choose one of: {', '.join(TREES)}"
    return read_json(Path(path).expanduser(), what_to_do, _make_tree, _MAX_BYTES)


def _make_tree(fields: Any) -> Tree:
    _check_keys(fields, "the tree", ("name", "questions"), "columns")
    name = _text(fields["name"], "'name'")
    listed = _of_type(fields["questions"], list, "'questions'")
    questions = tuple(
        _make_question(question, f"question {number}")
        for number, question in enumerate(listed, 1)
    )
    tree = Tree(name, questions)  # whose columns are the names of the answers
    given = _of_type(fields.get("columns", {}), dict, "'columns'")
    for answer, column in given.items():
        _check_known(answer, tree.answer_names, "'columns': no answer")
        _text(column, f"'columns': the column of '{answer}'")
    columns = tuple(given.get(answer, answer) for answer in tree.answer_names)
    column_names(tree)  # better reported before a training than after it
    return dataclasses.replace(tree, columns=columns)


def _make_question(fields: Any, where: str) -> Question:
    _of_type(fields, dict, where)
    if isinstance(fields.get("name"), str):
        where = f"question '{fields['name']}'"
    _check_keys(fields, where, ("name", "answers"), "asked_after")
    answers, after = (
        tuple(
            _text(text, f"{where}: each of '{key}'")
            for text in _of_type(fields.get(key, []), list, f"{where}: '{key}'")
        )
        for key in ("answers", "asked_after")
    )
    return Question(_text(fields["name"], f"{where}: 'name'"), answers, after)


def _check_keys(
    fields: Any, where: str, needed: tuple[str, ...], optional: str
) -> None:
    _of_type(fields, dict, where)
    for key in fields:
        _check_known(key, (*needed, optional), f"{where}: unknown key")
    for key in needed:
        if key not in fields:
            raise ValueError(f"{where} has no '{key}'")


def _check_known(name: str, known: Collection[str], what: str) -> None:
    if name not in known:
        raise ValueError(f"{what} '{name}'; {nearest(name, known)}")


def _of_type(value: Any, kind: type, what: str) -> Any:
    if not isinstance(value, kind):
        raise ValueError(f"{what} must be {_KINDS[kind]}, not {json.dumps(value)[:60]}")
    return value


def _text(value: Any, what: str) -> str:
    text = _of_type(value, str, what)
    if not text or text != text.strip() or not text.isprintable():
        raise ValueError(
            f"{what} must be a text of one line without spaces around it, not "
            f"{json.dumps(text)[:60]}"
        )
    return text


def safe_name(text: str) -> str:
    """Returns ``text`` as part of a name that Python and queries of tables read."""
    return re.sub(r"\W", "_", text)


def column_names(tree: Tree) -> list[str]:
    """Returns the names of all columns of the table that ``predict`` writes.

    Raises:
        ValueError: two of them are the same.
    """
    names = ["name", "flag", "morphology", "unlike", "familiar", "resembles"]
    for question in tree.questions:
        names.append(f"{safe_name(question.name)}_asked")
        for answer in question.answers:
            name = f"{safe_name(question.name)}_{safe_name(answer)}"
            endings = ("", "_fraction", "_spread", "_low", "_high")
            names += [name + ending for ending in endings]
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise ValueError(
            f"tree '{tree.name}': several columns would be called {first_few(twice)}"
        )
    return names
