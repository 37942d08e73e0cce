"""Errors of any module's layers: none at exact elements, and what is planted."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from gzjax.layers import (
    GroupBatchNorm,
    GroupConv,
    act,
    equivariance_error,
    group_pool,
)
from gzjax.models.probes.equivariance import error_of, layer_table

NOISE = np.random.default_rng(0).normal(size=(6, 17, 17, 2)).astype(np.float32)
IMAGES = ndimage.gaussian_filter(NOISE, (0, 2, 2, 0))


class Small(nn.Module):
    """An exact network; ``relu`` and a norm come between its convolutions."""

    shared: bool = True

    @nn.compact
    def __call__(self, images):
        x = GroupConv("p4m", 2, 3, name="conv1")(images[..., None, :])
        x = GroupBatchNorm(True, shared=self.shared, name="norm1")(x)
        x = GroupConv("p4m", 3, 3, name="conv2")(nn.relu(x))
        return nn.Dense(4, name="outputs")(group_pool(x).mean(axis=(1, 2)))


def errors_of(module, **options):
    variables = jax.jit(module.init)(jax.random.key(0), IMAGES)
    if isinstance(module, Small):
        scale = variables["params"]["norm1"]["scale"]
        variables["params"]["norm1"]["scale"] = scale + jnp.arange(
            scale.size, dtype=scale.dtype
        ).reshape(scale.shape)
    return equivariance_error(module, variables, IMAGES, **options)


def test_an_exact_network_loses_float_error_at_every_element():
    errors = errors_of(Small())
    assert list(errors) == ["view", "conv1", "norm1", "conv2", "outputs"]
    for of_change in errors.values():
        assert list(of_change) == [f"element {i}" for i in range(1, 8)] + [
            "22.5°",
            "45°",
        ]
        assert all(of_change[f"element {i}"] < 1e-5 for i in range(1, 8))
    assert errors["conv2"]["45°"] > 2 * errors["view"]["45°"] > 0


def test_a_norm_for_each_element_is_seen_where_it_is():
    errors = errors_of(Small(shared=False), elements=(1, 4), angles_deg=())
    for change in ("element 1", "element 4"):
        assert errors["conv1"][change] < 1e-5
        assert errors["norm1"][change] > 0.01


class Opposite(nn.Module):
    """Two elements whose mean is 0: what moves is seen in their positive parts."""

    @nn.compact
    def __call__(self, images):
        right = images - images[:, :, ::-1]
        return jnp.stack([right, -right], axis=3), images.mean(axis=(1, 2))


class Twice(nn.Module):
    """Calls one layer twice, a dropout that does nothing, and one that has two."""

    @nn.compact
    def __call__(self, images):
        dense = nn.Dense(2, name="dense")
        x = nn.Dropout(0.5, deterministic=True)(dense(dense(images)))
        return Opposite(name="opposite")(x)


def test_what_a_mean_hides_is_seen():
    errors = errors_of(Opposite(), elements=(1, 4), angles_deg=())
    assert errors["output[0]"]["element 1"] > 0.3
    assert errors["output[0]"]["element 4"] < 1e-6
    assert errors["output[1]"]["element 1"] < 1e-6


def test_each_call_has_a_name_of_its_own():
    layers = ["view", "dense", "dense#2", "opposite[0]", "opposite[1]"]
    assert list(errors_of(Twice(), elements=(1,), angles_deg=())) == layers
    table = layer_table(Opposite(), {}, IMAGES)
    assert table[1].output == (6, 17, 17, 2, 2)


def test_errors_are_relative_to_the_spread():
    np.testing.assert_allclose(error_of([[0.04, 4.0], [2.0, 1.0]]), [0.1, 2**0.5])
    assert error_of([0.0, 0.0]) == 0


@pytest.mark.parametrize("shape", [(1, 9, 9, 3), (4, 9, 8, 3), (9, 9, 3)])
def test_images_that_cannot_be_judged_are_refused(shape):
    with pytest.raises(ValueError, match="not \\[b n n c\\] with b >= 2"):
        equivariance_error(Small(), {}, np.zeros(shape, np.float32))


def test_elements_are_those_of_act():
    moved = act(IMAGES, 1)
    assert np.abs(moved - IMAGES).max() > 0.1
    errors = errors_of(Small(), elements=(), angles_deg=(90.0,))
    assert errors["outputs"]["90°"] < 1e-4


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((3, 9, 9, 1)), "do not differ"),
        (np.full((3, 9, 9, 1), np.nan), "not finite"),
    ],
)
def test_images_that_tell_nothing_are_refused(images, message):
    with pytest.raises(ValueError, match=message):
        equivariance_error(Opposite(), {}, images)


def test_a_number_for_a_sequence_is_refused():
    with pytest.raises(ValueError, match=r"angles_deg is 45\.0: give a sequence"):
        equivariance_error(Opposite(), {}, IMAGES, angles_deg=45.0)


@pytest.mark.parametrize("kind", [np.uint8, np.float16])
def test_narrow_numbers_turn_as_floats_do(kind):
    images = (255 * (IMAGES > 0)).astype(kind)
    here, there = (
        equivariance_error(Opposite(), {}, x, elements=(), angles_deg=(30.0,))
        for x in (images, images.astype(np.float32))
    )
    assert here == there


class Saliency(nn.Module):
    """Returns a map without features, one number for each image, and a table."""

    @nn.compact
    def __call__(self, images):
        table = jnp.ones((2 * len(images), 5))
        return images.mean(axis=-1), images.mean(axis=(1, 2, 3)), table


def test_maps_and_numbers_without_features_are_measured():
    errors = errors_of(Saliency(), elements=(1, 5), angles_deg=())
    assert list(errors) == ["view", "output[0]", "output[1]"]
    assert all(error < 1e-5 for row in errors.values() for error in row.values())


class Wrapped(nn.Module):
    """Hides a layer from outside, or trains."""

    train: bool = False

    @nn.compact
    def __call__(self, images):
        if self.train:
            return GroupBatchNorm(False)(images)
        return nn.remat(nn.Dense)(2)(images)


@pytest.mark.parametrize(
    ("module", "message"), [(Wrapped(), "nn.remat"), (Wrapped(True), "train=False")]
)
def test_modules_that_cannot_be_looked_into_are_refused(module, message):
    with pytest.raises(ValueError, match=message):
        errors_of(module, elements=(1,), angles_deg=())
