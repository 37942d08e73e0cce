"""A network that is robust at every angle: D_N group convolutions, steerable filters.

Four 5x5 convolutions over the group, each with batch norm, of which two are followed
by a pool; a steerable whole-map convolution; the mean over the group; the outputs.

Quarter turns and mirror images are exact, to float error. Between them little is lost:
filters turn by their coefficients, to N angles instead of four; frequencies stay below
what a filter of 5 px shows; and pools blur before they leave out pixels.
"""

import operator

import flax.linen as nn
import jax
import jax.numpy as jnp

from gzjax.models.blocks import conv_norm
from gzjax.models.layers import Dropout, GroupBatchNorm, WholeMapGroupConv
from gzjax.models.network import Network, run_layer, stacked_windows
from gzjax.models.pools import BlurPool, GroupPool, MaxPool
from gzjax.ops.groups import GROUPS, PIXEL_GROUPS
from gzjax.ops.steerable import Rings
from gzjax.ops.windows import Window, check_exact, output_size

KERNEL_SIZE = 5
NUM_CONVS = 4
POOLS = {"blur": BlurPool, "max": MaxPool}
ACTIVATIONS = {"relu": nn.relu, "elu": nn.elu}


class SteerableCNN(Network):
    """``images [b h w c], train → logits [b a]``.

    Attributes:
        group: one of ``GROUPS`` but p1; with free filters, of ``PIXEL_GROUPS``.
        filters: "steerable", or "free": every pixel is a parameter.
        planes: features of the convolutions, times the group's order in channels.
        paddings: of the convolutions, in px, with the values of the edge: zeros would
            show the network how the square map lies.
        pool: "blur" or "max".
        pool_sizes: windows of the pools after the first convolutions, in px.
        pool_strides: their strides.
        activation: "relu" or "elu".
        hidden: units before the outputs.
        dropout_rate: on the hidden units.
    """

    group: str = "d12"
    filters: str = "steerable"
    planes: tuple[int, ...] = (3, 6, 12, 20)
    paddings: tuple[int, ...] = (0, 0, 2, 0)
    pool: str = "blur"
    pool_sizes: tuple[int, ...] = (7, 6)
    pool_strides: tuple[int, ...] = (3, 2)
    activation: str = "relu"
    hidden: int = 512
    dropout_rate: float = 0.5

    def __post_init__(self):
        super().__post_init__()
        self.check_choice("filters", ("steerable", "free"))
        known = GROUPS if self.filters == "steerable" else PIXEL_GROUPS
        self.check_choice("group", [name for name in known if name != "p1"])
        self.check_choice("pool", POOLS)
        self.check_choice("activation", ACTIVATIONS)
        self.check_lengths(["planes", "paddings"], NUM_CONVS, "convolutions")
        self.check_whole(["planes", "pool_sizes", "pool_strides", "hidden"])
        self.check_whole(["paddings"], least=0)
        self.check_rates("dropout_rate")
        num_pools = min(len(self.pool_strides), NUM_CONVS)
        self.check_lengths(["pool_sizes", "pool_strides"], num_pools, "pools")
        if any(map(operator.lt, self.pool_sizes, self.pool_strides)):
            raise ValueError(
                f"pool_strides is {self.pool_strides} and pool_sizes "
                f"{self.pool_sizes}: give no stride above the size, which would leave "
                "out pixels"
            )
        windows = self.windows()
        check_exact(self.input_size, windows)
        last = output_size(self.input_size, windows)
        if rings := self._rings(last):
            rings.sample(last)  # raises if the map is too small for them

    def windows(self) -> list[Window]:
        num_pools = len(self.pool_sizes)
        convs = [(KERNEL_SIZE, 1, padding) for padding in self.paddings]
        pools = list(zip(self.pool_sizes, self.pool_strides, strict=True))
        return stacked_windows(convs, pools + [(1,)] * (NUM_CONVS - num_pools))

    @nn.compact
    def __call__(self, images: jax.Array, train: bool) -> jax.Array:
        dtype, activate = self.param_dtype, ACTIVATIONS[self.activation]
        x = self.features(images.astype(self.compute_dtype), train)
        rings = self._rings(x.shape[1])
        hidden = WholeMapGroupConv(
            self.group, self.hidden, rings, param_dtype=dtype, name="hidden"
        )
        x = hidden(x)
        x = GroupBatchNorm(not train, param_dtype=dtype, name="hidden_norm")(x)
        x = GroupPool(name="group_pool")(activate(x).astype(dtype))
        x = Dropout(self.dropout_rate, deterministic=not train)(x)
        return self.logits(x)

    def features(self, images: jax.Array, train: bool) -> jax.Array:
        """Returns the last, equivariant feature map ``[b n n g c]``."""
        x = images[..., None, :]  # an image is a feature map over p1
        for i in range(NUM_CONVS):
            x = run_layer(self, SteerableCNN._layer, x, i, train=train)
        return x

    def _layer(self, x, i, train):
        windows = {window.name: window for window in self.windows()}
        conv, p = Window(f"conv{i + 1}", KERNEL_SIZE), self.paddings[i]
        x = jnp.pad(x, [(0, 0), (p, p), (p, p), (0, 0), (0, 0)], mode="edge")
        rings = self._rings(KERNEL_SIZE)
        x = conv_norm(self, x, conv, self.planes[i], train, True, rings=rings)
        x = ACTIVATIONS[self.activation](x)
        pool = windows.get(f"pool{i + 1}")
        return x if pool is None else POOLS[self.pool](pool, name=pool.name)(x)

    def _rings(self, size):
        if self.filters == "free":
            return None
        if size == KERNEL_SIZE:
            return Rings()
        return Rings((0.0, 0.15 * size, 0.3 * size), sigma=0.1 * size)
