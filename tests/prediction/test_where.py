"""Cuts: what they keep, and where they are refused."""

import numpy as np
import pytest

from gzjax.errors import UserError
from gzjax.prediction.tables.formats import NUMBER, TEXT, Column
from gzjax.prediction.tables.where import parse_where

COLUMNS = (
    Column("flag", TEXT, ""),
    Column("morphology", TEXT, ""),
    Column("bar_yes_fraction", NUMBER, ""),
    Column("edge_on_asked", NUMBER, ""),
    Column("odd_yes", NUMBER, ""),
)
NAN = np.nan
CHUNK = {
    "flag": np.array(["ok", "ok", "ok", "unreadable"]),
    "morphology": np.array(["face-on, barred", "smooth, round", "edge-on", ""]),
    "bar_yes_fraction": np.array([0.7, 0.2, 0.6, NAN]),
    "edge_on_asked": np.array([0.9, 0.5, 0.1, NAN]),
    "odd_yes": np.array([0.5, 0.0, 0.3, NAN]),
}


def kept(text):
    rows = parse_where(text, COLUMNS)(CHUNK)
    assert (rows.dtype, rows.shape) == (bool, (4,))
    return np.flatnonzero(rows).tolist()


def refusal(text):
    with pytest.raises(UserError) as caught:
        parse_where(text, COLUMNS)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("bar_yes_fraction > 0.6", [0]),
        ("bar_yes_fraction >= 0.6", [0, 2]),
        ("bar_yes_fraction < 0.6", [1]),
        ("bar_yes_fraction <= 0.6", [1, 2]),
        ("edge_on_asked == 0.5", [1]),
        ("edge_on_asked != 0.5", [0, 2]),
        ("0.2 < bar_yes_fraction < 0.7", [2]),
        ("not 0.2 < bar_yes_fraction < 0.7", [0, 1]),
        ("bar_yes_fraction - odd_yes > 2 * .1 and edge_on_asked / 2 > 0.4", []),
        ("-bar_yes_fraction + 1 < 0.5", [0, 2]),
        ("odd_yes * 2 >= 1", [0]),
        ("flag == 'ok' and odd_yes < 0.4", [1, 2]),
        ("'barred' in morphology", [0]),
        ("'barred' not in morphology", [1, 2, 3]),
        ("not 'barred' in morphology", [1, 2, 3]),
        ('morphology == "smooth, round" or morphology == ""', [1, 3]),
        ("flag != 'ok'", [3]),
        (r"'\d' in morphology", []),  # Python warns of such escapes
        ("bar_yes_fraction > 0.6 or edge_on_asked < 0.2 and odd_yes > 0.4", [0]),
        ("(bar_yes_fraction > 0.6 or edge_on_asked < 0.2) and odd_yes > 0.4", [0]),
        ("(bar_yes_fraction > .6 or edge_on_asked < .2) and odd_yes < .4", [2]),
        ("1 > 0", [0, 1, 2, 3]),
        ("odd_yes > 1 / 0", []),
        (" flag == 'ok'\n and odd_yes < 0.4 ", [1, 2]),
        (
            "bar_yes_fraction > 0.6 and edge_on_asked >= 0.5 and not odd_yes > 0.4 "
            "or flag == 'ok'",
            [0, 1, 2],
        ),
    ],
)
def test_keeps(text, rows):
    assert kept(text) == rows


@pytest.mark.parametrize("op", ["<", "<=", ">", ">=", "==", "!="])
def test_a_comparison_with_nan_is_false_and_so_is_its_opposite(op):
    rows = kept(f"odd_yes {op} 0.3")
    opposite = kept(f"not odd_yes {op} 0.3")
    assert sorted(rows + opposite) == [0, 1, 2]
    assert 3 not in kept(f"not (flag == 'ok' or odd_yes {op} 0.3)")
    assert kept(f"not not odd_yes {op} 0.3") == rows
    assert kept("odd_yes / 0 == odd_yes / 0") == [0, 2]  # inf; 0 / 0 is none


def test_opposite_of_and_is_or_of_opposites():
    assert kept("not (odd_yes < 0.4 and edge_on_asked < 0.2)") == [0, 1]
    assert kept("not (odd_yes > 0.4 or edge_on_asked < 0.2)") == [1]


def test_one_condition_cuts_chunks_of_any_length():
    condition = parse_where("odd_yes < 0.4", COLUMNS)
    assert condition({"odd_yes": np.array([0.1])}).tolist() == [True]
    assert condition({"odd_yes": np.zeros(0)}).shape == (0,)


@pytest.mark.parametrize(
    ("text", "at", "problem"),
    [
        ("bar_yes_fracton > 0.6", "bar_yes_f", r"no column .*near: bar_yes_fraction"),
        ("'é' in morphology and q7 > 1", "q7", r"no column 'q7' \(they are flag,"),
        ("odd_yes", "odd_yes", "comparison is wanted"),
        ("odd_yes > 1 and 'text'", "'text'", "comparison is wanted"),
        ("__import__('os').remove('x')", "__import__", "comparison is wanted"),
        ("odd_yes > exit()", "exit", "cannot be compared; there are columns"),
        ("odd_yes.real > 1", "odd_yes", "cannot be compared"),
        ("flag[0] == 'o'", "flag", "cannot be compared"),
        ("odd_yes ** 9 > 1", "odd_yes", "cannot be compared"),
        ("odd_yes > True", "True", "cannot be compared"),
        ("odd_yes > 1j", "1j", "cannot be compared"),
        ("(odd_yes > 1) > 2", "odd_yes", "cannot be compared"),
        ("flag == 1", "1", "text is compared with a number"),
        ("odd_yes > '0.5'", "'0.5'", "number is compared with text"),
        ("flag > 'ok'", "'ok'", "text can be compared by =="),
        ("odd_yes in 1", "1", "a number can be compared by <"),
        ("odd_yes is 1", "1", "a number can be compared by <"),
        ("not flag < 'ok'", "'ok'", "text can be compared by =="),
        ("flag + 'x' == 'okx'", "flag", "calculated"),
        (f"odd_yes > {'9' * 400}", "9", "too large"),
        ("odd_yes = 1", "= 1", "equality is =="),
        ("flag == 'ok' AND odd_yes > 1", "AND", "small letters"),
        ("odd_yes > 1)", ")", "unmatched"),
    ],
)
def test_refuses_and_shows_the_place(text, at, problem):
    first_line, shown, caret = refusal(text).split("\n")
    assert shown == f"  {text}"
    assert caret.index("^") - 2 == text.index(at)
    with pytest.raises(UserError, match=problem):
        parse_where(text, COLUMNS)
    assert first_line.startswith("--where: ")


@pytest.mark.parametrize(
    "text",
    ["", " ", "odd_yes >", "a\0b", "\udcff", "odd_yes > " + "9" * 5000,
     "not " * 5000 + "odd_yes > 1", "(" * 300, "-" * 5000 + "1 > 0"],
)  # fmt: skip
def test_what_python_cannot_read_is_refused_without_a_traceback(text):
    assert refusal(text).startswith("--where: ")
