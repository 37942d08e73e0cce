"""The plain networks: NumPy's numbers for every kind of layer, and what is refused."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gzjax.models.plain_cnn import PlainCNN
from gzjax.ops.windows import Window

TINY = {
    "input_size": 15,
    "num_outputs": 5,
    "filters": (2, 3),
    "kernel_sizes": (5, 3),
    "pools": (2, 2),
    "hidden": (6, 4),
    "dropout_rates": (0.0, 0.0, 0.0),
}
IMAGES = np.random.default_rng(0).uniform(size=(3, 15, 15, 3)).astype(np.float32)


def build(**fields):
    """A network, and variables of which every one matters."""
    model = PlainCNN(**{**TINY, **fields})
    variables = jax.jit(lambda: model.init(jax.random.key(1), IMAGES, train=False))()
    rng = np.random.default_rng(2)
    return model, jax.tree.map(
        lambda p: p + rng.uniform(0.05, 0.2, p.shape).astype(p.dtype), variables
    )


def in_training(model, variables, **options):
    rngs = {"dropout": jax.random.key(0)}
    return model.apply(variables, IMAGES, True, rngs=rngs, **options)


def by_hand(model, variables):
    """The network without attention, layer by layer, in NumPy's float64."""
    tree = jax.tree.map(lambda p: np.asarray(p, np.float64), variables)
    params, stats = tree["params"], tree.get("batch_stats", {})

    def norm(x, name):
        x = (x - stats[name]["mean"]) / np.sqrt(stats[name]["var"] + 1e-5)
        return x * params[name]["scale"] + params[name]["bias"]

    x = np.float64(IMAGES)
    for i, pool in enumerate(model.pools, start=1):
        w, bias = params[f"conv{i}"]["kernel"], params[f"conv{i}"]["bias"]
        p = len(w) // 2 if model.padding == "same" else 0
        x = np.pad(x, [(0, 0), (p, p), (p, p), (0, 0)])
        windows = np.lib.stride_tricks.sliding_window_view(x, w.shape[:2], axis=(1, 2))
        x = np.einsum("bhwcij,ijcd->bhwd", windows, w) + bias
        x = norm(x, f"norm{i}") if model.norm == "before_relu" else x
        x = np.maximum(x, 0)
        x = norm(x, f"norm{i}") if model.norm == "after_relu" else x
        if pool > 1:
            p, mean = model.pool_padding, (model.last_pool, i) == ("mean", 2)
            x = np.pad(x, [(0, 0), (p, p), (p, p), (0, 0)], constant_values=-np.inf)
            n = x.shape[1] // pool
            x = x[:, : n * pool, : n * pool].reshape(len(x), n, pool, n, pool, -1)
            x = (np.mean if mean else np.max)(x, axis=(2, 4))
    x = x.reshape(len(x), -1)
    for i in range(1, len(model.hidden) + 1):
        x = x @ params[f"hidden{i}"]["kernel"] + params[f"hidden{i}"]["bias"]
        x = np.maximum(x, 0) if model.hidden_activation == "relu" else x
        x = norm(x, f"hidden_norm{i}") if model.hidden_norm else x
    return x @ params["outputs"]["kernel"] + params["outputs"]["bias"]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"norm": "before_relu", "padding": "same", "hidden_activation": "linear"},
        {"norm": "after_relu", "last_pool": "mean", "hidden_norm": True},
        {"pools": (3, 1), "pool_padding": 1, "hidden": (), "dropout_rates": (0.0,)},
    ],
)
def test_network_is_what_its_fields_say(fields):
    model, variables = build(**fields)
    logits = jax.jit(lambda: model.apply(variables, IMAGES, train=False))()
    expected = by_hand(model, variables)
    assert expected.std() > 1e-3
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)


def test_batch_norm_of_planar_maps_and_vectors_learns_the_statistics():
    model, variables = build(norm="after_relu", hidden_norm=True)
    train = functools.partial(in_training, model, mutable=["batch_stats"])
    new = jax.jit(train)(variables)[1]
    old, new = variables["batch_stats"], new["batch_stats"]
    assert set(new) == {"norm1", "norm2", "hidden_norm1", "hidden_norm2"}
    # Of the first norm's input alone the statistics are known without the network.
    p = jax.tree.map(np.float64, variables["params"]["conv1"])
    windows = np.lib.stride_tricks.sliding_window_view(IMAGES, (5, 5), axis=(1, 2))
    x = np.einsum("bhwcij,ijcd->bhwd", windows, p["kernel"]) + p["bias"]
    x = np.maximum(x, 0).reshape(-1, 2)
    for name, batch in (("mean", x.mean(0)), ("var", x.var(0))):
        expected = 0.9 * old["norm1"][name] + 0.1 * batch
        np.testing.assert_allclose(new["norm1"][name], expected, rtol=1e-4)


