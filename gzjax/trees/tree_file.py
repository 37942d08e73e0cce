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
everybody is asked. ``columns`` says what the label table calls an answer; one that is
not among them is called by its full name, ``"shape.featured"``.
"""

import dataclasses
import difflib
import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from gzjax.errors import UserError
from gzjax.files import read_bytes
from gzjax.trees import TREES
from gzjax.trees.base import Question, Tree
from gzjax.trees.names import check_column_names

_MAX_BYTES = 1 << 20
_TREE_KEYS = ("name", "questions", "columns")
_QUESTION_KEYS = ("name", "answers", "asked_after")
_KINDS = {dict: "an object", list: "a list", str: "a text"}


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
        f"config.tree is '{name}'; there are: {', '.join(TREES)}; or give the path of "
        "a .json file"
    )


def read_tree(path: str | Path) -> Tree:
    """Reads a tree, and checks all of it.

    Args:
        path: of a JSON file as above.

    Raises:
        UserError: names the file, and in it the key or the name at fault (with the
            nearest right one), or the line and column where it is no JSON.
    """
    path = Path(path).expanduser()
    try:
        return _make_tree(_load(path))
    except json.JSONDecodeError as error:
        raise UserError(
            f"{path}, line {error.lineno}, column {error.colno}: not JSON: {error.msg}"
        ) from error
    except FileNotFoundError as error:
        raise UserError(
            f"{path}: there is no such file; give the path of a tree's .json file, or "
            f"one of: {', '.join(TREES)}"
        ) from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: {error}") from error


def _load(path: Path) -> Any:
    try:
        text = read_bytes(path, _MAX_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 text: byte {error.start}") from error
    return json.loads(text, object_pairs_hook=_without_repeats)


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict:
    content: dict[str, Any] = {}
    for key, value in pairs:
        if key in content:  # Python would silently take the last of them
            raise ValueError(f"key '{key}' is there twice in one object")
        content[key] = value
    return content


def _make_tree(fields: Any) -> Tree:
    _check_keys(fields, "the tree", _TREE_KEYS, ("name", "questions"))
    name = _text(fields["name"], "'name'")
    questions = tuple(
        _make_question(question, f"question {number}")
        for number, question in enumerate(_list(fields["questions"], "'questions'"), 1)
    )
    _check_answers(questions)
    tree = Tree(name, questions)  # checked; its columns are the answers' names
    given = fields.get("columns", {})
    _check_type(given, dict, "'columns'")
    for answer, column in given.items():
        _check_known(answer, tree.answer_names, "'columns': no answer")
        _text(column, f"'columns': the column of '{answer}'")
    columns = tuple(given.get(answer, answer) for answer in tree.answer_names)
    for i, column in enumerate(columns):
        if column in columns[:i]:
            both = tree.answer_names[columns.index(column)], tree.answer_names[i]
            raise ValueError(
                f"'columns': '{both[0]}' and '{both[1]}' have one column, '{column}'"
            )
    check_column_names(tree)  # better reported before a training than after it
    return dataclasses.replace(tree, columns=columns)


def _make_question(fields: Any, where: str) -> Question:
    _check_type(fields, dict, where)
    if isinstance(fields.get("name"), str):
        where = f"question '{fields['name']}'"
    _check_keys(fields, where, _QUESTION_KEYS, ("name", "answers"))
    answers, after = (
        tuple(
            _text(text, f"{where}: each of '{key}'")
            for text in _list(fields.get(key, []), f"{where}: '{key}'")
        )
        for key in ("answers", "asked_after")
    )
    return Question(_text(fields["name"], f"{where}: 'name'"), answers, after)


def _check_answers(questions: tuple[Question, ...]) -> None:
    """What the tree itself cannot say as well: the nearest answers there are."""
    known = [f"{q.name}.{answer}" for q in questions for answer in q.answers]
    for question in questions:
        for parent in question.asked_after:
            where = f"question '{question.name}': 'asked_after': no answer"
            _check_known(parent, known, where)


def _check_keys(
    fields: Any, where: str, known: tuple[str, ...], needed: tuple[str, ...]
) -> None:
    _check_type(fields, dict, where)
    for key in fields:
        _check_known(key, known, f"{where}: unknown key")
    for key in needed:
        if key not in fields:
            raise ValueError(f"{where} has no '{key}'")


def _check_known(name: str, known: Collection[str], what: str) -> None:
    if name not in known:
        near = difflib.get_close_matches(name, known, 1)
        hint = f"nearest: '{near[0]}'" if near else f"there are: {', '.join(known)}"
        raise ValueError(f"{what} '{name}'; {hint}")


def _check_type(value: Any, kind: type, what: str) -> None:
    if not isinstance(value, kind):
        raise ValueError(f"{what} must be {_KINDS[kind]}, not {json.dumps(value)[:60]}")


def _list(value: Any, what: str) -> list:
    _check_type(value, list, what)
    return value


def _text(value: Any, what: str) -> str:
    _check_type(value, str, what)
    if not value.strip() or value != value.strip() or not value.isprintable():
        raise ValueError(
            f"{what} must be a text of one line without spaces around it, not "
            f"{json.dumps(value)[:60]}"
        )
    return value
