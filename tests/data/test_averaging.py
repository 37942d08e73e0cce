"""Averaging sets: counts, order, and the identity where it should be."""

import numpy as np
import pytest

from gzjax.data.averaging import (
    AVERAGING_SETS,
    averaging_set,
    num_placements,
    product_set,
)
from gzjax.data.geometry import place
from gzjax.errors import UserError


def test_sets_have_their_sizes_and_no_map_twice():
    sizes = {name: len(placements) for name, placements in AVERAGING_SETS.items()}
    assert sizes == {"none": 1, "c4": 4, "d4": 8, "rot16x2": 32, "dieleman60": 60}
    for placements in AVERAGING_SETS.values():
        assert len(np.unique(placements.round(9), axis=0)) == len(placements)


def test_winners_sixty_maps():
    placements = AVERAGING_SETS["dieleman60"]
    np.testing.assert_array_equal(placements[20], place())
    determinants = np.linalg.det(placements[:, :, :2])
    values, counts = np.unique(determinants.round(6), return_counts=True)
    expected = [-1.44, -1, -0.694444, 0.694444, 1, 1.44]
    np.testing.assert_allclose(values, expected, atol=1e-6)
    assert (counts == 10).all()
    assert not placements[:, :, 2].any()  # no shift
    np.testing.assert_array_equal(placements[21], place(mirror=True))
    np.testing.assert_array_equal(placements[22], place(angle_deg=36))
    np.testing.assert_allclose(placements[0], place(zoom=1 / 1.2))


@pytest.mark.parametrize("name", ["c4", "d4"])
def test_quarter_turns_are_exact(name):
    assert set(np.unique(np.abs(AVERAGING_SETS[name]))) == {0.0, 1.0}


def test_product_is_zoom_major_and_mirror_minor():
    placements = product_set([1, 2], [0.0, 90.0], [False, True])
    expected = [place(a, m, z) for z in (1, 2) for a in (0, 90) for m in (False, True)]
    np.testing.assert_array_equal(placements, expected)


def test_any_product_has_a_name():
    np.testing.assert_array_equal(
        averaging_set("rot10x2x0.8333333333333334,1,1.2", {}),
        AVERAGING_SETS["dieleman60"],
    )
    np.testing.assert_array_equal(averaging_set("rot4x1", {}), AVERAGING_SETS["c4"])
    assert len(averaging_set("rot12x2x0.9,1,1.1", {})) == 72
    assert num_placements("rot12x2x0.9,1,1.1") == 72


@pytest.mark.parametrize(
    ("groups", "element_deg"),
    [
        (("p4",), 90),
        (("p4m",), 90),
        (("c8",), 45),
        (("d12",), 30),
        (("p1", "p4m"), 90),  # a pair: one of its networks is planar
        (("d16", "c16"), 22.5),
    ],
)
def test_sets_between_elements_part_the_turn_of_the_group(groups, element_deg):
    networks = [{"name": "group_cnn", "group": group} for group in groups]
    model = networks[0]
    if len(networks) > 1:
        model = {
            "name": "pair",
            **dict(zip(("first", "second"), networks, strict=True)),
        }
    for name, num in (("half2", 2), ("third3", 3)):
        angles = element_deg / num * np.arange(num)
        np.testing.assert_array_equal(averaging_set(name, model), place(angles))
        assert num_placements(name) == num


@pytest.mark.parametrize(
    "model",
    [
        {"name": "plain_cnn"},
        {"name": "resnet", "group": "p1"},
        {"name": "pair", "first": {"group": "p4"}, "second": {"group": "d8"}},
        {"name": "resnet", "group": ["d0", "d8"], "first": 3},
    ],
)
def test_networks_without_a_group_of_their_own_are_told_what_to_take(model):
    message = f"{model['name']} has no group, or two: take c4, d4 or rot16x2 instead"
    with pytest.raises(UserError, match=message):
        averaging_set("half2", model)


@pytest.mark.parametrize(
    "name", ["", "d5", "rot0x1", "rot4x3", "rot4", "rot4x1x0", "rot4x1x1,1", "rot4x1x."]
)
def test_other_names_are_refused_with_those_there_are(name):
    with pytest.raises(
        UserError, match=r"rot16x2, dieleman60, half2, third3 or rotAxM"
    ):
        num_placements(name)
