"""Class activation maps: exact weights, places and equivariance, for every network."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib import colormaps
from tiny import make_config, make_view_config

from gzjax.errors import UserError
from gzjax.models import make_model
from gzjax.models.group_cnn import GroupCNN
from gzjax.models.pair import Pair
from gzjax.models.plain_cnn import PlainCNN
from gzjax.models.probes.cam import ablation_cam, grad_cam, overlay
from gzjax.models.probes.field_of_view import cell_centres
from gzjax.models.probes.layer_maps import layer_shapes
from gzjax.models.resnet import ResNet
from gzjax.models.view_net import ViewNet
from gzjax.ops.groups import act
from gzjax.ops.windows import Window
from gzjax.trees import GZ2, Question, Tree

TREE = Tree("two", (Question("shape", ("round", "long")),))
ROUND, LONG = TREE.answer_names
RNG = np.random.default_rng(0)
IMAGES = RNG.uniform(size=(3, 4, 4, 3)).astype(np.float32)
# Of the answers by the channels' means; the last channel's maps are 0.
OUTPUTS = np.array([[1.0, 0.5], [2.0, 0.0], [-0.5, 1.0], [3.0, 3.0]], np.float32)
CHANNELS = np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]], np.float32)


class Linear(nn.Module):
    """Channels, their means, and outputs: every weight is known by hand."""

    relu: bool = False

    @nn.compact
    def __call__(self, images, train):
        x = nn.Dense(4, use_bias=False, name="maps")(images)
        x = nn.relu(x) if self.relu else x
        return nn.Dense(2, use_bias=False, name="outputs")(x.mean(axis=(1, 2)))


LINEAR = {"params": {"maps": {"kernel": CHANNELS}, "outputs": {"kernel": OUTPUTS}}}


def cam(
    method, model, variables, images, answer, layer, tree=TREE, head="relu", **options
):
    if method is ablation_cam:
        options["head"] = head
    return method(model, variables, images, answer, layer, tree, **options)


def heat_by_hand(weights):
    maps = IMAGES @ CHANNELS
    heat = np.maximum(np.einsum("bhwc,bc->bhw", maps, weights), 0)
    return heat / heat.max(axis=(1, 2), keepdims=True)


@pytest.mark.parametrize("answer", [ROUND, LONG])
@pytest.mark.parametrize("chunk", [1, 3, 8])
def test_ablation_weights_are_the_shares_of_a_linear_network(answer, chunk):
    result = ablation_cam(Linear(), LINEAR, IMAGES, answer, "maps", TREE, "relu", chunk)
    terms = (IMAGES @ CHANNELS).mean(axis=(1, 2)) * OUTPUTS[
        :, TREE.columns.index(answer)
    ]
    np.testing.assert_allclose(result.score, terms.sum(axis=1), rtol=1e-5)
    weights = terms / terms.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(result.weights, weights, atol=1e-5)
    np.testing.assert_allclose(result.cells, heat_by_hand(weights), atol=1e-5)


def test_ablation_is_of_the_fraction_behind_the_head():
    result = ablation_cam(Linear(), LINEAR, IMAGES, LONG, "maps", TREE, "divisive")
    terms = (IMAGES @ CHANNELS).mean(axis=(1, 2))[..., None] * OUTPUTS  # [b c a]

    def fraction(logits):
        return logits[..., 1] / logits.sum(-1)

    y = fraction(terms.sum(axis=1))[:, None]
    without = fraction(terms.sum(axis=1, keepdims=True) - terms)
    np.testing.assert_allclose(result.weights, (y - without) / y, atol=1e-5)


def test_gradient_weights_are_those_of_the_logit():
    result = grad_cam(Linear(), LINEAR, IMAGES, ROUND, "maps", TREE)
    weights = np.broadcast_to(OUTPUTS[:, 0] / 16, (3, 4))
    np.testing.assert_allclose(result.weights, weights, rtol=1e-6)
    np.testing.assert_allclose(result.cells, heat_by_hand(weights), atol=1e-6)


def test_a_channel_of_zeros_has_no_weight():
    result = ablation_cam(Linear(), LINEAR, IMAGES, ROUND, "maps", TREE, "relu")
    np.testing.assert_array_equal(result.weights[:, 3], 0)
    assert np.all(result.weights[:, :3] != 0)


def test_an_answer_of_fraction_zero_has_no_heat():
    negative = {**LINEAR["params"], "outputs": {"kernel": -np.abs(OUTPUTS)}}
    result = ablation_cam(
        Linear(), {"params": negative}, IMAGES, ROUND, "maps", TREE, "relu"
    )
    for x in result:
        np.testing.assert_array_equal(x, 0)


def loud(model, images, seed=1):
    """Variables under which every layer matters to every answer."""
    variables = jax.jit(lambda: model.init(jax.random.key(seed), images, train=False))()
    outputs = variables["params"]["outputs"]
    outputs["kernel"] = 30 * outputs["kernel"]
    return variables


def with_turned_images(model):
    """The network, variables, and an image under each element of p4m."""
    size = model.input_size
    image = jax.random.uniform(jax.random.key(0), (1, size, size, 3))
    images = jnp.concatenate([act(image, g) for g in range(8)])
    return model, loud(model, images), images


@pytest.fixture(scope="module")
def turned():
    return with_turned_images(make_model(make_config(), GZ2.num_answers))


@pytest.fixture(scope="module")
def residual():
    fields = {"exact": True, "hidden": (), "dropout_rates": (0.0,)}
    return with_turned_images(ResNet(33, 2, 18, "p4m", (3, 3, 3, 4), **fields))


@pytest.mark.parametrize(
    ("method", "layer"), [(ablation_cam, "conv2"), (grad_cam, "norm3")]
)
def test_heat_turns_with_the_image_for_every_element(method, layer, turned):
    result = cam(method, *turned, GZ2.answer_names[0], layer, GZ2, "softmax")
    assert result.pixels.shape == (8, 62, 62)
    for heat in (np.array(result.cells), np.array(result.pixels)):
        np.testing.assert_allclose(heat.max(axis=(1, 2)), 1, rtol=1e-6)
        for g in range(1, 8):
            expected = act(heat[0], g, axes=(0, 1))
            np.testing.assert_allclose(heat[g], expected, atol=2e-3)
            assert np.abs(heat[g] - heat[0]).max() > 0.1


def test_every_group_element_of_a_plane_is_ablated(turned):
    model, variables, images = turned
    result = cam(ablation_cam, *turned, GZ2.answer_names[0], "conv2", GZ2, "softmax")
    assert result.weights.shape == (8, 2)

    @jax.jit
    def fraction(kept):  # a plane is 0 if its filter and its bias are
        params = dict(variables["params"])
        params["conv2"] = {
            name: p * kept.reshape((1,) * (p.ndim - 1) + (2,))
            for name, p in params["conv2"].items()
        }
        logits = model.apply({**variables, "params": params}, images, train=False)
        return jax.nn.softmax(logits[:, :3])[:, 0]

    y, *y_k = (fraction(jnp.array(kept)) for kept in ([1, 1], [0, 1], [1, 0]))
    weights = np.stack([(y - y_without) / y for y_without in y_k], axis=1)
    assert np.abs(weights).max() > 1e-3
    np.testing.assert_allclose(result.weights, weights, atol=1e-5)


@pytest.fixture(scope="module")
def views():
    """The winner's network and a batch of it."""
    model = make_model(make_view_config(), GZ2.num_answers)
    images = jax.random.uniform(jax.random.key(2), (3, 2, 33, 33, 3))
    return model, loud(model, images, seed=3), images


