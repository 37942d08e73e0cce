"""Pieces of a batch: the update of the whole, and each device keeps its own rows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import make_config, make_plain_config

from gzjax.steps.accumulate import cut, mean_over_pieces
from gzjax.steps.compiled import Programs
from gzjax.steps.mesh import by_batch, make_mesh
from gzjax.steps.phases import make_phases
from gzjax.trees import GZ2

WITHOUT_CHANCE = {
    "head": "sigmoid",
    "head_warmup_steps": 0,
    "model__dropout_rates": (0.0, 0.0),
}


def make_batch(num_rows=8, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "images": rng.integers(0, 256, (num_rows, 1, 62, 62, 3), np.uint8),
        "colour": np.tile(np.eye(3, 4, dtype=np.float32), (num_rows, 1, 1)),
        "targets": rng.uniform(size=(num_rows, 37)).astype(np.float32),
    }


def one_step(batch, num_devices=4, **changes):
    """The state after a step of the plain network, and the loss."""
    config = make_plain_config(**{**WITHOUT_CHANCE, **changes})
    mesh = make_mesh(jax.devices()[:num_devices])
    programs = Programs(make_phases(config), GZ2, mesh)
    batch = jax.device_put(batch, by_batch(mesh))
    return jax.device_get(programs.train_step(0)(programs.make_state(), batch))


def check_close(a, b, atol=1e-6):
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_allclose(x, y, rtol=0, atol=atol)


def test_without_norm_the_update_is_that_of_the_whole_batch():
    batch = make_batch()
    whole, loss = one_step(batch, model__norm="none")
    pieces, same_loss = one_step(batch, model__norm="none", accumulate_steps=2)
    check_close(whole, pieces)
    np.testing.assert_allclose(loss, same_loss, rtol=1e-6)
    other, _ = one_step(make_batch(seed=1), model__norm="none")
    with pytest.raises(AssertionError):
        check_close(whole.params, other.params)


def test_running_statistics_take_the_mean_over_pieces_in_one_update():
    batch = make_batch()
    both, _ = one_step(batch, accumulate_steps=2)
    first, second = (
        one_step({k: x[i::2] for k, x in batch.items()})[0].batch_stats
        for i in range(2)
    )
    mean = jax.tree.map(lambda a, b: (a + b) / 2, first, second)
    check_close(both.batch_stats, mean)
    with pytest.raises(AssertionError):
        check_close(first, mean)


def test_devices_do_not_change_which_rows_are_together():
    batch = make_batch()
    four, one = (one_step(batch, n, accumulate_steps=2) for n in (4, 1))
    check_close(four, one)


def test_every_piece_has_a_number_and_rows_of_its_own():
    batch = {"x": jnp.arange(12.0), "y": jnp.arange(24).reshape(12, 2)}
    pieces = cut(batch, 3, make_mesh())
    np.testing.assert_array_equal(pieces["x"][1], [1, 4, 7, 10])
    np.testing.assert_array_equal(pieces["y"][2, 0], [4, 5])
    mean = mean_over_pieces(
        lambda piece, number: piece["x"][0] * 10.0**number, batch, 3, make_mesh()
    )
    np.testing.assert_allclose(mean, (0 + 10 + 200) / 3)


def test_rows_stay_on_their_devices():
    mesh = make_mesh()
    config = make_config(accumulate_steps=2)
    assert config.batch_size == 8
    batch = {
        k: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=by_batch(mesh))
        for k, x in make_batch().items()
    }
    pieces = jax.jit(lambda batch: cut(batch, 2, mesh)).lower(batch).compile()
    text = pieces.as_text()
    for moves in ("all-to-all", "all-gather", "collective-permute", "all-reduce"):
        assert moves not in text
    assert "u8[2,1,1,62,62,3]" in text  # of each device: 1 row in each of 2 pieces
