"""A batch that devices share is drawn for and normalised as on one device."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from gzjax.models.layers import Dropout, GroupBatchNorm
from gzjax.models.view_net import ViewNet
from gzjax.steps.mesh import make_mesh

ROWS, WHOLE = PartitionSpec("data"), PartitionSpec()


def on_devices(function, num_devices, outs=ROWS):
    mesh = make_mesh(jax.devices()[:num_devices])
    return jax.jit(jax.shard_map(function, mesh=mesh, in_specs=ROWS, out_specs=outs))


@pytest.mark.parametrize("num_devices", [2, 4])
@pytest.mark.parametrize(
    "draw",
    [
        lambda x, key: Dropout(0.5, False).apply({}, x, rngs={"dropout": key}),
        lambda x, key: ViewNet(45, 37, input_noise=1.0).apply(
            {}, x, True, rngs={"dropout": key}, method="_noisy"
        ),
    ],
    ids=["dropout", "input_noise"],
)
def test_draws_do_not_depend_on_devices(draw, num_devices, key):
    x = jnp.ones((8, 40))
    whole = draw(x, key)
    shared = on_devices(lambda x: draw(x, key), num_devices)(x)
    np.testing.assert_allclose(shared, whole, rtol=1e-6)
    assert len(np.unique(whole, axis=0)) == 8


def test_statistics_are_those_of_the_whole_batch(key):
    norm = GroupBatchNorm(use_running_average=False)
    x = jax.random.normal(key, (8, 3, 3, 4, 2)) + jnp.arange(8.0).reshape(8, 1, 1, 1, 1)
    variables = norm.init(key, x)

    def normalise(x):
        return norm.apply(variables, x, mutable=["batch_stats"])

    whole = normalise(x)
    shared = on_devices(normalise, 4, (ROWS, WHOLE))(x)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), whole, shared
    )
    assert abs(normalise(x[:2])[0] - whole[0][:2]).max() > 0.1
