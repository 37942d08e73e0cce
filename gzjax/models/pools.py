"""Pools as layers without parameters, so that what they return can be looked at."""

import flax.linen as nn
import jax

from gzjax.ops.pooling import blur_pool, group_pool, max_pool, mean_pool
from gzjax.ops.windows import Window


class MaxPool(nn.Module):
    """The function :func:`max_pool` as a layer; give it the window's name."""

    window: Window

    def __call__(self, x: jax.Array) -> jax.Array:
        return max_pool(x, self.window)


class MeanPool(nn.Module):
    """The function :func:`mean_pool` as a layer; give it the window's name."""

    window: Window

    def __call__(self, x: jax.Array) -> jax.Array:
        return mean_pool(x, self.window)


class BlurPool(nn.Module):
    """The function :func:`blur_pool` as a layer; give it the window's name."""

    window: Window

    def __call__(self, x: jax.Array) -> jax.Array:
        return blur_pool(x, self.window)


class GroupPool(nn.Module):
    """The function :func:`group_pool` as a layer."""

    def __call__(self, x: jax.Array) -> jax.Array:
        return group_pool(x)
