"""What a page is made of: templates, curves of resumed runs, trees, chosen galaxies."""

import numpy as np
import pytest

from gzjax.errors import UserError
from gzjax.evaluation.report.galaxies import (
    extremes,
    galaxy_errors,
    telling_galaxies,
    votes_on_tree,
)
from gzjax.evaluation.report.page import breakable, data_uri, environment, show
from gzjax.evaluation.report.pictures import draw_learning, draw_questions
from gzjax.training.curves import read_curves
from gzjax.trees import GZ2, Question, Tree

TREE = Tree(
    "small",
    (
        Question("shape", ("round", "long")),
        Question("tilt_angle", ("low", "high"), ("shape.long",)),
        Question("tip", ("sharp", "blunt"), ("tilt_angle.high",)),
    ),
)


MACROS = environment().get_template("macros.html").module


def test_names_may_be_broken_behind_their_parts():
    assert breakable("a.b_c/d_<") == "a.<wbr/>b_<wbr/>c/<wbr/>d_&lt;"


@pytest.mark.parametrize(
    ("value", "form", "text"),
    [
        (None, ".4f", "–"),
        ("a", ".4f", "a"),
        (1234, ",", "1,234"),
        (0.5, ".1%", "50.0%"),
        ((0.5, 0.25, 1.0), ".1f", "0.5 (0.2 – 1.0)"),
    ],
)
def test_cells(value, form, text):
    assert show(value, form) == text


def test_images_say_what_they_are():
    assert data_uri(b"\x89PNG") == "data:image/png;base64,iVBORw=="
    assert data_uri(b"\xff\xd8") == "data:image/jpeg;base64,/9g="


def test_a_resumed_run_replaces_what_came_after(tmp_path):
    path = tmp_path / "metrics.jsonl"
    assert read_curves(path) == {}
    path.write_text(
        '{"step": 1, "a": 0.1}\n{"step": 1, "b": 5}\n{"step": 2, "a": 0.2}\n'
        '{"step": 3, "a": 0.3}\n{"step": 2, "a": 0.25}\n{"step": 4, "a": 0.4}\n'
        '[]\n5\n{"step": "x", "a": 1}\n{"step": 9, "a": "x"}\n{"step": 9, "a": NaN}\n'
        f'{"[" * 10**5}\n{{"step": 1{"0" * 400}, "a": 1}}\n{{"step": 5, "a'
    )
    assert read_curves(path) == {"a": [(1, 0.1), (2, 0.25), (4, 0.4)], "b": [(1, 5)]}
    path.unlink()
    path.mkdir()
    with pytest.raises(UserError, match=r"metrics\.jsonl cannot be read"):
        read_curves(path)


def test_worst_and_best_do_not_overlap():
    errors = galaxy_errors(np.array([[0.0, 0], [0.6, 0.8], [0.1, 0]]), np.zeros((3, 2)))
    np.testing.assert_allclose(errors, [0, np.sqrt(0.5), 0.1 / np.sqrt(2)])
    worst, best = extremes(errors, 6)
    assert (worst.tolist(), best.tolist()) == ([1], [0])
    worst, best = extremes(np.array([0.3, 0.1, 0.2, 0.4, 0.0]), 2)
    assert (worst.tolist(), best.tolist()) == ([3, 0], [4, 1])
    assert [x.tolist() for x in extremes(np.array([0.5]), 6)] == [[0], [0]]


def test_galaxies_that_tell_most_of_the_answers():
    targets = np.zeros((4, 37))
    targets[2, :2], targets[1, 8] = 0.9, 0.4
    answers = [GZ2.answer_names[i] for i in (0, 1, 8)]
    assert telling_galaxies(targets, GZ2, answers) == [2, 1]
    assert telling_galaxies(targets, GZ2, []) == []


def test_tree_branches_where_the_questions_do():
    observed = np.array([0.2, 0.8, 0.75, 0.05, 0.0, 0.05])
    predicted = np.array([0.9, 0.1, 0.04, 0.06, 0.06, 0.0])
    (shape,) = votes_on_tree(observed, predicted, TREE)
    round_, long = shape["answers"]
    assert round_["questions"] == []
    (angle,) = long["questions"]
    assert angle["name"] == "tilt angle"
    low, high = angle["answers"]
    assert (low["name"], low["observed"], low["predicted"]) == ("low", 0.75, 0.04)
    # Hardly asked.
    assert (low["questions"], high["questions"]) == (
        [],
        [{"name": "tip", "answers": []}],
    )
    drawn = MACROS.tree([shape])
    texts = ("round", "long", "tilt angle", "low", "high", "tip: hardly asked")
    order = [drawn.index(x) for x in texts]
    assert order == sorted(order)
    assert "sharp" not in drawn
    assert "0.75 / 0.04" in drawn
    assert drawn.index("width:75.0%") < drawn.index("width:4.0%")


def test_bars_stay_in_their_box():
    assert "width:0.0%" in MACROS.bar("predicted", -0.2)
    assert "width:100.0%" in MACROS.bar("predicted", 1.2)


def test_tree_of_a_question_with_two_parents_has_it_once():
    tree = Tree(
        "two parents",
        (
            Question("a", ("x", "y", "z")),
            Question("b", ("u", "v"), ("a.x", "a.y")),
        ),
    )
    (a,) = votes_on_tree(np.array([0.3, 0.3, 0.4, 0.3, 0.3]), np.full(5, 0.3), tree)
    below = [[q["name"] for q in answer["questions"]] for answer in a["answers"]]
    assert below == [["b"], [], []]


@pytest.mark.parametrize("name", ["$x_{$", "_hidden", "é\n🌌", "n" * 300])
def test_pictures_take_any_name(name):
    curve = [(step, 0.5 / (1 + step)) for step in range(300)]
    png = draw_learning([curve, curve[:3]], [name, "b"], "loss")
    assert png == draw_learning([curve, curve[:3]], [name, "b"], "loss")
    assert png != draw_learning([curve, curve[:3]], ["another", "b"], "loss")


def test_bars_of_many_runs_and_of_a_question_that_matters_for_none():
    few, many = (
        draw_questions(
            {"shape": [0.1] * n, "tilt_angle": [0.2] * n, "tip": [None] * n},
            [str(i) for i in range(n)],
            "RMSE",
        )
        for n in (2, 18)
    )
    heights = [int.from_bytes(png[20:24]) for png in (few, many)]
    assert heights[1] > heights[0] + 16 * 3 * 10  # every bar has its place
