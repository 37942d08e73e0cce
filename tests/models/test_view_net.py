"""The winner's network: its layers, its first weights, and what its fields do."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from gzjax.models import make_model
from gzjax.models.view_net import ViewNet, maxout
from gzjax.ops.views import extract_parts
from gzjax.training.load_config import load_config

TINY = {
    "input_size": 27,
    "num_outputs": 5,
    "part_px": 19,
    "filters": (3, 4, 5),
    "kernel_sizes": (4, 3, 3),
    "strides": (1, 1, 1),
    "pools": (2, 1, 2),
    "pool_strides": (2, 1, 2),
    "weight_stds": (0.3, 0.3, 0.3),
    "hidden": (6, 4),
    "hidden_std": 0.3,
}
IMAGES = np.random.default_rng(0).uniform(size=(4, 2, 27, 27, 3)).astype(np.float32)


def build(key, images=IMAGES, **fields):
    model = ViewNet(**{**TINY, **fields})
    return model, jax.jit(functools.partial(model.init, train=False))(key, images)


@functools.partial(jax.jit, static_argnums=0)
def apply(model, variables, images):
    return model.apply(variables, images, train=False)


def shapes(name):
    config = load_config(name, [])
    model = make_model(config, 37)
    images = jnp.zeros((1, 2, 69, 69, 3))
    init = functools.partial(model.init, train=False)
    params = jax.eval_shape(init, jax.random.key(0), images)["params"]
    return {
        layer: {kind: p.shape for kind, p in leaves.items()}
        for layer, leaves in params.items()
    }


def test_layers_of_the_best_network():
    assert shapes("dieleman") == {
        "conv1": {"kernel": (6, 6, 3, 32), "bias": (40, 40, 32)},
        "conv2": {"kernel": (5, 5, 32, 64), "bias": (16, 16, 64)},
        "conv3": {"kernel": (3, 3, 64, 128), "bias": (6, 6, 128)},
        "conv4": {"kernel": (3, 3, 128, 128), "bias": (4, 4, 128)},
        "hidden1": {"kernel": (8192, 4096), "bias": (4096,)},
        "hidden2": {"kernel": (2048, 4096), "bias": (4096,)},
        "outputs": {"kernel": (2048, 37), "bias": (37,)},
    }


INITIAL = {  # standard deviation of the weights, bias; per layer, as published
    "conv1": (0.01, 0.1),
    "conv2": (0.01, 0.1),
    "conv3": (0.01, 0.1),
    "conv4": (0.1, 0.1),
    "hidden1": (0.001, 0.01),
    "hidden2": (0.001, 0.01),
    "outputs": (0.01, 0.1),
}


@pytest.mark.parametrize("variant", ["", "part_dense", "maxout1,relu_centred"])
def test_initial_weights_per_layer(variant, key):
    config = load_config(f"dieleman:{variant}" if variant else "dieleman", [])
    # The same layers, less memory.
    config.model.filters = (16, 16, 16, 16)
    config.model.hidden = tuple(n // 8 for n in config.model.hidden)
    model = make_model(config, 37)
    init = jax.jit(functools.partial(model.init, train=False))
    params = init(key, jnp.zeros((1, 2, 69, 69, 3)))["params"]
    expected = INITIAL | {"part_hidden": (0.01, 0.1)}
    for layer, p in params.items():
        std, bias = expected[layer]
        error = 4 * std / np.sqrt(2 * p["kernel"].size)  # 4 sigma of an estimate
        assert float(p["kernel"].std()) == pytest.approx(std, abs=error), layer
        np.testing.assert_allclose(p["bias"], bias)


def test_maxout_takes_the_larger_of_neighbours():
    x = jnp.array([[1.0, 3.0, -2.0, -5.0, 4.0, 4.0]])
    np.testing.assert_array_equal(maxout(x), [[3.0, -2.0, 4.0]])


def by_hand(params, images):
    """The tiny network, layer by layer, in NumPy's float64."""
    params = jax.tree.map(lambda p: np.asarray(p, np.float64), params)
    x = np.asarray(extract_parts(images, 19), np.float64).reshape(-1, 19, 19, 3)
    for layer, pool in (("conv1", 2), ("conv2", 1), ("conv3", 2)):
        kernel, bias = params[layer]["kernel"], params[layer]["bias"]
        windows = np.lib.stride_tricks.sliding_window_view(
            x, kernel.shape[:2], axis=(1, 2)
        )
        x = np.maximum(np.einsum("nhwcij,ijcd->nhwd", windows, kernel) + bias, 0)
        n = x.shape[1] // pool
        x = x.reshape(len(x), n, pool, n, pool, -1).max(axis=(2, 4))
    x = x.transpose(0, 3, 1, 2).reshape(16 * len(images), -1)
    for layer in ("part_hidden", "hidden1", "hidden2", "outputs"):
        if layer == "hidden1":
            x = x.reshape(len(images), -1)
        if layer in params:
            x = x @ params[layer]["kernel"] + params[layer]["bias"]
            x = x if layer == "outputs" else np.maximum(x[:, ::2], x[:, 1::2])
    return x


