"""Residual networks: NumPy's numbers, exact invariance, and controls that must fail."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gzjax.metrics.robustness import distances
from gzjax.models.probes.layer_maps import forward
from gzjax.models.resnet import ResNet
from gzjax.ops.groups import GROUPS, act, act_on_features
from gzjax.ops.heads import softmax
from gzjax.ops.windows import output_size
from gzjax.trees import GZ2


def make(size=33, batch=2, num_outputs=37, **fields):
    """A network all of whose parameters and statistics matter; a batch of images."""
    fields = {"planes": (2, 3, 3, 4), "hidden": (6,), **fields}
    model = ResNet(size, num_outputs, dropout_rates=(0.0, 0.0), **fields)
    images = jax.random.uniform(jax.random.key(0), (batch, size, size, 3))
    variables = jax.jit(lambda: model.init(jax.random.key(1), images, train=False))()
    rng = np.random.default_rng(2)

    def moved(path, p):  # kernels keep their spread
        kernel = path[-1].key == "kernel"
        return p + (0 if kernel else rng.uniform(0.1, 0.5, p.shape).astype(p.dtype))

    variables = jax.tree.map_with_path(moved, variables)
    variables["params"]["outputs"]["kernel"] *= 30
    return model, variables, images


def under_all_elements(function, images):
    """Its value for the images under each element; compiled once."""
    function = jax.jit(function)
    return [np.asarray(function(act(images, g))) for g in range(8)]


def apply(model, variables, images, train=False):
    """Logits for the images under each element."""
    return under_all_elements(
        lambda x: model.apply(variables, x, train, mutable=["batch_stats"])[0], images
    )


def changes(logits):
    """Largest change under each element but the first, relative to the spread."""
    return [np.abs(moved - logits[0]).max() / logits[0].std() for moved in logits[1:]]


@pytest.fixture(scope="module")
def exact():
    return make(group="p4m", exact=True, block_bias=True)


@pytest.mark.parametrize("train", [False, True])
def test_exact_network_is_invariant_to_all_elements(train, exact):
    logits = apply(*exact, train)
    assert max(changes(logits)) < 1e-4
    if not train:
        votes = [softmax(jnp.asarray(z), GZ2)[1] for z in logits[:4]]
        assert distances(np.stack(votes, axis=1)).mean() < 1e-5


def test_exact_features_turn_with_the_image(exact):
    model, variables, images = exact
    features = under_all_elements(
        lambda x: forward(model, variables, x, "layer4_1")[1], images
    )
    first, largest = features[0], features[0].max()
    assert output_size(33, model.windows()) == 2
    assert first.shape == (2, 2, 2, 8, 4)
    for g in range(1, 8):
        expected = act_on_features(first, g, GROUPS["p4m"])
        np.testing.assert_allclose(features[g], expected, atol=1e-4 * largest)
        assert np.abs(features[g] - first).max() > 0.1 * largest


@pytest.mark.slow
def test_bottlenecks_are_invariant_to_quarter_turns():
    logits = apply(*make(depth=50, group="p4", exact=True, planes=(1, 1, 2, 2)))
    assert max(changes(logits)[:3]) < 1e-4
    assert changes(logits)[3] > 0.01  # mirrored


@functools.cache
def steerable(**types):
    """A network over D_8 as :func:`make` makes it."""
    fields = {"group": "d8", "exact": True, "filters": "steerable", **types}
    return make(planes=(1, 2, 2, 3), block_bias=True, num_outputs=5, **fields)


def descended(model, variables, images, steps=2):
    """The variables after steps of gradient descent."""

    def loss(params):
        logits, new = model.apply(
            {**variables, "params": params}, images, True, mutable=["batch_stats"]
        )
        return ((logits - jnp.arange(5.0)[None]) ** 2).mean(), new

    gradient_of, params = jax.jit(jax.grad(loss, has_aux=True)), variables["params"]
    for _ in range(steps):
        gradient, stats = gradient_of(params)
        params = jax.tree.map(lambda p, g: p - 1e-3 * g, params, gradient)
    return {"params": params, **stats}


def test_steerable_network_is_invariant_to_all_elements():
    model, variables, images = steerable()
    for state in (variables, descended(model, variables, images)):
        for train in (False, True):
            assert max(changes(apply(model, state, images, train))) < 1e-4


@pytest.mark.slow
def test_steerable_network_is_invariant_to_the_last_digits_of_float64():
    with jax.enable_x64(True):
        types = {"param_dtype": jnp.float64, "compute_dtype": jnp.float64}
        model, variables, images = steerable(**types)
        images = images.astype(jnp.float64)
        for train in (False, True):
            assert max(changes(apply(model, variables, images, train))) < 1e-12


def smooth_images(angle_deg, size=65):
    """Two drawn galaxies with a bar and arms, turned about the centre."""
    x = np.arange(size) - (size - 1) / 2
    z = (x - 1j * x[:, None]) / size * np.exp(-1j * np.deg2rad(angle_deg))
    disc = np.exp(-((np.abs(z) / 0.18) ** 2))
    bar = np.exp(-((z.real / 0.15) ** 2) - (z.imag / 0.05) ** 2)
    arms = disc * (1 + 0.5 * np.cos(2 * np.angle(z) + 20 * np.abs(z)))
    colours = np.stack([[bar, disc, arms], [arms, bar + disc, disc]])
    return np.moveaxis(colours, 1, -1).astype(np.float32)


def change_at_45_deg(fields):
    model = ResNet(65, 5, dropout_rates=(0.0, 0.0), **fields)
    images = smooth_images(0)
    variables = jax.jit(lambda: model.init(jax.random.key(1), images, train=False))()
    hidden = [
        forward(model, variables, x, "hidden1")[1] for x in (images, smooth_images(45))
    ]
    return np.abs(hidden[1] - hidden[0]).max() / np.abs(hidden[0]).max()


def test_steerable_network_is_robust_between_quarter_turns():
    fields = {"planes": (3, 4, 5, 6), "hidden": (64,), "exact": True}
    free = change_at_45_deg({"group": "p4m", **fields})
    steered = change_at_45_deg({"group": "d8", "filters": "steerable", **fields})
    assert steered < 0.03 < free


@pytest.mark.parametrize("group", [pytest.param("p1", marks=pytest.mark.slow), "p4m"])
def test_negative_control_published_geometry(group):
    logits = apply(*make(size=32, group=group))
    assert min(changes(logits)) > 0.05


@pytest.mark.slow
def test_published_width_is_invariant_at_225_px_and_not_at_224():
    wide = {"group": "p4m", "planes": (21, 42, 85, 170), "hidden": (500,)}
    for size, exact in ((225, True), (224, False)):
        logits = apply(*make(size, exact=exact, block_bias=True, **wide))
        assert bool(max(changes(logits)) < 1e-4) is exact
        # At the spread of a trained network: a softmax of large numbers hides changes.
        spread = logits[0].std()
        votes = [softmax(jnp.asarray(z) / spread, GZ2)[1] for z in logits[:4]]
        robustness = distances(np.stack(votes, axis=1)).mean()
        assert bool(robustness < 1e-5) is exact


def conv_by_hand(x, w, stride, padding):
    x = np.pad(x, [(0, 0), (padding, padding), (padding, padding), (0, 0)])
    windows = np.lib.stride_tricks.sliding_window_view(x, w.shape[:2], axis=(1, 2))
    return np.einsum("bhwcij,ijcd->bhwd", windows[:, ::stride, ::stride], w)


def by_hand(variables, images, blocks, strides):
    """A planar network of two convolutions (or three) a block, in NumPy's float64."""
    tree = jax.tree.map(lambda p: np.asarray(p, np.float64), variables)
    params, stats = tree["params"], tree["batch_stats"]

    def conv_norm(x, params, stats, suffix, stride, prefix=""):
        conv = params[f"{prefix}conv{suffix}"]
        w = conv["kernel"][:, :, 0]
        y = conv_by_hand(x, w, stride, w.shape[0] // 2) + conv.get("bias", 0)
        norm, stat = (tree[f"{prefix}norm{suffix}"] for tree in (params, stats))
        y = (y - stat["mean"]) / np.sqrt(stat["var"] + 1e-5)
        return y * norm["scale"] + norm["bias"]

    x = np.maximum(conv_norm(np.float64(images), params, stats, 1, 2), 0)
    x = np.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)], constant_values=-np.inf)
    x = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(1, 2))
    x = x[:, ::2, ::2].max(axis=(4, 5))
    for name, stride in zip(blocks, strides, strict=True):
        block, stat = params[name], stats[name]
        count = sum(key.startswith("conv") for key in block)
        y = x
        for i in range(1, count + 1):
            # The stride lies in the first 3x3: of a bottleneck, in the second.
            here = stride if i == count - 1 else 1
            y = conv_norm(y, block, stat, i, here)
            y = np.maximum(y, 0) if i < count else y
        if "downsample_conv" in block:
            x = conv_norm(x, block, stat, "", stride, "downsample_")
        x = np.maximum(x + y, 0)
    x = x.mean(axis=(1, 2))
    for name in ("hidden1", "outputs"):
        x = x @ params[name]["kernel"] + params[name]["bias"]
        x = np.maximum(x, 0) if name == "hidden1" else x
    return x


