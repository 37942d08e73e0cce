"""What a page is made of: elements, curves of resumed runs, trees, chosen galaxies."""

import numpy as np
import pytest

from gzjax.evaluation.report.galaxies import (
    draw_tree,
    galaxy_errors,
    telling_galaxies,
    worst_and_best,
)
from gzjax.evaluation.report.html import Html, element, image, table
from gzjax.evaluation.report.run_report import read_curves
from gzjax.evaluation.report.score_pictures import draw_learning, draw_questions
from gzjax.trees import GZ2, Question, Tree

TREE = Tree(
    "small",
    (
        Question("shape", ("round", "long")),
        Question("tilt_angle", ("low", "high"), ("shape.long",)),
        Question("tip", ("sharp", "blunt"), ("tilt_angle.high",)),
    ),
)


def test_everything_but_elements_is_escaped():
    inner = element("b", '<"&>', title='a"b<')
    assert inner == '<b title="a&quot;b&lt;">&lt;&quot;&amp;&gt;</b>'
    assert element("p", inner, "<", 3) == f"<p>{inner}&lt;3</p>"
    assert element("img", alt="", width=None, aria_label="x") == (
        '<img alt="" aria-label="x">'
    )
    assert "<i>" not in table("<i>", ["<i>"], [["<i>", "<i>"]])
    assert Html("<hr>") in table("c", ["h"], [["r", Html("<hr>")]])


def test_images_say_what_they_are():
    assert 'src="data:image/png;base64,iVBORw==' in image(b"\x89PNG", "a")
    assert 'src="data:image/jpeg;base64,/9g=' in image(b"\xff\xd8", "a")


def test_a_resumed_run_replaces_what_came_after(tmp_path):
    path = tmp_path / "metrics.jsonl"
    assert read_curves(path) == {}
    path.write_text(
        '{"step": 1, "a": 0.1}\n{"step": 1, "b": 5}\n{"step": 2, "a": 0.2}\n'
        '{"step": 3, "a": 0.3}\n{"step": 2, "a": 0.25}\n{"step": 4, "a": 0.4}\n'
        '{"step": 5, "a'
    )
    assert read_curves(path) == {"a": [(1, 0.1), (2, 0.25), (4, 0.4)], "b": [(1, 5)]}


def test_worst_and_best_do_not_overlap():
    errors = galaxy_errors(np.array([[0.0, 0], [0.6, 0.8], [0.1, 0]]), np.zeros((3, 2)))
    np.testing.assert_allclose(errors, [0, np.sqrt(0.5), 0.1 / np.sqrt(2)])
    worst, best = worst_and_best(errors, 6)
    assert (worst.tolist(), best.tolist()) == ([1], [0])
    worst, best = worst_and_best(np.array([0.3, 0.1, 0.2, 0.4, 0.0]), 2)
    assert (worst.tolist(), best.tolist()) == ([3, 0], [4, 1])
    assert [x.tolist() for x in worst_and_best(np.array([0.5]), 6)] == [[0], [0]]


def test_galaxies_that_tell_most_of_the_answers():
    targets = np.zeros((4, 37))
    targets[2, :2], targets[1, 8] = 0.9, 0.4
    answers = [GZ2.answer_names[i] for i in (0, 1, 8)]
    assert telling_galaxies(targets, GZ2, answers) == [2, 1]
    assert telling_galaxies(targets, GZ2, []) == []


def test_tree_branches_where_the_questions_do():
    observed = np.array([0.2, 0.8, 0.75, 0.05, 0.0, 0.05])
    predicted = np.array([0.9, 0.1, 0.04, 0.06, 0.06, 0.0])
    drawn = draw_tree(observed, predicted, TREE)
    # Below "long", its question; below "high", one that is hardly asked.
    order = [drawn.index(x) for x in ("round", "long", "tilt angle", "low", "high",
                                      "tip: hardly asked")]  # fmt: skip
    assert order == sorted(order)
    assert "sharp" not in drawn
    assert "0.75 / 0.04" in drawn
    assert drawn.index("width:75.0%") < drawn.index("width:4.0%")

    def depth(text):
        before = drawn[: drawn.index(text)]
        return before.count("<ul") - before.count("</ul")

    depths = ("shape", "long", "tilt angle", "high", "tip:")
    assert [depth(x) for x in depths] == [1, 2, 3, 4, 5]


def test_tree_of_a_question_with_two_parents_has_it_once():
    tree = Tree(
        "two parents",
        (
            Question("a", ("x", "y", "z")),
            Question("b", ("u", "v"), ("a.x", "a.y")),
        ),
    )
    drawn = draw_tree(np.array([0.3, 0.3, 0.4, 0.3, 0.3]), np.full(5, 0.3), tree)
    assert drawn.count(">b<") == 1


@pytest.mark.parametrize("name", ["$x_{$", "_hidden", "é\n🌌", "n" * 300])
def test_pictures_take_any_name(name):
    curve = [(step, 0.5 / (1 + step)) for step in range(300)]
    png = draw_learning([curve, curve[:3]], [name, "b"], "loss")
    assert png == draw_learning([curve, curve[:3]], [name, "b"], "loss")
    assert png != draw_learning([curve, curve[:3]], ["another", "b"], "loss")


class Run:
    """As much of a run as bars need; a question matters for no galaxy."""

    def __init__(self, name):
        questions = {"shape": 0.1, "tilt_angle": 0.2, "tip": None}
        whole = {"questions": questions}
        self.name, self.tree = name, TREE
        self.scores = {
            "conditional": {"model": whole, "training_mean": whole,
                            "shares": {"shape": 1.0, "tilt_angle": 0.5, "tip": 0.0}},
        }  # fmt: skip


def test_bars_of_many_runs_and_of_a_question_that_matters_for_none():
    few, many = (
        draw_questions([Run(str(i)) for i in range(n)], conditional=True)
        for n in (1, 17)
    )
    heights = [int.from_bytes(png[20:24]) for png in (few, many)]
    assert heights[1] > heights[0] + 16 * 3 * 10  # every bar has its place
