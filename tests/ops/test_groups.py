"""The point groups: tables against the axioms and against the action itself."""

import jax.numpy as jnp
import numpy as np
import pytest

from gzjax.ops.groups import GROUPS, PIXEL_GROUPS, act, act_on_features

PROBE = np.arange(2 * 5 * 5 * 3).reshape(2, 5, 5, 3)


@pytest.mark.parametrize("element", range(8))
def test_action_is_mirror_then_quarter_turns(element):
    mirror, turns = divmod(element, 4)
    mirrored = PROBE[:, :, ::-1] if mirror else PROBE
    expected = np.rot90(mirrored, turns, axes=(1, 2))
    np.testing.assert_array_equal(act(PROBE, element), expected)
    np.testing.assert_array_equal(act(jnp.asarray(PROBE), element), expected)


@pytest.mark.parametrize("element", [-1, 8])
def test_there_are_no_other_elements(element):
    with pytest.raises(ValueError, match=r"not in 0 \.\. 7"):
        act(PROBE, element)
    with pytest.raises(ValueError, match=r"p4 has elements 0 \.\. 3 of act: 4"):
        act_on_features(np.zeros((1, 3, 3, 4, 2)), 4, GROUPS["p4"])


@pytest.mark.parametrize("name", ["p1", "p4", "p4m"])
def test_cayley_table_is_composition(name):
    group = GROUPS[name]
    for s in range(group.order):
        assert sorted(group.cayley[s]) == list(range(group.order))
        assert group.cayley[s, group.inverse[s]] == 0
        assert group.cayley[group.inverse[s], s] == 0
        for t in range(group.order):
            np.testing.assert_array_equal(
                act(act(PROBE, t), s), act(PROBE, group.cayley[s, t])
            )


@pytest.mark.parametrize("name", GROUPS)
def test_every_group_is_a_group(name):
    group = GROUPS[name]
    table, elements = group.cayley, np.arange(group.order)
    np.testing.assert_array_equal(table[0], elements)
    np.testing.assert_array_equal(table[:, 0], elements)
    np.testing.assert_array_equal(table[elements, group.inverse], 0)
    np.testing.assert_array_equal(table[group.inverse, elements], 0)
    left = table[table]  # (s t) u at [s, t, u]
    right = table[elements[:, None, None], table]  # s (t u)
    np.testing.assert_array_equal(left, right)


@pytest.mark.parametrize("name", GROUPS)
def test_exact_elements_are_those_that_move_pixels(name):
    group, of_p4m = GROUPS[name], GROUPS["p4m"].cayley
    exact = group.exact_elements
    n = len(exact)
    assert n == {"p1": 1, "p4": 4, "p4m": 8}.get(name, 8 if name[0] == "d" else 4)
    np.testing.assert_array_equal(
        group.cayley[np.ix_(exact, exact)], exact[of_p4m[:n, :n]]
    )


def test_other_names_of_p4_and_p4m_have_the_same_tables():
    for name, other in (("p4", "c4"), ("p4m", "d4")):
        np.testing.assert_array_equal(GROUPS[name].cayley, GROUPS[other].cayley)
        np.testing.assert_array_equal(GROUPS[name].inverse, GROUPS[other].inverse)
    assert set(PIXEL_GROUPS) == {"p1", "p4", "p4m", "c4", "d4"}


@pytest.mark.parametrize("name", GROUPS)
def test_action_on_features_is_a_group_action(name):
    group, of_p4m = GROUPS[name], GROUPS["p4m"].cayley
    rng = np.random.default_rng(0)
    maps = rng.normal(size=(1, 3, 3, group.order, 2))
    for s in range(len(group.exact_elements)):
        for t in range(len(group.exact_elements)):
            np.testing.assert_array_equal(
                act_on_features(act_on_features(maps, t, group), s, group),
                act_on_features(maps, of_p4m[s, t], group),
            )
