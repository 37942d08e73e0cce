"""Two networks side by side: what each sees and answers, and how configs name them."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict
from tiny import PLAIN, make_config

from gzjax.errors import UserError
from gzjax.models import make_model
from gzjax.models.group_cnn import GroupCNN
from gzjax.models.plain_cnn import PlainCNN
from gzjax.steps.mesh import make_mesh
from gzjax.steps.optim import make_optimizer
from gzjax.steps.state import make_train_state
from gzjax.steps.steps import make_train_step
from gzjax.trees import GZ2

CNN = PLAIN | {"pools": (2,), "hidden": (4,)}
GROUPY = {"name": "group_cnn", "planes": (1, 1, 1, 1, 1, 2), "hidden": 3}
SIZE = 124  # of views; the group network sees 62


def config(**fields):
    result = make_config(view__size_px=SIZE)
    pair = {"name": "pair", "first": CNN, "second": GROUPY, "shrinks": (4, 2)}
    result.model = ConfigDict({**pair, **fields})
    return result


def build(**fields):
    model = make_model(config(**fields), 5)
    images = jax.random.uniform(jax.random.key(0), (2, SIZE, SIZE, 3))
    variables = jax.jit(lambda: model.init(jax.random.key(1), images, train=False))()
    return model, variables, images


@pytest.fixture(scope="module")
def pair():
    return build()


def of(variables, name):
    return {kind: tree[name] for kind, tree in variables.items() if name in tree}


def test_networks_are_built_for_what_they_see(pair):
    model, variables, _ = pair
    assert isinstance(model.first, PlainCNN)
    assert isinstance(model.second, GroupCNN)
    assert (model.first.input_size, model.second.input_size) == (31, 62)
    assert set(variables["params"]) == set(variables["batch_stats"])
    assert set(variables["params"]) == {"first", "second"}
    assert "hidden1" in variables["params"]["first"]


def apply(model, variables, images, train):
    """Logits, and the new statistics."""
    key = jax.random.key(0)
    return jax.jit(
        lambda: model.apply(
            variables, images, train, mutable=["batch_stats"], rngs={"dropout": key}
        )
    )()


@pytest.mark.parametrize("train", [False, True])
def test_each_answers_as_it_would_alone(pair, train):
    model, variables, images = pair
    logits, new = apply(model, variables, images, train)
    assert logits.shape == (2, 2, 5)
    for i, (name, shrink) in enumerate((("first", 4), ("second", 2))):
        n = SIZE // shrink
        means = images.reshape(2, n, shrink, n, shrink, 3).mean(axis=(2, 4))
        alone, stats = apply(getattr(model, name), of(variables, name), means, train)
        if not train:  # else each has dropout of its own
            np.testing.assert_allclose(logits[:, i], alone, rtol=1e-5)
        jax.tree.map(
            functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6),
            new["batch_stats"][name],
            stats["batch_stats"],
        )
    assert np.abs(logits[:, 0] - logits[:, 1]).max() > 1e-4


@pytest.mark.parametrize(("answers", "column"), [("first", 0), ("second", 1)])
def test_one_answers_alone_in_evaluation_and_the_other_is_not_computed(
    answers, column, pair
):
    _, variables, images = pair
    both, _ = apply(pair[0], variables, images, False)
    model = make_model(config(answers=answers), 5)
    other = "second" if answers == "first" else "first"
    without = jax.tree.map(lambda x: x, variables)
    for tree in without.values():
        tree[other] = {}  # would be missed
    logits, _ = apply(model, without, images, False)
    assert logits.shape == (2, 1, 5)
    np.testing.assert_allclose(logits[:, 0], both[:, column], rtol=1e-5)

    in_training, _ = jax.eval_shape(lambda: apply(model, variables, images, True))
    assert in_training.shape == (2, 2, 5)
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), images, train=False))
    assert set(shapes["params"]) == {"first", "second"}


def test_shrunk_views_turn_with_the_view(pair):
    model, variables, images = pair
    second = jax.jit(lambda x: model.apply(variables, x, train=False)[:, 1])
    logits = second(images)
    moved = second(jnp.rot90(images, axes=(1, 2)))
    np.testing.assert_allclose(moved, logits, atol=1e-4 * logits.std())


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"first": {**CNN, "name": "tund"}},
            "model.first.name is 'tund'; there are: group_cnn, ",
        ),
        ({"first": {**CNN, "name": "pair"}}, "config.model.first.name is 'pair';"),
        ({"second": {"planes": (1,)}}, "config.model.second.name is ''; there are:"),
        ({"second": "resnet"}, "config.model.second is 'resnet', not a network: give"),
        ({"second": {**GROUPY, "depth": 18}}, "argument 'depth'"),
        (
            {"second": {**GROUPY, "planes": (1,)}},
            "config.model.second and config.view: planes is (1,)",
        ),
        ({"shrinks": (4, 3)}, "two whole numbers above 0 that divide 124 px"),
        ({"shrinks": (4,)}, "shrinks is (4,), not two"),
        ({"shrinks": (4, 0)}, "shrinks is (4, 0), not two"),
        ({"shrinks": (4, 1)}, "124 px break the equivariance: pool1"),
        ({"answers": "third"}, "answers is 'third'; there are: both, first, second"),
        ({"third": CNN}, "argument 'third'"),
    ],
)
def test_wrong_configs_are_one_message(fields, message):
    with pytest.raises(UserError, match=re.escape(message)):
        make_model(config(**fields), 5)


def test_a_pair_sees_one_view():
    two = config()
    two.view.angles_deg = (0.0, 45.0)
    with pytest.raises(UserError, match="pair sees one view"):
        make_model(two, 5)


def test_loss_of_a_pair_by_hand():
    """Each network's own, and the weighted difference between their answers."""
    changed = config()
    changed.head, changed.mutual_weight = "sigmoid", 0.5
    changed.model.first.dropout_rates = (0.0, 0.0)
    changed.model.second.dropout_rate = 0.0
    model, tx = make_model(changed, 37), make_optimizer(changed)
    state = jax.jit(lambda: make_train_state(model, tx, changed))()
    rng = np.random.default_rng(0)
    batch = {
        "images": rng.integers(0, 256, (2, 1, SIZE, SIZE, 3), np.uint8),
        "colour": np.tile(np.eye(3, 4, dtype=np.float32), (2, 1, 1)),
        "targets": rng.uniform(size=(2, 37)).astype(np.float32),
    }
    view = changed.view
    pixels = (batch["images"][:, 0] / 255 - view.mean) / np.array(view.std)
    variables = {"params": state.params, "batch_stats": state.batch_stats}
    logits, _ = apply(model, variables, pixels.astype(np.float32), True)
    votes = 1 / (1 + np.exp(-np.asarray(logits)))
    own = [((votes[:, n] - batch["targets"]) ** 2).mean() for n in range(2)]
    between = ((votes[:, 0] - votes[:, 1]) ** 2).mean()
    assert between > 1e-6
    mesh = make_mesh(jax.devices()[:1])
    step = make_train_step(model, tx, changed, GZ2, mesh, changed.head)
    _, loss = step(state, batch)
    np.testing.assert_allclose(loss, sum(own) + 0.5 * between, rtol=1e-4)