@pytest.mark.parametrize(("kind", "factor"), [("cbam", 0.25), ("cbam_residual", 1.25)])
def test_attention_lies_between_relu_and_pool(kind, factor):
    def logits(model, params):
        return jax.jit(lambda: model.apply({"params": params}, IMAGES, train=False))()

    model, variables = build(attention=kind)
    params = dict(variables["params"])
    for i in (1, 2):  # both attentions are 1/2 everywhere
        params[f"attention{i}"] = jax.tree.map(jnp.zeros_like, params[f"attention{i}"])
    # ReLU and pool commute with a positive factor.
    plain = {k: dict(v) for k, v in params.items() if "attention" not in k}
    for layer in ("conv2", "hidden1"):
        plain[layer]["kernel"] *= factor
    expected = logits(PlainCNN(**TINY), plain)
    np.testing.assert_allclose(logits(model, params), expected, rtol=1e-4)


def test_dropout_is_on_the_input_of_the_layer_that_it_is_given_for():
    def outputs(*dropout_rates):
        model, variables = build(dropout_rates=dropout_rates)
        train = functools.partial(in_training, model, capture_intermediates=True)
        seen = jax.jit(train)(variables)[1]["intermediates"]
        return {name: seen[name]["__call__"][0] for name in layers}

    layers = ("conv2", "hidden1", "hidden2", "outputs")
    plain = outputs(0.0, 0.0, 0.0)
    for i in range(3):
        dropped = outputs(*(0.5 * (k == i) for k in range(3)))
        changed = [n for n in layers if not np.array_equal(plain[n], dropped[n])]
        assert changed == list(layers[i + 1 :])


@pytest.mark.parametrize("std", [0.0, 0.02])
def test_initial_weights(std, key):
    sizes = {"filters": (50,), "kernel_sizes": (5,), "pools": (3,), "hidden": (50,)}
    model = PlainCNN(15, 5, **sizes, weight_std=std)
    params = model.init(key, IMAGES, train=False)["params"]
    fan_in = {"conv1": 75, "hidden1": 3 * 3 * 50}
    for layer, n in fan_in.items():
        kernel = params[layer]["kernel"]
        np.testing.assert_allclose(kernel.std(), std or np.sqrt(2 / n), rtol=0.05)
        assert not params[layer]["bias"].any()
    np.testing.assert_allclose(params["outputs"]["kernel"].std(), 0.01, rtol=0.2)
    np.testing.assert_allclose(params["outputs"]["bias"], 0.1)


def test_windows_are_in_order():
    model = PlainCNN(**TINY | {"pools": (1, 2), "padding": "same"})
    assert model.windows() == [
        Window("conv1", 5, 1, 2),
        Window("conv2", 3, 1, 1),
        Window("pool2", 2, 2),
    ]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"padding": "full"}, "padding is 'full'; there are: valid, same"),
        ({"norm": "relu"}, "norm is 'relu'; there are: none, before_relu, after_relu"),
        ({"attention": "se"}, "is 'se'; there are: none, cbam, cbam_residual"),
        ({"hidden_activation": "tanh"}, "there are: relu, linear"),
        ({"pools": (2,)}, r"pools is \(2,\), not one number for each of the 2"),
        ({"filters": (2, -3)}, r"filters is \(2, -3\), not whole numbers above 0"),
        ({"filters": (), "kernel_sizes": (), "pools": ()}, "at least one convolution"),
        (
            {"kernel_sizes": (4, 3), "padding": "same"},
            r"\(4, 3\): padding 'same' n",
        ),
        ({"pool_padding": 2}, r"pool_padding is 2, as large as a pool of \[2, 2\]"),
        ({"pool_padding": -1}, "pool_padding is -1, not 0 or more"),
        ({"last_pool": "mean", "pool_padding": 1}, "it needs a pool, and no padding"),
        ({"last_pool": "mean", "pools": (1, 1)}, "it needs a pool, and no padding"),
        ({"dropout_rates": (0.5,)}, r"each of the 3 dense layers \(2 hidden"),
        ({"dropout_rates": (0.5, 0.5, 1.5)}, "not in 0 .. 1"),
        ({"weight_std": -0.1}, "weight_std is -0.1, below 0"),
        (
            {"input_size": 8},
            "pool2 has a window of 2 px on a feature map of 0|conv2 has",
        ),
    ],
)
def test_fields_that_cannot_be_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        PlainCNN(**{**TINY, **fields})
