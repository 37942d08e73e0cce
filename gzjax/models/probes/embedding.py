"""What a network knows of a galaxy before it answers: the input of its ``outputs``.

The exact networks have pooled it over the feature map and the group, so it does not
change when the galaxy is turned or mirrored. In the ResNets a hidden layer, if there is
one, lies between the pool and it.
"""

from collections.abc import Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp

from gzjax.models import network_input
from gzjax.models.probes.layer_maps import read_calls


def embed(model: nn.Module, variables: Mapping, images: jax.Array) -> jax.Array:
    """Returns the last features ``[b f]``, float32 or wider; a pair's two side by side.

    Args:
        model: a network that is called as ``model(images, train)``.
        images: ``[b h w c]``, for a ViewNet ``[b v h w c]``, normalised.
    """
    calls = read_calls(model, variables, images, train=False)
    # A layer that every network has, and a pair twice.
    seen = [call.input for call in calls if call.module.name == "outputs"]
    features = jnp.concatenate(seen, axis=-1)
    return features.astype(jnp.promote_types(features.dtype, jnp.float32))


def num_features(model: nn.Module, num_views: int) -> int:
    """Returns f of :func:`embed` for a network of ``num_views`` views."""
    size = model.input_size

    def features():
        images = network_input(model, jnp.zeros((1, num_views, size, size, 3)))
        variables = model.init(jax.random.key(0), images, train=False)
        return embed(model, variables, images)

    return jax.eval_shape(features).shape[-1]
