"""The public group layers, for images of any kind.

Feature maps over a group are ``[b h w g c]``; an image ``[b h w c]`` becomes one, of a
single element, as ``image[..., None, :]``. See docs/layers.md for an example.

* :class:`GroupConv`: the lifting convolution of an image, or the group convolution of
  a feature map; :class:`WholeMapGroupConv`, whose filter is as large as that. With
  :class:`Rings` their filters are steerable: they turn by any angle.
* :class:`GroupBatchNorm`: batch norm with one scale and shift for a plane's elements.
* :func:`max_pool` and :func:`blur_pool` with a :class:`Window`; :func:`group_pool`,
  over the group.
* :data:`GROUPS`: "p1", "p4", "p4m", "c8", "d12" and others, with their Cayley tables
  and inverses.
* :func:`mask_corners`: keeps the disc of an image that stays in view when it turns.
* :func:`act` and :func:`act_on_features`: how an element moves images and feature maps.
* :func:`check_exact`: whether windows commute with quarter turns and mirror images.
* :func:`equivariance_error`: which layer of any Flax module loses its equivariance.
* :func:`compiler_options`: for your own ``jax.jit``, so that a CPU convolves quickly.
"""

from gzjax.models.layers import GroupBatchNorm, GroupConv, WholeMapGroupConv
from gzjax.models.probes.equivariance import equivariance_error
from gzjax.ops.compiler import compiler_options
from gzjax.ops.groups import GROUPS, Group, act, act_on_features
from gzjax.ops.pooling import blur_pool, group_pool, max_pool
from gzjax.ops.steerable import Rings, mask_corners
from gzjax.ops.windows import Window, check_exact

__all__ = [
    "GROUPS",
    "Group",
    "GroupBatchNorm",
    "GroupConv",
    "Rings",
    "WholeMapGroupConv",
    "Window",
    "act",
    "act_on_features",
    "blur_pool",
    "check_exact",
    "compiler_options",
    "equivariance_error",
    "group_pool",
    "mask_corners",
    "max_pool",
]
