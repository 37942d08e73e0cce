"""The science table's columns and values, by hand."""

import numpy as np
import pytest

from gzjax.data.familiar.wrong_kinds import KINDS
from gzjax.data.images.read_image import OK
from gzjax.metrics.intervals import Intervals
from gzjax.prediction.table_columns import science_table, table_columns
from gzjax.trees import GZ2, Question, Tree
from gzjax.trees.morphology import morphology
from gzjax.trees.tree_file import column_names

TREE = Tree(
    "t",
    (
        Question("disk", ("yes", "no", "star")),
        Question("tail", ("one", "two"), ("disk.yes", "disk.no")),
    ),
    ("T1", "T2", "T3", "T4", "T5"),
)
VOTES = np.array([[0.5, 0.3, 0.2, 0.2, 0.6], [0.0, 0.0, 1.0, 0.0, 0.0]])


def draw(num_galaxies, tree=GZ2, seed=0):
    """Votes [n a] that agree with the tree."""
    rng, votes = np.random.default_rng(seed), np.zeros((num_galaxies, tree.num_answers))
    for here, parents in zip(tree.slices, tree.parents, strict=True):
        asked = votes[:, parents].sum(axis=1, keepdims=True) if parents else 1
        size = here.stop - here.start
        votes[:, here] = asked * rng.dirichlet(np.ones(size), num_galaxies)
    return votes


def table_of(votes, flags=None, spread=None, tree=TREE):
    names = [f"{i}.jpg" for i in range(len(votes))]
    return science_table(names, votes, spread, flags or [OK] * len(votes), tree)


def test_values_by_hand():
    table = table_of(VOTES, spread=VOTES / 10)
    assert table["name"].tolist() == ["0.jpg", "1.jpg"]
    assert table["flag"].tolist() == ["ok", "ok"]
    assert table["morphology"].tolist() == ["disk: yes, tail: two", "disk: star"]
    numbers = {
        "disk_asked": [1, 1],
        "disk_no": [0.3, 0],
        "disk_no_fraction": [0.3, 0],
        "disk_no_spread": [0.03, 0],
        "tail_asked": [0.8, 0],
        "tail_two": [0.6, 0],
        "tail_two_fraction": [0.75, np.nan],
        "tail_two_spread": [0.06, 0],
    }
    for name, expected in numbers.items():
        np.testing.assert_allclose(table[name], expected, atol=1e-12, err_msg=name)


def test_what_is_unlike_and_intervals_by_hand():
    intervals = Intervals([[0.5]] * 5, [[0.25]] * 5, [[0.75]] * 5)
    judged = np.array([[0.9, KINDS.index("text")], [0.2, 0]])
    table = science_table(["a", "b"], VOTES, None, [OK, OK], TREE, judged, intervals)
    assert table["familiar"].tolist() == [False, True]
    assert table["resembles"].tolist() == ["text", ""]
    assert table["disk_yes_low"].tolist() == [0.25, 0]
    assert table["disk_yes_high"].tolist() == [0.75, 0.75]
    table = science_table(["a", "b"], VOTES, None, ["empty", OK], TREE, judged)
    assert (table["familiar"][0], table["resembles"][0]) == (False, "")
    assert np.isnan(table["unlike"][0])


def test_columns_by_hand():
    names = ["name", "flag", "morphology", "unlike", "familiar", "resembles"]
    names += ["disk_asked", "disk_yes", "disk_yes_fraction", "disk_yes_spread"]
    names += ["disk_yes_low", "disk_yes_high", "disk_no"]
    columns = table_columns(TREE, with_spread=True, judged=True, with_intervals=True)
    assert [column.name for column in columns] == column_names(TREE)
    assert [column.name for column in columns[:13]] == names
    described = {column.name: column.description for column in columns}
    assert "P(disk.yes or disk.no)" in described["tail_asked"]
    assert "(T5)" in described["tail_two"]
    assert "P(answer | asked)" in described["tail_two_fraction"]
    assert "0.5" in described["morphology"]


