"""The p4 / p4m network of Cao & Chen (2018), as published and made exactly invariant.

Six group convolutions (5, 5, 3, 3, 3, 3), each with batch norm and ReLU, three max
pools (3/3/1, 2/2/1, 3/3/1), 512 hidden units, 37 outputs.

*As published* (``exact=False``) the pools leave out pixels at 120 px, batch norm has a
scale per element, and the last feature map is flattened, so that the answer depends on
the orientation after all. *Exact*: 116 px, where every window obeys the window rule;
shared batch norm; and instead of the flattened dense layer a group convolution over the
whole last feature map (as many weights), averaged over the group. Every output is then
invariant to all elements, to float error.
"""

import flax.linen as nn
import jax

from gzjax.models.blocks import conv_norm
from gzjax.models.layers import Dropout, WholeMapGroupConv
from gzjax.models.network import Network, run_layer, stacked_windows
from gzjax.models.pools import GroupPool, MaxPool
from gzjax.ops.windows import Window, check_exact, output_size

POINT_GROUPS = ("p4", "p4m")
KERNEL_SIZES = (5, 5, 3, 3, 3, 3)
POOLS = {0: (3, 3, 1), 1: (2, 2, 1), 5: (3, 3, 1)}  # conv → size, stride, padding


class GroupCNN(Network):
    """``images [b h w c], train → logits [b a]``.

    Attributes:
        group: "p4" or "p4m".
        planes: features of the six convolutions, times the group's order in channels.
        hidden: units before the outputs.
        exact: see the module; if False, the published, inexact network.
        dropout_rate: on the hidden units.
    """

    group: str = "p4m"
    planes: tuple[int, ...] = (8, 16, 32, 32, 64, 64)
    hidden: int = 512
    exact: bool = True
    dropout_rate: float = 0.5

    def __post_init__(self):
        super().__post_init__()
        self.check_choice("group", POINT_GROUPS)
        self.check_lengths(["planes"], len(KERNEL_SIZES), "convolutions")
        self.check_whole(["planes", "hidden"])
        self.check_rates("dropout_rate")
        (check_exact if self.exact else output_size)(self.input_size, self.windows())

    def windows(self) -> list[Window]:
        pools = [POOLS.get(i, (1,)) for i in range(len(KERNEL_SIZES))]
        return stacked_windows([(size,) for size in KERNEL_SIZES], pools)

    @nn.compact
    def __call__(self, images: jax.Array, train: bool) -> jax.Array:
        dtype = self.param_dtype
        x = self.features(images.astype(self.compute_dtype), train)
        if self.exact:
            hidden = WholeMapGroupConv(
                self.group, self.hidden, param_dtype=dtype, name="hidden"
            )
            x = GroupPool(name="group_pool")(nn.relu(hidden(x)).astype(dtype))
        else:
            x = x.reshape(len(x), -1)
            dense = nn.Dense(
                self.hidden, dtype=x.dtype, param_dtype=dtype, name="hidden"
            )
            x = nn.relu(dense(x))
        x = Dropout(self.dropout_rate, deterministic=not train)(x)
        return self.logits(x)

    def features(self, images: jax.Array, train: bool) -> jax.Array:
        """Returns the last feature map ``[b n n g c]``, equivariant if ``exact``."""
        x = images[..., None, :]  # an image is a feature map over p1
        for i in range(len(KERNEL_SIZES)):
            x = run_layer(self, GroupCNN._layer, x, i, train=train)
        return x

    def _layer(self, x, i, train):
        conv = Window(f"conv{i + 1}", KERNEL_SIZES[i])
        x = conv_norm(self, x, conv, self.planes[i], train, self.exact)
        if i in POOLS:
            pool = Window(f"pool{i + 1}", *POOLS[i])
            x = MaxPool(pool, name=pool.name)(x)
        return nn.relu(x)  # after the pool: the same, of fewer values
