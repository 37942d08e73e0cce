"""bfloat16 where it is meant to be, and nowhere else; the exact network stays exact."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import jaxprs_in_params
from test_remat import make_resnet_config
from tiny import make_config, make_plain_config, make_view_config

from gzjax.models import make_model, network_input
from gzjax.ops.groups import act
from gzjax.ops.heads import HEADS
from gzjax.trees import GZ2

NETWORKS = {
    "group_cnn": make_config,
    "published": lambda **fields: make_config(model__exact=False, **fields),
    "view_net": make_view_config,
    "plain_cnn": lambda **fields: make_plain_config(
        model__hidden_norm=True, model__attention="cbam", **fields
    ),
    "resnet": make_resnet_config,
}
PRODUCTS = ("dot_general", "conv_general_dilated")


def build(name, compute_dtype):
    config = NETWORKS[name](compute_dtype=compute_dtype)
    model = make_model(config, 37)
    views, size = len(config.view.angles_deg), config.view.size_px
    images = jax.random.normal(jax.random.key(0), (4, views, size, size, 3))
    return model, network_input(model, images)


def equations(jaxpr):
    for equation in jaxpr.eqns:
        yield equation
        for inner in jaxprs_in_params(equation.params):
            yield from equations(inner)


@pytest.mark.parametrize("name", NETWORKS)
def test_all_products_but_the_outputs_are_in_bfloat16(name):
    model, images = build(name, "bfloat16")
    variables = jax.eval_shape(
        lambda: model.init(jax.random.key(1), images, train=False)
    )

    def forward(variables):
        rngs = {"dropout": jax.random.key(2)}
        return model.apply(variables, images, True, mutable=["batch_stats"], rngs=rngs)

    logits, new = jax.eval_shape(forward, variables)
    for leaf in jax.tree.leaves((variables, logits, new)):
        assert leaf.dtype == jnp.float32
    made = equations(jax.make_jaxpr(forward)(variables).jaxpr)
    products = [e.invars for e in made if e.primitive.name in PRODUCTS]
    # Those of vectors are the sums over a group in batch norm.
    types = [x.aval.dtype for x, w in products if min(x.aval.ndim, w.aval.ndim) > 1]
    assert types[-1] == jnp.float32  # the outputs
    assert set(types[:-1]) == {jnp.dtype("bfloat16")}


@pytest.fixture(scope="module")
def both():
    """Images, and the exact network's votes of them in both types."""
    model, images = build("group_cnn", "float32")
    variables = jax.jit(lambda: model.init(jax.random.key(1), images, train=False))()
    variables["params"]["outputs"]["kernel"] *= 100  # else all answers are the bias

    def program(compute_dtype):
        network = model.clone(compute_dtype=compute_dtype)
        return jax.jit(
            lambda x: HEADS["softmax"](network.apply(variables, x, train=False), GZ2)[1]
        )

    return images, program(jnp.float32), program(jnp.bfloat16)


def test_answers_are_those_of_float32_to_the_rounding(both):
    images, exact, rounded = both
    a, b = exact(images), rounded(images)
    assert float(jnp.std(a, axis=0).max()) > 0.01  # galaxies are told apart
    assert 1e-6 < float(abs(a - b).max()) < 0.02


def test_exact_network_stays_invariant(both):
    """R, over all elements, within what is asked of bfloat16."""
    images, _, rounded = both
    votes = np.stack([rounded(act(images, i)) for i in range(8)])
    robustness = np.sqrt(((votes[1:] - votes[0]) ** 2).mean(axis=(0, 2))).mean()
    assert robustness < 2e-4
