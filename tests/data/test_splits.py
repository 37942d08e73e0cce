"""Splits: the published sizes, disjoint and complete parts, refusals with numbers."""

import types

import numpy as np
import pytest

from gzjax.data.splits import split_by_id
from gzjax.errors import UserError
from gzjax.trees import GZ2


def make_config(kind="last_fraction", **changes):
    keys = {"train": 0, "valid": 0, "test": 0, "question": "", "seed": 0}
    return types.SimpleNamespace(kind=kind, **{**keys, **changes})


def make_catalogue(num_rows, seed=0):
    """Ascending ids and targets with three classes of very different size."""
    rng = np.random.default_rng(seed)
    ids = np.cumsum(rng.integers(1, 20, num_rows)).astype(np.int64)
    targets = np.zeros((num_rows, GZ2.num_answers), np.float32)
    classes = rng.choice(3, num_rows, p=[0.7, 0.28, 0.02])
    targets[np.arange(num_rows), classes] = 1
    return ids, targets


def split(num_rows, config):
    return split_by_id(*make_catalogue(num_rows), GZ2, config)


def sizes(parts):
    return tuple(len(parts[name]) for name in ("train", "valid", "test"))


STRATIFIED = {"kind": "stratified", "question": "smooth_or_featured"}


@pytest.mark.parametrize(
    "config",
    [
        make_config(valid=0.1, test=0.2),
        make_config(valid=0.0, test=0.0),
        make_config("counts", valid=7, test=5),
        make_config("counts", train=81, valid=7, test=13),
        make_config(**STRATIFIED, valid=0.1, test=0.25),
        make_config("all"),
    ],
)
def test_parts_are_disjoint_ascending_and_complete(config):
    parts = split(101, config)
    assert list(parts) == ["train", "valid", "test"]
    for part in parts.values():
        assert part.dtype == np.int64
        assert (np.diff(part) > 0).all()
    assert sorted(np.concatenate(list(parts.values()))) == list(range(101))


@pytest.mark.parametrize(
    ("num_rows", "valid", "test", "expected"),
    [
        (61578, 0.1, 0.0, (55421, 6157, 0)),
        (61578, 0.1, 0.1, (49264, 6157, 6157)),
        (100, 0.29, 0.0, (71, 29, 0)),  # 100 * 0.29 is 28.999999999999996
        (1000, 0.001, 0.57, (429, 1, 570)),  # 1000 * 0.57 is 569.9999999999999
        (1000, np.float32(0.1), 1e-05, (900, 100, 0)),
        (9, 0.1, 0.1, (9, 0, 0)),
    ],
)
def test_last_fraction_rounds_down(num_rows, valid, test, expected):
    assert sizes(split(num_rows, make_config(valid=valid, test=test))) == expected


def test_last_fraction_goes_by_id_train_test_valid():
    ids = np.array([50, 10, 40, 20, 30])
    parts = split_by_id(ids, np.zeros((5, 37)), GZ2, make_config(valid=0.2, test=0.4))
    assert ids[parts["valid"]].tolist() == [50]
    assert sorted(ids[parts["test"]]) == [30, 40]
    assert sorted(ids[parts["train"]]) == [10, 20]


def test_counts_go_by_id_train_valid_test():
    ids = np.array([50, 10, 40, 20, 30])
    config = make_config("counts", train=1, valid=2, test=1)
    parts = split_by_id(ids, np.zeros((5, 37)), GZ2, config)
    assert ids[parts["train"]].tolist() == [10]
    assert sorted(ids[parts["valid"]]) == [20, 30]
    assert ids[parts["test"]].tolist() == [40]


def test_counts_without_train_take_all_the_rest():
    assert sizes(split(20, make_config("counts", valid=3, test=4))) == (13, 3, 4)


def test_all_trains_on_everything():
    assert sizes(split(20, make_config("all", valid=0.5))) == (20, 0, 0)


def test_stratified_keeps_the_shares_of_every_class():
    ids, targets = make_catalogue(2000)
    parts = split_by_id(
        ids, targets, GZ2, make_config(**STRATIFIED, valid=0.1, test=0.25)
    )
    classes = targets[:, :3].argmax(axis=1)
    for c in range(3):
        total = (classes == c).sum()
        assert (classes[parts["valid"]] == c).sum() == np.floor(total * 0.1 + 0.5)
        assert (classes[parts["test"]] == c).sum() == np.floor(total * 0.25 + 0.5)


def test_stratified_depends_on_id_and_seed_not_on_row_order():
    ids, targets = make_catalogue(300)
    shuffled = np.random.default_rng(1).permutation(300)

    def members(seed, order=slice(None)):
        config = make_config(**STRATIFIED, valid=0.2, seed=seed)
        part = split_by_id(ids[order], targets[order], GZ2, config)["valid"]
        return set(ids[order][part].tolist())

    assert members(0) == members(0, shuffled)
    assert members(0) != members(1)
    assert members(0) != set(ids[240:].tolist())


def test_stratified_never_asks_for_more_than_a_class_has():
    # Of a class of two or three both shares round up, and leave none to train.
    targets = np.eye(GZ2.num_answers)[np.repeat([0, 1, 2], [100, 3, 2])]
    config = make_config(**STRATIFIED, valid=0.5, test=0.49)
    assert sizes(split_by_id(np.arange(105), targets, GZ2, config)) == (1, 53, 51)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (make_config("random"), "'random'; .* last_fraction, counts, stratified, all"),
        (make_config("stratified", question="colour"), "'colour'; .* edge_on, bar, "),
        (make_config(valid=-0.1), "split.valid is -0.1"),
        (make_config(test=1.0), "split.test is 1.0"),
        (make_config(valid=float("nan")), "split.valid is nan"),
        (make_config(valid=0.5, test=0.5), "0.5 and split.test 0.5 add up to 1"),
        (make_config(**STRATIFIED, valid=0.7, test=0.3), "add up to 1"),
        (make_config("counts", valid=-1), "split.valid is -1"),
        (make_config("counts", valid=0.1), "split.valid is 0.1"),
        (
            make_config("counts", train=15, valid=5, test=1),
            r"15 \+ 5 \+ 1 = 21 galaxies, and there are 20",
        ),
        (make_config("counts", valid=15, test=5), "none of 20 galaxies to train"),
    ],
)
def test_impossible_splits_are_refused(config, expected):
    with pytest.raises(UserError, match=expected):
        split(20, config)


def test_nothing_to_train_on_is_refused():
    with pytest.raises(UserError, match="none of 0 galaxies"):
        split(0, make_config("all"))
