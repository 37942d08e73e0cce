"""The decision tree: the published layout, and wrong trees named."""

import itertools
import json

import pytest

from gzjax.trees import GZ2, Question, Tree


def test_gz2_has_the_published_columns():
    bounds = [0, 3, 5, 7, 9, 13, 15, 18, 25, 28, 31, 37]
    assert [(s.start, s.stop) for s in GZ2.slices] == list(itertools.pairwise(bounds))
    assert GZ2.columns[0] == "Class1.1"
    assert GZ2.columns[17:19] == ("Class7.3", "Class8.1")
    assert GZ2.columns[-1] == "Class11.6"
    assert GZ2.answer_names[36] == "arm_count.cannot_tell"


def test_gz2_parents_are_the_published_ones():
    always, disk, face_on, spiral = (), (1,), (4,), (7,)
    first_five = (always, disk, face_on, face_on, face_on)
    assert GZ2.parents == (*first_five, always, (0,), (13,), (3,), spiral, spiral)


def test_tree_survives_json():
    assert Tree.from_dict(json.loads(json.dumps(GZ2.to_dict()))) == GZ2


ROOT = Question("root", ("a", "b", "c"))


def test_several_exclusive_parents_are_allowed():
    child = Question("child", ("x", "y"), ("root.a", "root.b"))
    grandchild = Question("last", ("x", "y"), ("child.x", "root.c"))
    assert Tree("t", (ROOT, child, grandchild)).parents == ((), (0, 1), (3, 2))


@pytest.mark.parametrize(
    ("questions", "offender"),
    [
        ((), "there is no question"),
        ((ROOT, ROOT), "'root' is there twice"),
        ((Question("one", ("a",)),), "'one' needs two or more"),
        ((Question("twin", ("a", "a")),), "'twin' needs two or more"),
        ((ROOT, Question("q", ("x", "y"), ("root.z",))), "'root.z', which is unknown"),
        (
            (Question("q", ("x", "y"), ("root.a",)), ROOT),
            "'root.a', which is asked later",
        ),
        (
            (
                ROOT,
                Question("p", ("x", "y"), ("root.a",)),
                Question("q", ("x", "y"), ("root.a", "p.x")),
            ),
            "'root.a' and 'p.x'",
        ),
    ],
)
def test_wrong_tree_names_the_offender(questions, offender):
    with pytest.raises(ValueError, match=offender):
        Tree("t", questions)


def test_wrong_columns_are_refused():
    with pytest.raises(ValueError, match="3 answers need as many columns, not 2"):
        Tree("t", (ROOT,), ("A", "B"))
    with pytest.raises(
        ValueError, match=r"'root\.a' and 'root\.c' have one column, 'A'"
    ):
        Tree("t", (ROOT,), ("A", "B", "A"))
