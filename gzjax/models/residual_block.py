"""The block of a residual network (He et al. 2016), over a group."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from gzjax.models.layers import GroupBatchNorm, GroupConv
from gzjax.ops.windows import Window

EXPANSION = 4  # planes out of a bottleneck, times those within


def block_windows(stride: int, bottleneck: bool) -> list[Window]:
    """The convolutions of a block, in order."""
    if bottleneck:
        return [
            Window("conv1", 1),
            Window("conv2", 3, stride, 1),
            Window("conv3", 1),
        ]
    return [Window("conv1", 3, stride, 1), Window("conv2", 3, 1, 1)]


class Block(nn.Module):
    """``[b h w g c] → [b h' w' g c']``: the input plus what the convolutions add.

    Attributes:
        group: one of ``GROUPS``.
        planes: of the first convolutions, and out unless ``bottleneck``.
        stride: of the first 3x3 convolution.
        bottleneck: 1x1, 3x3, 1x1 to ``EXPANSION * planes``; else two of 3x3.
        use_bias: of the 3x3 convolutions.
        shared_norm: batch norm per plane; False: per plane and element.
        param_dtype: of the parameters.
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
        windows = block_windows(self.stride, self.bottleneck)
        planes = [self.planes] * len(windows)
        if self.bottleneck:
            planes[-1] *= EXPANSION
        y = x
        for i, (window, features) in enumerate(zip(windows, planes, strict=True)):
            y = self._conv(y, window, features)
            y = self._norm(y, f"norm{i + 1}", train)
            y = nn.relu(y) if window is not windows[-1] else y
        if self.stride > 1 or x.shape[-1] != planes[-1]:
            x = self._conv(x, Window("downsample_conv", 1, self.stride), planes[-1])
            x = self._norm(x, "downsample_norm", train)
        return nn.relu(x + y)

    def _conv(self, x, window, planes):
        return GroupConv(
            self.group,
            planes,
            window.size,
            window.stride,
            window.padding,
            use_bias=self.use_bias and window.size == 3,
            param_dtype=self.param_dtype,
            name=window.name,
        )(x)

    def _norm(self, x, name, train):
        return GroupBatchNorm(
            not train,
            shared=self.shared_norm,
            param_dtype=self.param_dtype,
            name=name,
        )(x)
