"""An endless row of galaxies: every epoch whole, in an order of its own."""

import concurrent.futures

import numpy as np
import pytest

from gzjax.data.draws import shuffled

NUM = 23


def test_every_epoch_has_all_of_them_in_another_order():
    epochs = shuffled(0, np.arange(5 * NUM), NUM).reshape(5, NUM)
    np.testing.assert_array_equal(np.sort(epochs), np.tile(np.arange(NUM), (5, 1)))
    assert len({tuple(epoch) for epoch in epochs.tolist()}) == 5
    assert (shuffled(1, np.arange(NUM), NUM) != epochs[0]).any()


@pytest.mark.parametrize("size", [1, 7, 64])
def test_a_place_holds_the_same_whatever_batch_it_is_in(size):
    whole = shuffled(3, np.arange(4 * NUM), NUM)
    parts = [
        shuffled(3, np.arange(i, min(i + size, 4 * NUM)), NUM)
        for i in range(0, 4 * NUM, size)
    ]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_threads_that_stand_in_other_epochs_agree():
    rows = [np.arange(i * 50, i * 50 + 50) for i in range(40)]
    expected = [shuffled(5, row, NUM) for row in rows]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda row: shuffled(5, row, NUM), rows * 5))
    np.testing.assert_array_equal(found, expected * 5)


def test_the_order_is_that_of_ever():
    """What a run has seen must not depend on the version that resumes it."""
    np.testing.assert_array_equal(
        shuffled(0, np.arange(12), 6), [2, 0, 4, 1, 3, 5, 5, 3, 4, 1, 2, 0]
    )


def test_neighbours_do_not_stay_together():
    """The mean step between neighbours of n things in random order is about n / 3."""
    order = shuffled(0, np.arange(10_000), 10_000)
    assert np.abs(np.diff(order)).mean() == pytest.approx(10_000 / 3, rel=0.03)
    # Where a thing stands says nothing of where it stands in the next epoch.
    later = shuffled(0, np.arange(10_000, 20_000), 10_000)
    places = [np.argsort(x) for x in (order, later)]
    assert abs(np.corrcoef(places)[0, 1]) < 0.05
