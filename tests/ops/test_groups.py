"""The point groups: tables against the axioms and against the action itself."""

import jax.numpy as jnp
import numpy as np
import pytest

from gzjax.ops.groups import GROUPS, act, act_on_features

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
    with pytest.raises(ValueError, match=r"p4 has elements 0 \.\. 3: 4"):
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


@pytest.mark.parametrize("name", ["p1", "p4", "p4m"])
def test_action_on_features_is_a_group_action(name):
    group = GROUPS[name]
    rng = np.random.default_rng(0)
    maps = rng.normal(size=(1, 3, 3, group.order, 2))
    for s in range(group.order):
        for t in range(group.order):
            np.testing.assert_array_equal(
                act_on_features(act_on_features(maps, t, group), s, group),
                act_on_features(maps, group.cayley[s, t], group),
            )
