"""Attention against the paper's formulas in NumPy."""

import jax
import numpy as np
import pytest

from gzjax.models.blocks import Cbam

X = np.random.default_rng(0).normal(size=(2, 9, 9, 3)).astype(np.float32)


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def by_hand(params, x):
    p = jax.tree.map(lambda p: np.asarray(p, np.float64), params)
    x = np.float64(x)

    def mlp(v):
        v = np.maximum(
            v @ p["channel_hidden"]["kernel"] + p["channel_hidden"]["bias"], 0
        )
        return v @ p["channel_out"]["kernel"] + p["channel_out"]["bias"]

    places = x.reshape(len(x), -1, x.shape[-1])
    y = x * sigmoid(mlp(places.max(1)) + mlp(places.mean(1)))[:, None, None]
    maps = np.stack([y.max(-1), y.mean(-1)], axis=-1)  # in this order
    maps = np.pad(maps, [(0, 0), (3, 3), (3, 3), (0, 0)])
    windows = np.lib.stride_tricks.sliding_window_view(maps, (7, 7), axis=(1, 2))
    conv = np.einsum("bhwcij,ijcd->bhwd", windows, p["spatial_conv"]["kernel"])
    return y * sigmoid(conv + p["spatial_conv"]["bias"])


@pytest.mark.parametrize("residual", [False, True])
def test_attention_is_what_the_paper_says(residual, key):
    cbam = Cbam(residual)
    params = jax.tree.map(  # biases too must matter
        lambda p: p + 0.3 * np.random.default_rng(p.size).normal(size=p.shape),
        cbam.init(key, X)["params"],
    )
    params = jax.tree.map(lambda p: p.astype(np.float32), params)
    expected = by_hand(params, X) + (X if residual else 0)
    y = jax.jit(cbam.apply)({"params": params}, X)
    np.testing.assert_allclose(y, expected, atol=1e-5)
    assert np.abs(y - X).max() > 0.1


def test_shapes_are_those_of_a_reduction_of_one(key):
    shapes = jax.tree.map(lambda p: p.shape, Cbam().init(key, X)["params"])
    assert shapes == {
        "channel_hidden": {"kernel": (3, 3), "bias": (3,)},
        "channel_out": {"kernel": (3, 3), "bias": (3,)},
        "spatial_conv": {"kernel": (7, 7, 2, 1), "bias": (1,)},
    }
