"""The p4 / p4m network of Cao & Chen (2018), as published and made exactly invariant.

Six group convolutions (5, 5, 3, 3, 3, 3), each with batch norm and ReLU, three max
pools (3/3/1, 2/2/1, 3/3/1), 512 hidden units, 37 outputs.

*As published* (``exact=False``) the pools leave out pixels at 120 px, batch norm has a
scale per element, and the last map is flattened, so that the answer depends on the
orientation after all. *Exact*: 116 px, where every window obeys the window rule; shared
batch norm; and instead of the flattened dense layer a group convolution over the whole
last map (as many weights), averaged over the group. Every output is then invariant to
all elements, to float error.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from gzjax.models.checks import check_choice
from gzjax.models.dense_layers import outputs
from gzjax.models.layers import GroupBatchNorm, GroupConv, WholeMapGroupConv
from gzjax.models.remat import run_layer
from gzjax.ops.pooling import max_pool
from gzjax.ops.windows import Window, check_exact, output_size

POINT_GROUPS = ("p4", "p4m")
KERNEL_SIZES = (5, 5, 3, 3, 3, 3)
POOLS = {  # after which convolution: size, stride, padding
    0: (3, 3, 1),
    1: (2, 2, 1),
    5: (3, 3, 1),
}


def windows() -> list[Window]:
    """Every sliding window of the network, in order."""
    result = []
    for i, kernel_size in enumerate(KERNEL_SIZES):
        result.append(Window(f"conv{i + 1}", kernel_size))
        if i in POOLS:
            result.append(Window(f"pool{i + 1}", *POOLS[i]))
    return result


class GroupCNN(nn.Module):
    """``images [b h w c], train → logits [b a]``.

    Attributes:
        input_size: h = w.
        num_outputs: a.
        group: "p4" or "p4m".
        planes: of the six convolutions; times the group's order in channels.
        hidden: units before the outputs.
        exact: see the module; False builds the published, inexact network.
        dropout_rate: on the hidden units.
        param_dtype: of the parameters, and of the mean over the group.
        compute_dtype: of convolutions and dense layers but the last.
        remat: in training, compute the maps within a layer again for the gradient.

    Raises:
        ValueError: on construction: another group or number of planes; or ``exact`` and
            a window breaks the window rule, or the input is too small (names the layer
            and the sizes that work).
    """

    input_size: int
    num_outputs: int
    group: str = "p4m"
    planes: tuple[int, ...] = (8, 16, 32, 32, 64, 64)
    hidden: int = 512
    exact: bool = True
    dropout_rate: float = 0.5
    param_dtype: jnp.dtype = jnp.float32
    compute_dtype: jnp.dtype = jnp.float32
    remat: bool = False

    def __post_init__(self):
        super().__post_init__()
        check_choice(self, "group", POINT_GROUPS)
        if len(self.planes) != len(KERNEL_SIZES) or min(self.planes) < 1:
            raise ValueError(
                f"planes is {self.planes}, not one positive number for each of the "
                f"{len(KERNEL_SIZES)} convolutions"
            )
        (check_exact if self.exact else output_size)(self.input_size, windows())

    @nn.compact
    def __call__(self, images: jax.Array, train: bool) -> jax.Array:
        dtype = self.param_dtype
        x = self.features(images.astype(self.compute_dtype), train)
        if self.exact:
            x = WholeMapGroupConv(self.group, self.hidden, dtype, name="hidden")(x)
            x = nn.relu(x).astype(dtype).mean(axis=1)
        else:
            x = x.reshape(len(x), -1)
            hidden = nn.Dense(
                self.hidden, dtype=x.dtype, param_dtype=dtype, name="hidden"
            )
            x = nn.relu(hidden(x))
        x = nn.Dropout(self.dropout_rate, deterministic=not train)(x)
        return outputs(x, self.num_outputs, dtype)

    def features(self, images: jax.Array, train: bool) -> jax.Array:
        """The last feature map ``[b n n g c]``, equivariant if ``exact``."""
        x = images[..., None, :]  # an image is a map over the trivial group
        for i in range(len(KERNEL_SIZES)):
            x = run_layer(self, GroupCNN._layer, x, i, train=train)
        return x

    def _layer(self, x, i, train):
        x = GroupConv(
            self.group,
            self.planes[i],
            KERNEL_SIZES[i],
            param_dtype=self.param_dtype,
            name=f"conv{i + 1}",
        )(x)
        x = GroupBatchNorm(
            use_running_average=not train,
            shared=self.exact,
            param_dtype=self.param_dtype,
            name=f"norm{i + 1}",
        )(x)
        x = nn.relu(x)
        return max_pool(x, Window(f"pool{i + 1}", *POOLS[i])) if i in POOLS else x
