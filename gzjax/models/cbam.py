"""Convolutional block attention (Woo et al. 2018): which channels, and then where.

    x' = x · Mc(x),  Mc = sigmoid(MLP(max of x) + MLP(mean of x)) per channel
    y  = x' · Ms(x'),  Ms = sigmoid(conv7x7([max of x', mean of x'])) per place

The maximum and the mean are taken over the places for Mc and over the channels for Ms.
The MLP has one hidden layer of as many units as channels (a reduction of 1) and ReLU.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from gzjax.models.layers import Conv, weights
from gzjax.ops.pooling import largest

SPATIAL_KERNEL = 7


class Cbam(nn.Module):
    """Attention ``[b h w c] → [b h w c]``; if ``residual``, added to its input."""

    residual: bool = False
    param_dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        y = x * self._channel_attention(x)
        y = y * self._spatial_attention(y)
        return x + y if self.residual else y

    def _channel_attention(self, x):
        hidden, out = (
            nn.Dense(
                x.shape[-1],
                kernel_init=weights(0.0),
                dtype=x.dtype,
                param_dtype=self.param_dtype,
                name=name,
            )
            for name in ("channel_hidden", "channel_out")
        )
        places = x.reshape(len(x), -1, x.shape[-1])
        pooled = jnp.stack([largest(places, axis=1), places.mean(axis=1)])
        logits = out(nn.relu(hidden(pooled))).sum(axis=0)
        return nn.sigmoid(logits)[:, None, None]

    def _spatial_attention(self, x):
        pooled = jnp.stack([largest(x, axis=-1), x.mean(axis=-1)], axis=-1)
        conv = Conv(
            1,
            SPATIAL_KERNEL,
            padding=SPATIAL_KERNEL // 2,
            param_dtype=self.param_dtype,
            name="spatial_conv",
        )
        return nn.sigmoid(conv(pooled))
