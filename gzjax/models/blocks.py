"""Convolution and norm in one, and the block of residual networks, over a group."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from gzjax.models.layers import GroupBatchNorm, GroupConv
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
        use_bias: whether the convolution has a bias.
    """
    conv = GroupConv(
        network.group,
        planes,
        window.size,
        window.stride,
        window.padding,
        use_bias,
        network.param_dtype,
        name=window.name,
    )
    norm = GroupBatchNorm(
        not train,
        shared=shared,
        param_dtype=network.param_dtype,
        name=window.name.replace("conv", "norm"),
    )
    return norm(conv(x))


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
    """

    group: str
    planes: int
    stride: int
    bottleneck: bool
    use_bias: bool
    shared_norm: bool
    param_dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        *first, last = block_windows(self.stride, self.bottleneck)
        planes_out = self.planes * (EXPANSION if self.bottleneck else 1)
        y = x
        for window in first:
            y = nn.relu(self._conv_norm(y, window, self.planes, train))
        y = self._conv_norm(y, last, planes_out, train)
        if self.stride > 1 or x.shape[-1] != planes_out:
            shortcut = Window("downsample_conv", 1, self.stride)
            x = self._conv_norm(x, shortcut, planes_out, train)
        return nn.relu(x + y)

    def _conv_norm(self, x, window, planes, train):
        use_bias = self.use_bias and window.size == 3
        return conv_norm(self, x, window, planes, train, self.shared_norm, use_bias)
