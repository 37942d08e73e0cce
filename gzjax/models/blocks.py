"""Convolution and norm in one, the block of residual networks, and attention."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from gzjax.models.layers import Conv, GroupBatchNorm, GroupConv, weights
from gzjax.ops.pooling import largest
from gzjax.ops.steerable import Rings
from gzjax.ops.windows import Window

EXPANSION = 4  # planes out of a bottleneck, times those within


def conv_norm(
    network: nn.Module,
    x: jax.Array,
    window: Window,
    planes: int,
    train: bool,
    shared: bool,
    use_bias: bool = True,
    rings: Rings | None = None,
) -> jax.Array:
    """Applies a group convolution, then batch norm, in a ``@nn.compact`` method.

    Args:
        network: owns both layers, and has the fields ``group`` and ``param_dtype``.
        x: ``[b h w g c]``.
        window: slid by the convolution; its name gives those of the layers, "conv1" and
            "norm1".
        planes: features out.
        train: normalise by the batch's own statistics.
        shared: see :class:`GroupBatchNorm`.
        rings: see :class:`GroupConv`.
    """
    conv = GroupConv(
        network.group,
        planes,
        window.size,
        window.stride,
        window.padding,
        use_bias,
        add_bias=False,
        rings=rings,
        param_dtype=network.param_dtype,
        name=window.name,
    )
    norm = GroupBatchNorm(
        not train,
        shared=shared,
        param_dtype=network.param_dtype,
        name=window.name.replace("conv", "norm"),
    )
    x = conv(x)
    return norm(x, conv.get_variable("params", "bias"))


def block_windows(stride: int, bottleneck: bool) -> list[Window]:
    """Returns the convolutions of a block, in order."""
    if bottleneck:
        return [Window("conv1", 1), Window("conv2", 3, stride, 1), Window("conv3", 1)]
    return [Window("conv1", 3, stride, 1), Window("conv2", 3, 1, 1)]


class Block(nn.Module):
    """The block of He et al. (2016): the input plus what the convolutions add.

    Attributes:
        planes: features of the first convolutions, and out unless ``bottleneck``.
        stride: that of the first 3x3 convolution.
        bottleneck: 1x1, 3x3, 1x1 to ``EXPANSION * planes``; else two of 3x3.
        use_bias: whether the 3x3 convolutions have biases.
        shared_norm: batch norm per plane; if False, per plane and element.
        rings: see :class:`GroupConv`, for the 3x3 convolutions.
        activate: the non-linearity.
    """

    group: str
    planes: int
    stride: int
    bottleneck: bool
    use_bias: bool
    shared_norm: bool
    param_dtype: jnp.dtype
    rings: Rings | None = None
    activate: Callable[[jax.Array], jax.Array] = nn.relu

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        *first, last = block_windows(self.stride, self.bottleneck)
        planes_out = self.planes * (EXPANSION if self.bottleneck else 1)
        y = x
        for window in first:
            y = self.activate(self._conv_norm(y, window, self.planes, train))
        y = self._conv_norm(y, last, planes_out, train)
        if self.stride > 1 or x.shape[-1] != planes_out:
            shortcut = Window("downsample_conv", 1, self.stride)
            x = self._conv_norm(x, shortcut, planes_out, train)
        return self.activate(x + y)

    def _conv_norm(self, x, window, planes, train):
        use_bias, rings = self.use_bias, self.rings
        if window.size == 1:
            use_bias, rings = False, None
        shared = self.shared_norm
        return conv_norm(self, x, window, planes, train, shared, use_bias, rings)


class Cbam(nn.Module):
    """Convolutional block attention (Woo et al. 2018): which channels, and then where.

        x' = x · Mc(x),  Mc = sigmoid(MLP(max of x) + MLP(mean of x)) per channel
        y  = x' · Ms(x'),  Ms = sigmoid(conv7x7([max of x', mean of x'])) per place

    The maximum and the mean are taken over the places for Mc and over the channels for
    Ms. The MLP has one hidden layer of as many units as channels (a reduction of 1) and
    ReLU. If ``residual``, y is added to x ``[b h w c]``.
    """

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
        dtype = self.param_dtype
        conv = Conv(1, 7, padding=3, param_dtype=dtype, name="spatial_conv")
        return nn.sigmoid(conv(pooled))