@pytest.mark.parametrize("method", [ablation_cam, grad_cam])
def test_a_galaxy_does_not_depend_on_its_neighbours(method, views):
    model, variables, images = views
    one, other = (
        cam(method, model, variables, x, GZ2.answer_names[0], "conv3", GZ2, "softmax")
        for x in (images, jnp.stack([images[2] / 2, images[1], images[0] * 2]))
    )
    assert one.pixels.shape == images.shape[:4]
    assert one.cells.shape[:2] == (3, 16)
    for x, y in zip(one, other, strict=True):
        np.testing.assert_array_equal(x[1], y[1])
        assert np.abs(x[0] - y[0]).max() > 0


@pytest.mark.parametrize("method", [ablation_cam, grad_cam])
def test_answers_have_heat_of_their_own(method, views):
    one, other = (
        cam(method, *views, answer, "conv3", GZ2, "softmax")
        for answer in GZ2.answer_names[:2]
    )
    assert np.abs(one.pixels - other.pixels).max() > 0.1


def that_answer_how_bright(model, images):
    """Variables under which every answer is how bright the input is."""
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), images, train=False))
    return jax.tree.map_with_path(
        lambda path, p: np.full(p.shape, 0.1 * (path[-1].key == "kernel"), p.dtype),
        shapes,
    )


