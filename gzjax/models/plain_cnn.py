"""Convolutions, then dense layers: the plain networks of several authors are fields.

Tund's (Cao & Chen 2018), Ng's of large kernels with and without attention (2024),
Serrano's three of 3x3 kernels, and Khunger's of two layers. Each convolution has a bias
and is followed by ReLU (with batch norm before or after it), attention, and a pool.
"""

import flax.linen as nn
import jax

from gzjax.models.blocks import Cbam
from gzjax.models.layers import Conv, GroupBatchNorm
from gzjax.models.network import ACTIVATIONS, Network, run_layer, stacked_windows
from gzjax.models.pools import MaxPool, MeanPool
from gzjax.ops.windows import Window, output_size

CHOICES = {
    "padding": ("valid", "same"),
    "norm": ("none", "before_relu", "after_relu"),
    "last_pool": ("max", "mean"),
    "attention": ("none", "cbam", "cbam_residual"),
    "hidden_activation": ACTIVATIONS,
}


class PlainCNN(Network):
    """``images [b h w c], train → logits [b a]``.

    Attributes:
        filters: channels of the convolutions, whose stride is 1.
        padding: "valid" (none) or "same" (zeros, so that feature maps keep their size).
        norm: batch norm: "none", "before_relu" or "after_relu".
        pools: window and stride of the pool after each convolution; 1: none.
        pool_padding: padding of the pools, on every side.
        last_pool: "max", as all others, or "mean".
        attention: after the ReLU, before the pool: "none", "cbam", or "cbam_residual"
            (:class:`gzjax.models.blocks.Cbam`).
        hidden: see :meth:`Network.dense_layers`, also for ``hidden_activation``,
            ``hidden_norm`` and ``dropout_rates``.
        weight_std: initial, of the convolutions and the hidden layers; 0: He's.
    """

    filters: tuple[int, ...] = (32, 64, 128, 128)
    kernel_sizes: tuple[int, ...] = (3, 3, 3, 3)
    padding: str = "valid"
    norm: str = "none"
    pools: tuple[int, ...] = (2, 2, 2, 2)
    pool_padding: int = 0
    last_pool: str = "max"
    attention: str = "none"
    hidden: tuple[int, ...] = (512,)
    hidden_activation: str = "relu"
    hidden_norm: bool = False
    dropout_rates: tuple[float, ...] = (0.0, 0.0)
    weight_std: float = 0.0

    def __post_init__(self):
        super().__post_init__()
        for field, known in CHOICES.items():
            self.check_choice(field, known)
        self.check_lengths(("kernel_sizes", "pools"), len(self.filters), "convolutions")
        self.check_whole(("filters", "kernel_sizes", "pools"))
        if not self.filters:
            raise ValueError("filters is (): give at least one convolution")
        self._check_padding()
        if not self.weight_std >= 0:
            raise ValueError(f"weight_std is {self.weight_std}, below 0")
        self.check_dense_layers()
        output_size(self.input_size, self.windows())

    def windows(self) -> list[Window]:
        same = self.padding == "same"
        convs = [(k, 1, k // 2 if same else 0) for k in self.kernel_sizes]
        pools = [(pool, pool, self.pool_padding) for pool in self.pools]
        return stacked_windows(convs, pools)

    @nn.compact
    def __call__(self, images: jax.Array, train: bool) -> jax.Array:
        x = images.astype(self.compute_dtype)
        for i in range(1, len(self.filters) + 1):
            x = run_layer(self, PlainCNN._layer, x, i, train=train)
        x = x.reshape(len(x), -1)
        activation, norm = self.hidden_activation, self.hidden_norm
        return self.dense_layers(x, train, activation, norm, self.weight_std)

    def _layer(self, x, i, train):
        windows = {window.name: window for window in self.windows()}
        window, norm_first = windows[f"conv{i}"], self.norm == "before_relu"
        conv = Conv(
            self.filters[i - 1],
            window.size,
            window.padding,
            self.weight_std,
            add_bias=not norm_first,
            param_dtype=self.param_dtype,
            name=window.name,
        )
        x = conv(x)
        if norm_first:
            x = self._norm(x, i, train, conv.get_variable("params", "bias"))
        x = nn.relu(x)
        x = self._norm(x, i, train) if self.norm == "after_relu" else x
        if self.attention != "none":
            residual = self.attention == "cbam_residual"
            x = Cbam(residual, self.param_dtype, name=f"attention{i}")(x)
        return self._pool(x, windows, f"pool{i}") if f"pool{i}" in windows else x

    def _norm(self, x, i, train, bias=None):
        dtype = self.param_dtype
        return GroupBatchNorm(not train, param_dtype=dtype, name=f"norm{i}")(x, bias)

    def _pool(self, x, windows, name):
        last = [name for name in windows if name.startswith("pool")][-1]
        pool = MeanPool if (name, self.last_pool) == (last, "mean") else MaxPool
        return pool(windows[name], name=name)(x)

    def _check_padding(self):
        if self.padding == "same" and any(k % 2 == 0 for k in self.kernel_sizes):
            raise ValueError(
                f"kernel_sizes is {self.kernel_sizes}: padding 'same' needs odd ones"
            )
        pools = [pool for pool in self.pools if pool > 1]
        if not isinstance(self.pool_padding, int) or self.pool_padding < 0:
            raise ValueError(f"pool_padding is {self.pool_padding}, not 0 or more")
        if any(self.pool_padding >= pool for pool in pools):
            raise ValueError(
                f"pool_padding is {self.pool_padding}, as large as a pool of {pools}"
            )
        if self.last_pool == "mean" and (self.pool_padding or not pools):
            raise ValueError(
                f"last_pool is 'mean' with pools {self.pools} and pool_padding "
                f"{self.pool_padding}: it needs a pool, and no padding"
            )