@pytest.mark.parametrize(
    ("depth", "counts", "block_bias"),
    [
        (18, (2, 2, 2, 2), True),
        pytest.param(50, (3, 4, 6, 3), False, marks=pytest.mark.slow),
    ],
)
def test_planar_network_is_what_the_paper_says(depth, counts, block_bias):
    model, variables, images = make(38, depth=depth, block_bias=block_bias)
    names = [f"layer{k + 1}_{i}" for k in range(4) for i in range(counts[k])]
    strides = [2 if n[5] > "1" and n.endswith("_0") else 1 for n in names]
    biases = {"bias" in variables["params"][n]["conv2"] for n in names}
    assert biases == {block_bias}
    assert "bias" not in variables["params"]["layer2_0"]["downsample_conv"]
    logits = jax.jit(lambda: model.apply(variables, images, train=False))()
    expected = by_hand(variables, images, names, strides)
    assert expected.std() > 0.1
    np.testing.assert_allclose(logits, expected, rtol=1e-3, atol=1e-3)


def test_windows_are_the_main_path():
    windows = ResNet(224, 37).windows()
    names = "conv1 pool1 layer1_0/conv1 layer1_0/conv2 layer1_1/conv1"
    assert [w.name for w in windows[:5]] == names.split()
    assert len(windows) == 2 + 16
    assert output_size(224, windows) == 7
    assert len(ResNet(224, 37, depth=152).windows()) == 2 + 150
    windows = ResNet(225, 37, group="d8", exact=True, filters="steerable").windows()
    strided = [w.name for w in windows if w.stride > 1]
    assert strided == ["pool1", "pool2", "pool3", "pool4"]
    assert output_size(225, windows) == 8


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"depth": 20}, "depth is 20; there are: 18, 34, 50, 101, 152"),
        ({"group": "p6"}, "group is 'p6'; there are: p1, p4, p4m"),
        ({"group": "d8"}, "group is 'd8'; there are: p1, p4, p4m"),
        ({"filters": "fixed"}, "filters is 'fixed'; there are: free, steerable"),
        ({"planes": (1, 2, 3)}, r"planes is \(1, 2, 3\), not one number for each"),
        ({"planes": (1, 2, 3, 0)}, r"planes is \(1, 2, 3, 0\), not whole numbers"),
        ({"hidden": (2.5,)}, r"hidden is \(2.5,\), not whole numbers"),
        ({"hidden": (5, 5)}, r"dropout_rates is .* 3 dense layers \(2 hidden"),
        ({"dropout_rates": (0.5, 1.0)}, "not in 0 .. 1"),
        ({"filters": "steerable"}, "exact False: give exact=True"),
        ({"exact": True}, "224 px break the equivariance: conv1.*193, 225, 257"),
    ],
)
def test_fields_that_cannot_be_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        ResNet(224, 37, **fields)