@pytest.mark.parametrize("part_hidden", [0, 3])
def test_network_is_what_the_paper_says(part_hidden, key):
    model, variables = build(key, part_hidden=part_hidden)
    # Untied biases must matter: make each its own.
    params = jax.tree.map(
        lambda p: p + 0.1 * np.random.default_rng(p.size).normal(size=p.shape),
        jax.device_get(variables["params"]),
    )
    logits = apply(model, {"params": params}, IMAGES)
    np.testing.assert_allclose(logits, by_hand(params, IMAGES), rtol=1e-4)


def test_dropout_is_on_what_enters_each_dense_layer(key):
    model, variables = build(key, part_hidden=3)
    seen = []

    def spy(next_call, args, kwargs, context):
        out = next_call(*args, **kwargs)
        if type(context.module).__name__ == "Dropout":
            alive = args[0] != 0
            kept = out[alive] != 0
            np.testing.assert_allclose(out[alive][kept], 2 * args[0][alive][kept])
            seen.append((args[0].shape[-1], float(kept.mean())))
        return out

    images = np.tile(IMAGES + 1, (8, 1, 1, 1, 1))
    with nn.intercept_methods(spy):
        model.apply(variables, images, train=True, rngs={"dropout": key})
    assert [size for size, _ in seen] == [20, 48, 6, 4]  # what enters a dense layer
    assert all(0.3 < share < 0.7 for _, share in seen)


def test_relu_layers_have_one_unit_each(key):
    model, variables = build(key, activation="relu", hidden=(7,))
    p = variables["params"]
    assert p["hidden1"]["kernel"].shape == (16 * 20, 7)
    assert p["outputs"]["kernel"].shape == (7, 5)
    assert apply(model, variables, IMAGES).shape == (4, 5)


def test_overlap_pools_strides_and_number_of_views_are_fields(key):
    _, small = build(key, part_px=17)
    assert small["params"]["conv1"]["bias"].shape == (14, 14, 3)
    _, overlapping = build(key, pools=(3, 1, 2))
    assert overlapping["params"]["conv2"]["bias"].shape == (5, 5, 4)
    larger = {"images": np.ones((1, 2, 49, 49, 3), "f4"), "input_size": 49}
    _, strided = build(key, **larger, part_px=38, strides=(2, 1, 1), pools=(2, 1, 2))
    assert strided["params"]["conv1"]["bias"].shape == (18, 18, 3)
    model, one_view = build(key, images=IMAGES[:, :1])
    assert one_view["params"]["hidden1"]["kernel"].shape[0] == 8 * 20
    assert apply(model, one_view, IMAGES[:, :1]).shape == (4, 5)


def test_input_noise_is_for_training_only(key):
    noisy, variables = build(key, input_noise=0.5, dropout_rate=0.0)
    plain, _ = build(key, dropout_rate=0.0)
    expected = apply(plain, variables, IMAGES)
    np.testing.assert_array_equal(apply(noisy, variables, IMAGES), expected)
    trained = jax.jit(functools.partial(noisy.apply, train=True))(
        variables, IMAGES, rngs={"dropout": key}
    )
    assert float(jnp.abs(trained - expected).max()) > 1e-3


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"part_px": 28}, "part_px is 28, not in 1 .. 27"),
        ({"part_px": 5}, "conv2 has a window of 3 px on a feature map of 1"),
        ({"activation": "tanh"}, "there are: maxout, relu"),
        ({"pools": (2, 1)}, "pools is .* not one number for each of the 3"),
    ],
)
def test_fields_that_cannot_be_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        ViewNet(**{**TINY, **fields})


@pytest.mark.parametrize("part_hidden", [0, 3])
def test_forward_and_gradient_on_four_devices_need_no_all_to_all(part_hidden, key):
    model, variables = build(key, part_hidden=part_hidden)
    mesh = Mesh(np.array(jax.devices()), ("data",))
    rows, everywhere = (
        NamedSharding(mesh, PartitionSpec(*axes)) for axes in (("data",), ())
    )
    forward = functools.partial(model.apply, train=False)

    def loss(variables, images):
        return jnp.mean(forward(variables, images) ** 2)

    for program, out in ((forward, rows), (jax.grad(loss), everywhere)):
        program = jax.jit(program, in_shardings=(everywhere, rows), out_shardings=out)
        compiled = program.lower(variables, IMAGES).compile().as_text()
        assert " dot(" in compiled
        assert "all-to-all" not in compiled
        assert "all-gather" not in compiled
        assert "collective-permute" not in compiled


def test_negative_control_view_major_parts_do_travel():
    mesh = Mesh(np.array(jax.devices()), ("data",))
    rows = NamedSharding(mesh, PartitionSpec("data"))

    def view_major(images):
        parts = extract_parts(images, 19).swapaxes(0, 1)
        return parts.reshape(-1, 19, 19, 3).mean(axis=(1, 2)).reshape(16, -1, 3)[3]

    compiled = jax.jit(view_major, in_shardings=rows, out_shardings=rows)
    text = compiled.lower(jnp.asarray(IMAGES)).compile().as_text()
    assert any(op in text for op in ("all-to-all", "all-gather", "collective-permute"))
