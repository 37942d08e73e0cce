"""The network of the Galaxy Zoo challenge's winner (Dieleman, Willett & Dambre 2015).

Every view of the galaxy is cut into eight parts (:mod:`gzjax.ops.views`); four
convolutions with *untied* biases, the same for all parts; their features side by side;
dense maxout layers; the outputs. All 17 networks of the winning blend are fields of
this one.
"""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp

from gzjax.models.devices import keys_of_rows
from gzjax.models.layers import Dropout
from gzjax.models.network import Network, run_layer, stacked_windows
from gzjax.models.pools import MaxPool
from gzjax.ops.conv import conv
from gzjax.ops.views import PARTS_PER_VIEW, channels_first, extract_parts, merge_parts
from gzjax.ops.windows import Window, output_size

ACTIVATIONS = ("maxout", "relu")


def maxout(x: jax.Array) -> jax.Array:
    """Returns the larger of each pair of neighbours, ``[... 2n] → [... n]``."""
    pairs = x.reshape(*x.shape[:-1], -1, 2)
    a, b = pairs[..., 0], pairs[..., 1]
    return jnp.where(a > b, a, b)  # its gradient goes by place, see ops/pooling


class UntiedConv(nn.Module):
    """A valid convolution with a bias for every channel *and* position."""

    features: int
    window: Window
    weight_std: float
    param_dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps ``[b h w in]`` to ``[b h' w' out]``."""
        k, stride = self.window.size, self.window.stride
        normal = nn.initializers.normal(self.weight_std)
        shape = (k, k, x.shape[-1], self.features)
        kernel = self.param("kernel", normal, shape, self.param_dtype)
        x = conv(x, kernel, stride)
        fill = nn.initializers.constant(0.1)
        bias = self.param("bias", fill, x.shape[1:], self.param_dtype)
        return _add_untied(x, bias.astype(x.dtype))


@jax.custom_vjp
def _add_untied(x, bias):
    """Adds ``bias [h w c]`` to ``x [b h w c]``."""
    return x + bias[None]


def _forward(x, bias):
    return _add_untied(x, bias), None


def _backward(_, g):
    # A sum over the first axis as a matrix product: XLA's takes ten times as long on a
    # CPU. The gradient of the kernel needs the same transpose.
    ones = jnp.ones((*g.shape[1:3], 1, len(g)), g.dtype)
    total = jnp.matmul(ones, g.transpose(1, 2, 0, 3), precision="highest")
    return g, total[:, :, 0]


_add_untied.defvjp(_forward, _backward)


class ViewNet(Network):
    """``images [b v h w c], train → logits [b a]``.

    Attributes:
        part_px: height and width of a part, at most the view's and enough for the
            convolutions; smaller parts overlap less.
        filters: channels of the convolutions, which are valid and followed by ReLU.
        pools: window of the max pool after each convolution; 1: none.
        pool_strides: pools overlap if theirs is smaller than the window.
        weight_stds: standard deviations of initial weights, like ``hidden_std``.
        part_hidden: units of a dense maxout layer on each part, before all parts are
            put side by side; 0: none.
        hidden: units of the dense layers, after maxout.
        activation: "maxout" (of twice as many linear units) or "relu".
        dropout_rate: on the *input* of every dense layer.
        input_noise: standard deviation of noise on the pixels, in training.
    """

    part_px: int = 45
    filters: tuple[int, ...] = (32, 64, 128, 128)
    kernel_sizes: tuple[int, ...] = (6, 5, 3, 3)
    strides: tuple[int, ...] = (1, 1, 1, 1)
    pools: tuple[int, ...] = (2, 2, 1, 2)
    pool_strides: tuple[int, ...] = (2, 2, 1, 2)
    weight_stds: tuple[float, ...] = (0.01, 0.01, 0.01, 0.1)
    part_hidden: int = 0
    hidden: tuple[int, ...] = (2048, 2048)
    hidden_std: float = 0.001
    activation: str = "maxout"
    dropout_rate: float = 0.5
    input_noise: float = 0.0

    def __post_init__(self):
        super().__post_init__()
        self.check_choice("activation", ACTIVATIONS)
        per_conv = ("kernel_sizes", "strides", "pools", "pool_strides")
        self.check_lengths(
            (*per_conv, "weight_stds"), len(self.filters), "convolutions"
        )
        self.check_whole(("filters", *per_conv, "hidden"))
        if not all(std >= 0 for std in (*self.weight_stds, self.hidden_std)):
            raise ValueError("weight_stds or hidden_std is below 0")
        if self.part_hidden < 0 or self.input_noise < 0:
            raise ValueError("part_hidden or input_noise is below 0")
        self.check_rates("dropout_rate")
        if not 0 < self.part_px <= self.input_size:
            raise ValueError(
                f"part_px is {self.part_px}, not in 1 .. {self.input_size} (size_px)"
            )
        output_size(self.part_px, self.windows())

    def windows(self) -> list[Window]:
        return stacked_windows(
            zip(self.kernel_sizes, self.strides, strict=True),
            zip(self.pools, self.pool_strides, strict=True),
        )

    @nn.compact
    def __call__(self, images: jax.Array, train: bool) -> jax.Array:
        x = self._noisy(images.astype(self.param_dtype), train)
        x = extract_parts(x.astype(self.compute_dtype), self.part_px)
        num_parts = PARTS_PER_VIEW * images.shape[1]
        x = x.reshape(-1, *x.shape[2:])
        for i in range(len(self.filters)):
            x = run_layer(self, ViewNet._layer, x, i, train=train)
        if self.part_hidden:
            x = self._dropout(channels_first(x), train)
            dense = self._dense("part_hidden", 2 * self.part_hidden, 0.01, 0.1)
            x = maxout(dense(x))
        x = merge_parts(x, num_parts)
        for i, units in enumerate(self.hidden):
            x = self._hidden(f"hidden{i + 1}", units, self._dropout(x, train))
        return self.logits(self._dropout(x, train))

    def _layer(self, x, i, _train):
        windows = {window.name: window for window in self.windows()}
        name, pool = f"conv{i + 1}", windows.get(f"pool{i + 1}")
        conv = UntiedConv(
            self.filters[i],
            windows[name],
            self.weight_stds[i],
            self.param_dtype,
            name=name,
        )
        x = conv(x)
        if pool:
            x = MaxPool(pool, name=pool.name)(x)
        return nn.relu(x)  # after the pool: the same, of fewer values

    def _hidden(self, name, units, x):
        is_relu = self.activation == "relu"
        num_linear = units if is_relu else 2 * units
        x = self._dense(name, num_linear, self.hidden_std, 0.01)(x)
        return nn.relu(x) if is_relu else maxout(x)

    def _dense(self, name, units, std, bias):
        return nn.Dense(
            units,
            kernel_init=nn.initializers.normal(std),
            bias_init=nn.initializers.constant(bias),
            dtype=self.compute_dtype,
            param_dtype=self.param_dtype,
            name=name,
        )

    def _dropout(self, x, train):
        return Dropout(self.dropout_rate, deterministic=not train)(x)

    def _noisy(self, x, train):
        if not (train and self.input_noise):
            return x
        keys = keys_of_rows(self.make_rng("dropout"), len(x))
        draw = functools.partial(jax.random.normal, shape=x.shape[1:], dtype=x.dtype)
        noise = jax.vmap(draw)(keys)
        return x + self.input_noise * noise