PLACES = [(0, 4, 9), (0, 11, 3), (1, 16, 10), (1, 17, 3), (0, 17, 12), (0, 17, 1)]


@pytest.fixture(scope="module", params=[ablation_cam, grad_cam])
def bright(request):
    """Heat ``[b v h w]`` of images of one bright pixel, at (view, row, column)."""
    one = ("filters", "strides", "pools", "pool_strides", "weight_stds", "hidden")
    fields = {name: (1,) for name in one} | {"kernel_sizes": (3,)}
    model = ViewNet(21, 2, part_px=15, activation="relu", **fields)
    images = np.zeros((len(PLACES), 2, 21, 21, 3), np.float32)
    for image, place in zip(images, PLACES, strict=True):
        image[place] = 1
    variables = that_answer_how_bright(model, images)
    return np.array(cam(request.param, model, variables, images, ROUND, "conv1").pixels)


def test_parts_are_laid_back_on_their_view(bright):
    for heat, (view, row, column) in zip(bright[:4], PLACES[:4], strict=True):
        expected = np.zeros((2, 21, 21))
        expected[view, row - 1 : row + 2, column - 1 : column + 2] = 1
        np.testing.assert_allclose(heat, expected, atol=1e-5)


def test_a_part_counts_less_beyond_its_cells_than_one_with_cells_there(bright):
    # Parts end at column 14, their cells at 13; the parts from column 6 go on.
    inner, rim = bright[4, 0, 17], bright[5, 0, 17]
    np.testing.assert_allclose(inner[11:16], [1, 1, 1, 1 / 17, 0], atol=1e-5)
    np.testing.assert_allclose(rim[:4], [1, 1, 1, 0], atol=1e-5)  # no other part there