@pytest.mark.parametrize(("with_spread", "count"), [(False, 88), (True, 125)])
def test_columns_are_those_of_the_table(with_spread, count):
    columns = table_columns(GZ2, with_spread)
    votes = draw(3)
    table = table_of(votes, spread=votes if with_spread else None, tree=GZ2)
    assert list(table) == [column.name for column in columns]
    assert len(columns) == count
    for column in columns:
        kind = {str: "U", float: "f"}[column.type]
        assert (table[column.name].dtype.kind, table[column.name].shape) == (kind, (3,))
        assert column.name.isidentifier()
        assert "\n" not in column.description


def test_fraction_of_those_asked_times_asked_is_the_fraction_of_all():
    votes = draw(50)
    table = table_of(votes, tree=GZ2)
    np.testing.assert_allclose(
        table["winding_loose_fraction"] * table["winding_asked"],
        table["winding_loose"],
        atol=1e-12,
    )
    loose = votes[:, GZ2.answer_names.index("winding.loose")]
    np.testing.assert_array_equal(table["winding_loose"], loose)
    np.testing.assert_array_equal(table["morphology"], morphology(votes, GZ2))


def test_fractions_add_up_to_1_where_votes_do_not_add_up_to_asked():
    votes = np.array([[0.5, 0.3, 0.3, 0.3, 0.6]])
    table = table_of(votes)
    assert table["tail_one_fraction"] == pytest.approx(0.3 / 0.9)
    disk = [table[f"disk_{answer}_fraction"] for answer in ("yes", "no", "star")]
    assert sum(disk) == pytest.approx(1)


def test_a_row_without_a_prediction_has_a_flag_and_nothing_else():
    votes = np.stack([VOTES[0], np.full(5, np.nan), VOTES[0]])
    flags = ["no such file", "not an image", OK]
    table = table_of(votes, flags, spread=votes)
    assert table.pop("name").tolist() == ["0.jpg", "1.jpg", "2.jpg"]
    assert table.pop("flag").tolist() == flags
    assert table.pop("morphology").tolist() == ["", "", "disk: yes, tail: two"]
    numbers = np.stack(list(table.values()))
    assert np.isnan(numbers[:, :2]).all()
    assert np.isfinite(numbers[:, 2]).all()


def test_chunks_make_the_same_table():
    votes, flags = draw(20), [OK] * 19 + ["unreadable"]
    whole = table_of(votes, flags, tree=GZ2)
    parts = [
        science_table([f"{i}.jpg" for i in rows], votes[rows], None, chunk_flags, GZ2)
        for rows in np.split(np.arange(20), [1, 13])
        for chunk_flags in [[flags[i] for i in rows]]
    ]
    for name, values in whole.items():
        joined = np.concatenate([part[name] for part in parts])
        np.testing.assert_array_equal(joined, values, err_msg=name)


def test_names_of_any_tree_can_be_read_by_python():
    tree = Tree("t", (Question("is-round?", ("yes, very", "1/2")),))
    names = [column.name for column in table_columns(tree, False)]
    name = "is_round__yes__very"
    assert names[3:6] == ["is_round__asked", name, f"{name}_fraction"]


@pytest.mark.parametrize(
    "questions",
    [
        (Question("a", ("b_c", "d")), Question("a_b", ("c", "e"))),
        (Question("a", ("asked", "b")),),
        (Question("a", ("b-c", "b c")),),
    ],
)
def test_two_columns_of_one_name_are_refused(questions):
    with pytest.raises(ValueError, match="several columns would be called a_"):
        table_columns(Tree("t", questions), False)


def test_numbers_that_are_not_finite_are_not_ok():
    broken = VOTES.copy()
    broken[1, 2] = np.inf
    for votes, spread in ((broken, VOTES), (VOTES, broken)):
        with pytest.raises(ValueError, match=r"not finite .*: 1\.jpg$"):
            table_of(votes, spread=spread)


@pytest.mark.parametrize(
    ("votes", "spread", "flags"),
    [
        (VOTES[:, :4], None, [OK] * 2),
        (VOTES[:1], None, [OK] * 2),
        (VOTES, VOTES[:1], [OK] * 2),
        (VOTES, None, [OK]),
    ],
)
def test_shapes_must_agree(votes, spread, flags):
    with pytest.raises(ValueError, match=r"names are of \(2, 5\)"):
        science_table(["a", "b"], votes, spread, flags, TREE)
