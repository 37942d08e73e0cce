"""Trees from files: what is written is what is asked, and every mistake is located."""

import copy
import json
import re

import pytest

from gzjax.errors import UserError
from gzjax.trees import GZ2, Question, Tree
from gzjax.trees.tree_file import find_tree, read_tree

GOOD = {
    "name": "mine",
    "questions": [
        {"name": "shape", "answers": ["smooth", "featured"]},
        {"name": "bar", "answers": ["yes", "no"], "asked_after": ["shape.featured"]},
    ],
    "columns": {"shape.smooth": "frac_smooth"},
}
QUESTIONS = (
    Question("shape", ("smooth", "featured")),
    Question("bar", ("yes", "no"), ("shape.featured",)),
)


def write(folder, content):
    text = content if isinstance(content, str) else json.dumps(content)
    (folder / "tree.json").write_text(text)
    return folder / "tree.json"


def changed(**changes):
    """A copy of GOOD; ``questions__1__answers`` is a path in it."""
    content = copy.deepcopy(GOOD)
    for path, value in changes.items():
        *parents, last = [int(k) if k.isdecimal() else k for k in path.split("__")]
        place = content
        for key in parents:
            place = place[key]
        place[last] = value
    return content


def test_file_is_the_tree_and_partial_columns_are_completed(tmp_path):
    columns = ("frac_smooth", "shape.featured", "bar.yes", "bar.no")
    assert read_tree(write(tmp_path, GOOD)) == Tree("mine", QUESTIONS, columns)
    plain = {key: GOOD[key] for key in ("name", "questions")}
    assert read_tree(write(tmp_path, plain)) == Tree("mine", QUESTIONS)


def test_a_name_or_a_file_is_found(tmp_path):
    assert find_tree("gz2") is GZ2
    assert find_tree(str(write(tmp_path, GOOD))).name == "mine"


def test_gz2_survives_the_format(tmp_path):
    fields = GZ2.to_dict()
    fields["columns"] = dict(zip(GZ2.answer_names, GZ2.columns, strict=True))
    assert read_tree(write(tmp_path, fields)) == GZ2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            '{"name": "x",\n "questions": [}',
            "tree.json cannot be read: Expecting value: line 2 column 16",
        ),
        ('{"name": "a", "name": "b"}', "key 'name' is there twice"),
        ("[1]", "the tree must be an object, not [1]"),
        ({"name": "x"}, "the tree has no 'questions'"),
        (changed(nam="x"), "the tree: unknown key 'nam'; nearest: 'name'"),
        (changed(name=3), "'name' must be a text, not 3"),
        (changed(name=" x"), "'name' must be a text of one line without spaces"),
        (changed(questions={}), "'questions' must be a list, not {}"),
        (changed(questions__0="bar"), 'question 1 must be an object, not "bar"'),
        (changed(questions__1__name="b.r"), "question 'b.r' has a dot in its name"),
        (
            changed(questions__1__answer=[]),
            "question 'bar': unknown key 'answer'; nearest: 'answers'",
        ),
        (
            changed(questions__1__answers=["yes", 0]),
            "question 'bar': each of 'answers' must be a text, not 0",
        ),
        (
            changed(questions__1__asked_after="shape.featured"),
            "question 'bar': 'asked_after' must be a list",
        ),
        (
            changed(questions__1__asked_after=["shape.feature"]),
            "'shape.feature', which is unknown; nearest: 'shape.featured'",
        ),
        (
            changed(columns={"shape.smoth": "x"}),
            "'columns': no answer 'shape.smoth'; nearest: 'shape.smooth'",
        ),
        (changed(columns={"bar.no": 1}), "the column of 'bar.no' must be a text"),
        (
            changed(columns={"bar.no": "bar.yes"}),
            "'bar.yes' and 'bar.no' have one column, 'bar.yes'",
        ),
    ],
)
def test_mistakes_name_the_file_the_key_and_the_nearest(content, message, tmp_path):
    path = write(tmp_path, content)
    with pytest.raises(UserError, match=re.escape(message)) as error:
        read_tree(path)
    assert str(error.value).startswith(str(path))


def test_what_is_not_there_or_no_text_is_said(tmp_path):
    with pytest.raises(
        UserError, match=r"none\.json cannot be read: No such file.*: gz2"
    ):
        find_tree(str(tmp_path / "none.json"))
    with pytest.raises(UserError, match=r"'gz9'; there are: gz2; or give the path"):
        find_tree("gz9")
    (tmp_path / "tree.json").write_bytes(b'{"name": "\xff"}')
    with pytest.raises(UserError, match="can't decode byte 0xff in position 10"):
        read_tree(tmp_path / "tree.json")


def test_tree_whose_predictions_fit_no_table_is_refused_before_training(tmp_path):
    path = write(tmp_path, changed(questions__1__answers=["a b", "a-b"]))
    with pytest.raises(UserError, match=r"tree\.json .*would be called bar_a_b"):
        find_tree(str(path))
