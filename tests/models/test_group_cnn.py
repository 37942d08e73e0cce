"""The p4 / p4m network: counts, exact invariance, and controls that must fail."""

import functools

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from invariance import largest_change, trained

from gzjax.models.group_cnn import GroupCNN
from gzjax.models.layers import GroupBatchNorm, GroupConv
from gzjax.ops.groups import GROUPS, act, act_on_features
from gzjax.ops.pooling import max_pool
from gzjax.ops.windows import Window

SMALL = (2, 3, 4, 4, 4, 4)


class Layers(nn.Module):
    """One of each: lifting, batch norm, ReLU, group convolution, overlapping pool."""

    group: str
    stride: int
    train: bool

    @nn.compact
    def __call__(self, x):
        x = GroupConv(self.group, 3, 3, self.stride, 1)(x)
        x = nn.relu(GroupBatchNorm(not self.train)(x))
        return max_pool(GroupConv(self.group, 4, 3)(x), Window("pool", 3, 2, 1))


@pytest.mark.parametrize("group", ["p4", "p4m"])
@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize(("stride", "size"), [(1, 11), (2, 13)])
def test_layers_are_equivariant_for_every_element(group, train, stride, size, key):
    layers = Layers(group, stride, train)
    x = jax.random.normal(key, (2, size, size, 1, 3))
    variables = jax.tree.map(
        lambda p: p + 0.3 * jax.random.uniform(key, p.shape),
        jax.jit(layers.init)(key, x),
    )
    apply = jax.jit(lambda x: layers.apply(variables, x, mutable=["batch_stats"])[0])
    y = apply(x)
    for g in range(GROUPS[group].order):
        expected = act_on_features(y, g, GROUPS[group])
        np.testing.assert_allclose(apply(act(x, g)), expected, atol=1e-4)


def make(exact=True, size=62, group="p4m", seed=0):
    model = GroupCNN(size, 5, group, SMALL, hidden=8, exact=exact, dropout_rate=0.0)
    images = jax.random.uniform(jax.random.key(seed), (3, size, size, 3))
    init = jax.jit(functools.partial(model.init, train=False))
    return model, init(jax.random.key(seed + 1), images), images


@pytest.mark.parametrize("group", ["p4", "p4m"])
def test_exact_network_is_invariant_before_and_after_training(group):
    model, variables, images = make(group=group)
    for state in (variables, trained(model, variables, images)):
        assert largest_change(model, state, images, train=False) < 1e-4
        assert largest_change(model, state, images, train=True) < 1e-4


@pytest.mark.slow
def test_flagship_is_invariant_in_full():
    model = GroupCNN(116, 37)
    images = jax.random.uniform(jax.random.key(0), (2, 116, 116, 3))
    variables = model.init(jax.random.key(1), images, train=False)
    assert largest_change(model, variables, images, False) < 1e-4
    assert largest_change(model, variables, images, True) < 1e-4


def test_negative_control_published_geometry_and_head():
    model, variables, images = make(exact=False, size=64)
    assert largest_change(model, variables, images, False) > 0.05


def test_negative_control_batch_norm_per_element(key):
    x = jax.random.normal(key, (2, 5, 5, 8, 3))
    for shared in (True, False):
        norm = GroupBatchNorm(True, shared=shared)
        variables = norm.init(key, x)
        scale = jax.random.uniform(key, variables["params"]["scale"].shape)
        variables = {**variables, "params": {**variables["params"], "scale": scale}}
        y = norm.apply(variables, x)
        group = GROUPS["p4m"]
        errors = [
            jnp.abs(
                norm.apply(variables, act_on_features(x, g, group))
                - act_on_features(y, g, group)
            ).max()
            for g in range(1, 8)
        ]
        assert max(errors) < 1e-5 if shared else min(errors) > 0.1


def test_batch_norm_is_numpy(key):
    x = np.asarray(3 * jax.random.normal(key, (4, 5, 5, 8, 3)) + 2)
    norm = GroupBatchNorm(use_running_average=False)
    y, new = norm.apply(norm.init(key, x), x, mutable=["batch_stats"])
    mean, var = np.mean(x, (0, 1, 2, 3)), np.var(np.float64(x), (0, 1, 2, 3))
    np.testing.assert_allclose(y, (x - mean) / np.sqrt(var + 1e-5), atol=1e-4)
    np.testing.assert_allclose(new["batch_stats"]["mean"], 0.1 * mean, rtol=1e-4)
    np.testing.assert_allclose(new["batch_stats"]["var"], 0.9 + 0.1 * var, rtol=1e-4)


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("train", [True, False])
def test_batch_norm_adds_the_bias_that_it_is_given(train, shared, key):
    x, bias = jax.random.normal(key, (4, 5, 5, 8, 3)), jnp.array([3.0, -1.0, 0.5])
    norm = GroupBatchNorm(not train, shared=shared)
    variables = jax.tree.map(lambda v: v + 0.3, norm.init(key, x))

    def apply(*inputs):
        return norm.apply(variables, *inputs, mutable=["batch_stats"])

    added = x + bias.reshape(1, 1, 1, 1, 3)
    chex.assert_trees_all_close(apply(x, bias), apply(added), atol=1e-4)
    gradient = jax.grad(lambda bias: (apply(x, bias)[0] ** 3).sum())(bias)
    assert (gradient == 0).all() == train


def test_wrong_size_group_or_width_is_refused_at_construction():
    with pytest.raises(ValueError, match=r"pool1.*80, 98, 116, 134"):
        GroupCNN(112, 37)
    with pytest.raises(ValueError, match="group is 'p1'; there are: p4, p4m"):
        GroupCNN(116, 37, "p1")
    with pytest.raises(ValueError, match="for each of the 6 convolutions"):
        GroupCNN(116, 37, planes=(8, 16))
    for field, value in (("hidden", 0), ("dropout_rate", 2)):
        with pytest.raises(ValueError, match=f"{field} is {value}"):
            GroupCNN(116, 37, **{field: value})


def test_initial_spread_follows_the_true_fan_in(key):
    conv = GroupConv("p4m", 64, 3)
    kernel = conv.init(key, jnp.zeros((1, 5, 5, 8, 16)))["params"]["kernel"]
    np.testing.assert_allclose(kernel.std(), np.sqrt(2 / (9 * 8 * 16)), rtol=0.02)
