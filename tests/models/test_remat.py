"""Feature maps computed again for the gradient: the same numbers, of every network."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict
from tiny import make_config, make_plain_config, make_view_config

from gzjax.models import make_model, network_input

RESNET = {"name": "resnet", "planes": (1, 1, 1, 1), "hidden": (3,)}


def make_resnet_config(**changes):
    config = make_config(view__size_px=33, **changes)
    config.model = ConfigDict(RESNET)
    return config


NETWORKS = {  # and how many layers are computed again
    "group_cnn": (make_config, 6),
    "view_net": (make_view_config, 4),
    "plain_cnn": (make_plain_config, 1),
    "resnet": (make_resnet_config, 9),
}


def make_gradient(name, remat):
    """A function of variables: loss, statistics and gradient in training; variables."""
    config = NETWORKS[name][0](remat=remat)
    model = make_model(config, 5)
    views, size = len(config.view.angles_deg), config.view.size_px
    images = jax.random.uniform(jax.random.key(0), (2, views, size, size, 3))
    images = network_input(model, images)

    def loss(params, variables):
        variables = {**variables, "params": params}
        options = {"mutable": ["batch_stats"], "rngs": {"dropout": jax.random.key(2)}}
        logits, new = model.apply(variables, images, train=True, **options)
        return jnp.mean(logits**2), new

    def gradient(variables):
        return jax.value_and_grad(loss, has_aux=True)(variables["params"], variables)

    shapes = jax.eval_shape(lambda: model.init(jax.random.key(1), images, train=False))
    rng = np.random.default_rng(3)
    return gradient, jax.tree.map(
        lambda x: jnp.asarray(rng.uniform(0, 0.3, x.shape), x.dtype), shapes
    )


@pytest.mark.parametrize(
    ("name", "remat"), [*((name, True) for name in NETWORKS), ("plain_cnn", False)]
)
def test_every_layer_is_computed_again_if_asked(name, remat):
    gradient, variables = make_gradient(name, remat)
    equations = jax.make_jaxpr(gradient)(variables).jaxpr.eqns
    found = [e for e in equations if "prevent_cse" in e.params]
    assert len(found) == (NETWORKS[name][1] if remat else 0)


def test_numbers_are_the_same():
    kept, again = (
        jax.jit(gradient)(variables)
        for gradient, variables in (
            make_gradient("plain_cnn", remat) for remat in (False, True)
        )
    )
    # Of the bias before a norm the gradient is 0, and what is found rounding.
    largest = max(abs(x).max() for x in jax.tree.leaves(kept[1]))
    for a, b in zip(jax.tree.leaves(kept), jax.tree.leaves(again), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6 * largest)
