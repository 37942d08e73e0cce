"""The D_N network: exact where pixels are moved; controls that must fail."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from invariance import largest_change, trained

from gzjax.models.steerable_cnn import SteerableCNN
from gzjax.ops.groups import GROUPS, act, act_on_features
from gzjax.ops.steerable import Rings

FIELDS = {
    "planes": (1, 2, 2, 2),
    "paddings": (0, 0, 2, 2),
    "hidden": 6,
    "dropout_rate": 0.0,
}


def make(size=62, **fields):
    model = SteerableCNN(size, 5, **{**FIELDS, **fields})
    images = jax.random.uniform(jax.random.key(0), (3, size, size, 3))
    init = jax.jit(functools.partial(model.init, train=False))
    return model, init(jax.random.key(1), images), images


@functools.partial(jax.jit, static_argnums=0)
def features(model, variables, images):
    _, seen = model.apply(
        variables,
        images,
        train=False,
        capture_intermediates=lambda module, name: name == "features",
        mutable=["intermediates"],
    )
    return seen["intermediates"]["features"][0]


@pytest.mark.parametrize(
    ("group", "fields"),
    [
        ("c8", {}),
        ("d12", {"activation": "elu"}),
        ("d16", {}),
        ("p4m", {"filters": "free"}),
        ("d8", {"pool": "max", "pool_sizes": (4, 3)}),
    ],
)
def test_quarter_turns_and_mirror_images_change_nothing(group, fields):
    model, variables, images = make(group=group, **fields)
    for state in (variables, trained(model, variables, images)):
        assert largest_change(model, state, images, train=False) < 1e-4
        assert largest_change(model, state, images, train=True) < 1e-4


def test_in_float64_they_change_nothing_to_its_last_digits():
    with jax.enable_x64(True):
        model, variables, images = make(
            param_dtype=jnp.float64, compute_dtype=jnp.float64
        )
        images = images.astype(jnp.float64)
        for train in (False, True):
            assert largest_change(model, variables, images, train) < 1e-12
        y = features(model, variables, images)
        for g in range(8):
            moved = features(model, variables, act(images, g))
            error = moved - act_on_features(y, g, GROUPS["d12"])
            assert np.abs(error).max() < 1e-12 * np.std(y)


def test_negative_control_harmonics_not_zero_at_the_centre(monkeypatch):
    def sample(self, size):
        basis = original(self, size)
        basis[size * size // 2] = 0.5
        return basis

    original = Rings.sample
    monkeypatch.setattr(Rings, "sample", sample)
    change = largest_change(*make(), train=False)
    monkeypatch.undo()
    assert change > 0.05


def test_windows_that_break_the_rule_are_refused():
    with pytest.raises(ValueError, match=r"pool1 has window 7, stride 3.*map of 59"):
        make(63)
    with pytest.raises(ValueError, match="'d12'; there are: p4, p4m"):
        make(filters="free")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"pool_sizes": (1, 6)}, "no stride above the size"),
        ({"pool_sizes": (2,) * 5, "pool_strides": (1,) * 5}, "each of the 4 pools"),
        ({"dropout_rate": 2}, "dropout_rate is 2"),
        ({"hidden": 0}, "hidden is 0"),
        ({"paddings": (0, 0, -1, 0)}, "paddings is"),
        ({"paddings": (0, 0, 1.0, 0)}, "paddings is"),
        ({"group": "p1"}, "group is 'p1'"),
        ({"paddings": (0, 0, 2, 0)}, "has no pixel in a filter of 1 px"),
    ],
)
def test_values_that_cannot_work_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        SteerableCNN(**{"input_size": 62, "num_outputs": 5, **FIELDS, **fields})
