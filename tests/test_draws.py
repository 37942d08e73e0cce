"""Orders are functions of (seed, position): however many are asked for, and by whom."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from gzjax.data.draws import shuffled


@pytest.mark.parametrize("num", [1, 2, 7])
def test_every_epoch_holds_all_of_them_even_many_epochs_at_once(num):
    epochs = shuffled(3, np.arange(50 * num), num).reshape(50, num)
    assert epochs.dtype == np.int64
    np.testing.assert_array_equal(
        np.sort(epochs), np.broadcast_to(np.arange(num), (50, num))
    )


def test_positions_may_come_in_any_order_and_company():
    positions = np.arange(60)
    whole = shuffled(3, positions, 7)
    np.testing.assert_array_equal(shuffled(3, positions[::-1], 7), whole[::-1])
    one_by_one = [shuffled(3, positions[n : n + 1], 7)[0] for n in positions]
    np.testing.assert_array_equal(one_by_one, whole)


def test_threads_get_the_same():
    with ThreadPoolExecutor(8) as pool:
        asked = [np.arange(13 * n, 13 * n + 13) for n in range(200)]
        found = list(pool.map(lambda positions: shuffled(3, positions, 101), asked))
    np.testing.assert_array_equal(
        np.concatenate(found), shuffled(3, np.arange(13 * 200), 101)
    )


def test_orders_are_even_and_of_epoch_and_seed():
    # Each thing in each place: 4000 epochs of 5, binomial, sd 25.
    epochs = shuffled(0, np.arange(5 * 4000), 5).reshape(4000, 5)
    counts = np.array([(epochs == thing).sum(0) for thing in range(5)])
    assert np.abs(counts - 800).max() < 5 * 25.3
    # And of the 120 orders, each: sd 5.7.
    _, orders = np.unique(epochs, axis=0, return_counts=True)
    assert len(orders) == 120
    assert np.abs(orders - 4000 / 120).max() < 5 * 5.75
    other = shuffled(1, np.arange(5 * 4000), 5).reshape(4000, 5)
    same = (other == epochs).all(1).mean()
    assert same < 5 / 120
