"""Residual networks (He et al. 2016), planar or over p4 and p4m.

Torchvision's geometry: a 7x7 convolution of stride 2 and a max pool, four stages of
blocks of two 3x3 convolutions (or 1x1, 3x3, 1x1), of which the last three start with a
stride of 2, in the 3x3; the mean over the last feature map; dense layers. Over the
trivial group p1 these are the ordinary networks.

As published at 224 px every strided window leaves out pixels on one side, batch norm
has a scale per element, and the dense layers see the elements side by side. *Exact*:
225 px (or another 32 m + 1), where every window obeys the window rule; shared batch
norm; and the mean over the group. Every output is then invariant to all elements, to
float error.

*Steerable filters* carry this to other angles, about as well as 3x3 filters can: the
corners of the view are masked, convolutions have no stride, and blur pools shrink the
feature maps instead.
"""

import itertools

import flax.linen as nn
import jax

from gzjax.models.blocks import Block, block_windows, conv_norm
from gzjax.models.network import Network, run_layer
from gzjax.models.pools import BlurPool, GroupPool, MaxPool
from gzjax.ops.groups import GROUPS, PIXEL_GROUPS
from gzjax.ops.steerable import Rings, mask_corners
from gzjax.ops.windows import Window, check_exact, output_size

DEPTHS = {  # blocks of the four stages, and whether they are bottlenecks
    18: ((2, 2, 2, 2), False),
    34: ((3, 4, 6, 3), False),
    50: ((3, 4, 6, 3), True),
    101: ((3, 4, 23, 3), True),
    152: ((3, 8, 36, 3), True),
}
STEM = (Window("conv1", 7, 2, 3), Window("pool1", 3, 2, 1))
STEERABLE_STEM = (Window("conv1", 7, 1, 3), Window("pool1", 11, 4, 5))
STEM_RINGS = Rings((0.0, 1.0, 2.0), (0, 1, 2))
BLOCK_RINGS = Rings((0.0, 1.0), (0, 1))


class ResNet(Network):
    """``images [b h w c], train → logits [b a]``.

    Attributes:
        depth: a key of ``DEPTHS``.
        group: one of ``GROUPS``; with free filters, of ``PIXEL_GROUPS``.
        planes: features of the stages, times the group's order in channels; the stem
            has those of the first.
        exact: see the module; if False, the published geometry, norm and head.
        block_bias: the blocks' 3x3 convolutions have biases.
        hidden: see :meth:`Network.dense_layers`, also for ``dropout_rates``.
        filters: "free", or "steerable" (see the module).
    """

    depth: int = 18
    group: str = "p1"
    planes: tuple[int, ...] = (64, 128, 256, 512)
    exact: bool = False
    block_bias: bool = False
    hidden: tuple[int, ...] = (500,)
    dropout_rates: tuple[float, ...] = (0.5, 0.5)
    filters: str = "free"

    def __post_init__(self):
        super().__post_init__()
        self.check_choice("depth", DEPTHS)
        self.check_choice("filters", ("free", "steerable"))
        if self._steers() and not self.exact:
            raise ValueError("filters is 'steerable' and exact False: give exact=True")
        self.check_choice("group", GROUPS if self._steers() else PIXEL_GROUPS)
        self.check_lengths(["planes"], 4, "stages")
        self.check_whole(["planes"])
        self.check_dense_layers()
        (check_exact if self.exact else output_size)(self.input_size, self.windows())

    def windows(self) -> list[Window]:
        """Returns the windows of the main path; shortcuts obey the rule with them."""
        bottleneck = DEPTHS[self.depth][1]
        result = list(self._stem_windows())
        for name, _, stride, pools in self._blocks():
            result += pools
            result += [
                Window(f"{name}/{w.name}", w.size, w.stride, w.padding)
                for w in block_windows(stride, bottleneck)
            ]
        return result

    @nn.compact
    def __call__(self, images: jax.Array, train: bool) -> jax.Array:
        x = self.features(images.astype(self.compute_dtype), train)
        x = x.astype(self.param_dtype).mean(axis=(1, 2))
        x = GroupPool(name="group_pool")(x) if self.exact else x.reshape(len(x), -1)
        return self.dense_layers(x, train)

    def features(self, images: jax.Array, train: bool) -> jax.Array:
        """Returns the last feature map ``[b n n g c]``, equivariant if ``exact``."""
        if self._steers():
            images = mask_corners(images)
        x = images[..., None, :]  # an image is a feature map over p1
        x = run_layer(self, ResNet._stem, x, train=train)
        for block in self._blocks():
            x = run_layer(self, ResNet._block, x, *block, train=train)
        return x

    def _stem(self, x, train):
        conv1, *pools = self._stem_windows()
        shared, rings = self._has_shared_norm(), STEM_RINGS if self._steers() else None
        planes = self.planes[0]
        x = conv_norm(self, x, conv1, planes, train, shared, False, rings)
        return self._shrink(self._activation()(x), pools)

    def _block(self, x, name, planes, stride, pools, train):
        return Block(
            self.group,
            planes,
            stride,
            bottleneck=DEPTHS[self.depth][1],
            use_bias=self.block_bias,
            shared_norm=self._has_shared_norm(),
            param_dtype=self.param_dtype,
            rings=BLOCK_RINGS if self._steers() else None,
            activate=self._activation(),
            name=name,
        )(self._shrink(x, pools), train)

    def _shrink(self, x, pools):
        kind = BlurPool if self._steers() else MaxPool
        for pool in pools:
            x = kind(pool, name=pool.name)(x)
        return x

    def _activation(self):
        return nn.elu if self._steers() else nn.relu

    def _steers(self):
        return self.filters == "steerable"

    def _has_shared_norm(self):
        return self.exact or GROUPS[self.group].order == 1

    def _stem_windows(self):
        return STEERABLE_STEM if self._steers() else STEM

    def _blocks(self):
        """Yields (name, planes, stride, pools before it) of every block."""
        stages = zip(itertools.count(1), DEPTHS[self.depth][0], self.planes)
        for stage, num_blocks, planes in stages:
            for i in range(num_blocks):
                name, shrinks = f"layer{stage}_{i}", stage > 1 and i == 0
                if shrinks and self._steers():
                    yield name, planes, 1, [Window(f"pool{stage}", 5, 2, 2)]
                else:
                    yield name, planes, 2 if shrinks else 1, []