def test_rectified_maps_are_those_behind_the_relu():
    images = IMAGES - 0.5
    maps = np.maximum(images @ CHANNELS, 0)
    terms = maps.mean(axis=(1, 2)) * OUTPUTS[:, 1]
    weights = terms / terms.sum(axis=1, keepdims=True)
    result = cam(
        ablation_cam, Linear(True), LINEAR, images, LONG, "maps", rectified=True
    )
    np.testing.assert_allclose(result.weights, weights, atol=1e-5)
    heat = np.einsum("bhwc,bc->bhw", maps, weights)
    heat /= heat.max(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(result.cells, heat, atol=1e-5)
    plain = cam(ablation_cam, Linear(True), LINEAR, images, LONG, "maps")
    np.testing.assert_allclose(plain.weights, weights, atol=1e-5)
    assert np.abs(plain.cells - heat).max() > 0.1


@pytest.mark.parametrize("method", [ablation_cam, grad_cam])
def test_a_layer_that_no_relu_follows_is_not_rectified(method):
    images = IMAGES - 0.5
    with pytest.raises(UserError, match="no ReLU follows the layer 'maps'"):
        cam(method, Linear(), LINEAR, images, ROUND, "maps", rectified=True)


def centres_by_intervals(size, windows):
    """From the first and the last input pixel that each cell sees."""
    n = size
    for window in windows:
        n = window.output_size(n)
    low = high = np.arange(n)
    for w in reversed(windows):
        low, high = low * w.stride - w.padding, high * w.stride - w.padding + w.size - 1
    return (low + high) / 2


@pytest.mark.parametrize("network", [GroupCNN(116, 37), ResNet(224, 37)])
def test_cells_lie_where_their_windows_look(network):
    size, windows = network.input_size, network.windows()
    for depth in range(len(windows) + 1):
        expected = centres_by_intervals(size, windows[:depth])
        centres = cell_centres(len(expected), size, windows)
        np.testing.assert_array_equal(centres, expected)


def test_cells_of_unknown_windows_share_the_image():
    np.testing.assert_array_equal(cell_centres(4, 8, []), [0.5, 2.5, 4.5, 6.5])
    np.testing.assert_array_equal(cell_centres(2, 8, [Window("conv", 3)]), [1.5, 5.5])


def test_heat_of_a_plain_network_lies_on_what_it_sees():
    dense = {"hidden": (), "dropout_rates": (0.0,)}
    model = PlainCNN(16, 2, (1, 1), (3, 3), pools=(2, 1), **dense)
    image = np.zeros((1, 16, 16, 3), np.float32)
    image[0, 11, 4] = 1
    variables = that_answer_how_bright(model, image)
    assert list(layer_shapes(model, variables, image)) == ["conv1", "pool1", "conv2"]
    heat = np.array(cam(grad_cam, model, variables, image, ROUND, "conv2").pixels[0])
    rows, columns = np.nonzero(heat > 0.99)
    # The pixel lights the pool's rows 4, 5 and columns 1, 2. Cells of conv2 that see
    # both have their centres at rows 9.5, 11.5 and columns 3.5, 5.5, the outermost.
    assert (rows.min(), rows.max()) == (10, 15)
    assert (columns.min(), columns.max()) == (0, 5)


def test_heat_of_an_exact_residual_network_turns_with_the_image(residual):
    heat = cam(grad_cam, *residual, LONG, "layer1_1").pixels
    for g in range(1, 8):
        np.testing.assert_allclose(heat[g], act(heat[0], g, (0, 1)), atol=2e-3)
        assert np.abs(heat[g] - heat[0]).max() > 0.1


def test_pair_has_no_activation_maps():
    first, second = (PlainCNN(4, 2, (1,), (3,), pools=(1,)) for _ in range(2))
    model = Pair(4, 2, first, second)
    variables = model.init(jax.random.key(0), IMAGES, train=False)
    for method in (ablation_cam, grad_cam):
        with pytest.raises(UserError, match="no activation maps of a pair"):
            cam(method, model, variables, IMAGES, ROUND, "first/conv1")


def test_layers_are_those_with_maps(turned, views, residual):
    shapes = layer_shapes(*turned)
    layers = [(i, x) for i in range(1, 7) for x in ("conv", "norm", "pool")]
    assert list(shapes) == [
        f"{x}{i}" for i, x in layers if x != "pool" or i in (1, 2, 6)
    ]
    assert shapes["conv1"] == (8, 58, 58, 8, 1)
    shapes = layer_shapes(*views)
    assert [name for name in shapes if name.startswith("conv")] == [
        f"conv{i}" for i in range(1, 5)
    ]
    assert shapes["conv1"] == (3 * 16, 22, 22, 2)
    shapes = layer_shapes(*residual)
    assert list(shapes)[:8] == ["conv1", "norm1", "pool1"] + [
        f"layer1_0{x}" for x in ("/conv1", "/norm1", "/conv2", "/norm2", "")
    ]
    assert shapes["layer4_1"] == (8, 2, 2, 8, 4)


def test_a_layer_called_twice_or_within_another_has_its_place():
    class Block(nn.Module):
        @nn.compact
        def __call__(self, x):
            shared = nn.Dense(3, name="shared")
            return shared(shared(nn.Dense(3, name="first")(x)))

    class Outer(nn.Module):
        @nn.compact
        def __call__(self, x, train):
            return Block(name="block")(x).mean(axis=(1, 2))

    variables = Outer().init(jax.random.key(0), IMAGES, train=False)
    assert list(layer_shapes(Outer(), variables, IMAGES)) == ["block/first", "block"]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"layer": "conv9"}, r"no layer 'conv9'; there are: maps \[3, 4, 4, 4\]"),
        ({"layer": "outputs"}, "no layer 'outputs'; there are: maps"),
        ({"answer": "round"}, "no answer 'round'; there are: shape.round, shape.long"),
        ({"head": "tail"}, "no head 'tail'; there are: divisive, softmax"),
    ],
)
def test_what_there_is_not_is_refused(wrong, message):
    choice = {"answer": ROUND, "layer": "maps", "tree": TREE, "head": "relu"} | wrong
    with pytest.raises(UserError, match=message):
        ablation_cam(Linear(), LINEAR, IMAGES, **choice)
    if "head" not in wrong:
        del choice["head"]
        with pytest.raises(UserError, match=message):
            grad_cam(Linear(), LINEAR, IMAGES, **choice)


def test_overlay_shows_the_image_where_it_is_cold_and_colour_where_it_is_hot():
    image = RNG.integers(0, 256, (2, 3, 3), np.uint8)
    heat = np.array([[0.0, 0.5, 1.0], [0.0, 0.0, 0.0]], np.float32)
    painted = overlay(image, heat, opacity=1.0)
    assert painted.dtype == np.uint8
    np.testing.assert_array_equal(painted[heat == 0], image[heat == 0])
    inferno = colormaps["inferno"](heat, bytes=True)[..., :3]
    np.testing.assert_allclose(painted[0, 2], inferno[0, 2], atol=1)
    between = (image[0, 1].astype(float) + inferno[0, 1]) / 2
    np.testing.assert_allclose(painted[0, 1], between, atol=1.5)
    with pytest.raises(ValueError, match="do not match"):
        overlay(image, heat[:1])
