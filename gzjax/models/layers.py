"""Linen layers: thin modules around the pure functions of ``gzjax.ops``.

They compute in the type of their input, which may be narrower than that of their
parameters. Feature maps over a group are ``[b h w g c]``, planar ones ``[b h w c]``.
Parameters belong to planes, shared by a plane's ``order`` elements; otherwise
equivariance is gone.
"""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp

from gzjax.models.devices import keys_of_rows, mean_over_devices
from gzjax.ops.conv import conv
from gzjax.ops.gconv import group_conv, whole_map_group_conv
from gzjax.ops.groups import GROUPS, PIXEL_GROUPS
from gzjax.ops.steerable import Rings, steerable_conv, whole_map_steerable_conv
from gzjax.ops.windows import Window, output_size

# Normal with variance 2 / fan-in; the fan-in of [k k T in out] is k·k·T·in (GrouPy's
# PyTorch port forgets T).
he_normal = nn.initializers.he_normal(in_axis=(0, 1, 2, 3), out_axis=4)
# The fan-in of coefficients [T functions in out] counts functions, not pixels.
he_normal_steerable = nn.initializers.he_normal(in_axis=(0, 1, 2), out_axis=3)


def weights(std: float):
    """Returns an initialiser of planar and dense layers: N(0, std²), or He's for 0."""
    return nn.initializers.normal(std) if std else nn.initializers.he_normal()


class Conv(nn.Module):
    """A planar convolution with bias, ``[b h w in] → [b h' w' out]``.

    Attributes:
        padding: zeros on every side.
        weight_std: see :func:`weights`.
        add_bias: see :class:`GroupConv`.
    """

    features: int
    kernel_size: int
    padding: int = 0
    weight_std: float = 0.0
    add_bias: bool = True
    param_dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        shape = (self.kernel_size, self.kernel_size, x.shape[-1], self.features)
        w = self.param("kernel", weights(self.weight_std), shape, self.param_dtype)
        x = conv(x, w, padding=self.padding)
        biased = _add_bias(self, x)
        return biased if self.add_bias else x


class GroupConv(nn.Module):
    """A lifting convolution of an image (g axis of 1), or a group convolution.

    Attributes:
        group: one of ``GROUPS``; without rings one of ``PIXEL_GROUPS``, unless
            ``kernel_size`` is 1.
        features: planes out.
        padding: zeros on every side. With a stride, check the sizes by
            :func:`gzjax.ops.windows.check_exact`; the layer takes any.
        use_bias: have one bias per plane.
        add_bias: add the bias; False leaves it to a :class:`GroupBatchNorm` that is
            called with it.
        rings: the basis of a steerable filter (:mod:`gzjax.ops.steerable`); None leaves
            every pixel of the filter free.
    """

    group: str
    features: int
    kernel_size: int
    stride: int = 1
    padding: int = 0
    use_bias: bool = True
    add_bias: bool = True
    rings: Rings | None = None
    param_dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps ``[b h w T in]`` to ``[b h' w' order out]``.

        Raises:
            ValueError: there is no such group, a size is not a whole number, or the
                input has another shape or is smaller than the filter.
        """
        size, rings = self.kernel_size, self.rings
        numbers = size, self.stride, self.padding
        if not all(isinstance(n, int) for n in numbers):
            raise ValueError(
                f"kernel_size, stride and padding are {numbers}: give whole numbers"
            )
        _check_map(x, self.group, size == 1 or rings is not None, lifting=True)
        window = Window(self.name or "GroupConv", size, self.stride, self.padding)
        output_size(min(x.shape[1:3]), [window])
        group = GROUPS[self.group]
        w = _filter_param(self, x, size)
        if rings is None:
            x = group_conv(x, w, group, self.stride, self.padding)
        else:
            x = steerable_conv(x, w, group, size, rings, self.stride, self.padding)
        biased = _add_bias(self, x) if self.use_bias else x
        return biased if self.add_bias else x


class WholeMapGroupConv(nn.Module):
    """A :class:`GroupConv` whose filter covers the whole feature map, with bias."""

    group: str
    features: int
    rings: Rings | None = None
    param_dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps ``[b n n order in]`` to ``[b order out]``."""
        _check_map(x, self.group, self.rings is not None, lifting=False)
        _, rows, columns, *_ = x.shape
        if rows != columns:
            raise ValueError(f"feature maps are {rows} x {columns}, not square")
        group, w = GROUPS[self.group], _filter_param(self, x, rows)
        if self.rings is None:
            return _add_bias(self, whole_map_group_conv(x, w, group))
        return _add_bias(self, whole_map_steerable_conv(x, w, group, self.rings))


def _filter_param(module, x, size):
    depth, features_in = x.shape[3:]
    init, own = he_normal, [size, size, depth]
    if module.rings is not None:
        init, own = he_normal_steerable, [depth, module.rings.num_functions]
    shape = (*own, features_in, module.features)
    return module.param("kernel", init, shape, module.param_dtype)


def _check_map(x, group, any_angle, lifting):
    known = GROUPS if any_angle else PIXEL_GROUPS
    if not isinstance(group, str):
        raise ValueError(f"group is {type(group).__name__}: give the name of one")
    if group not in known:
        steerable = "; with rings also the others" if group in GROUPS else ""
        raise ValueError(
            f"group is '{group}'; there are: {', '.join(known)}{steerable}"
        )
    order = GROUPS[group].order
    elements = (1, order) if lifting else (order,)
    if x.ndim != 5 or x.shape[3] not in elements:
        raise ValueError(
            f"feature maps over {group} are [b h w g c] with g = {order}"
            + (", images [b h w 1 c] (images[..., None, :])" if lifting else "")
            + f"; this is {list(x.shape)}"
        )


def _add_bias(module, x):
    zeros = nn.initializers.zeros_init()
    bias = module.param("bias", zeros, (module.features,), module.param_dtype)
    return x + bias.astype(x.dtype).reshape((1,) * (x.ndim - 1) + (-1,))


class Dropout(nn.Module):
    """Dropout of ``[b ...]`` that does not depend on which devices hold which rows.

    Attributes:
        rate: share of the values that become 0, in ``[0, 1)``; the others are divided
            by the share that is kept.
    """

    rate: float
    deterministic: bool

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        if self.deterministic or self.rate == 0:
            return x
        kept = 1 - self.rate
        keys = keys_of_rows(self.make_rng("dropout"), len(x))
        mask = jax.vmap(lambda key: jax.random.bernoulli(key, kept, x.shape[1:]))(keys)
        return jnp.where(mask, x / kept, 0)


class GroupBatchNorm(nn.Module):
    """Batch norm over all axes but c: a scale, shift, mean and variance per plane.

    Attributes:
        use_running_average: use the stored statistics, for evaluation.
        momentum: share of the old statistics kept at each training step.
        shared: if False, keep one set per plane *and* element, as GrouPy's users did.
            That breaks the equivariance, and is here to reproduce it.
        param_dtype: type of parameters and statistics.
    """

    use_running_average: bool
    momentum: float = 0.9
    epsilon: float = 1e-5
    shared: bool = True
    param_dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, bias: jax.Array | None = None) -> jax.Array:
        """Normalises ``[b h w g c]``, ``[b h w c]`` or ``[b c]``, in its own type.

        Args:
            bias: ``[c]`` to add to x first. It only moves the mean, which saves adding
                it to the feature map.
        """
        if not self.shared and x.ndim != 5:
            raise ValueError(f"{list(x.shape)} is not [b h w g c]: set shared=True")
        out_type = x.dtype
        x = x.astype(jnp.promote_types(out_type, self.param_dtype))
        shape = x.shape[-1:] if self.shared else x.shape[-2:]
        zeros, ones = nn.initializers.zeros_init(), nn.initializers.ones_init()
        scale = self.param("scale", ones, shape, self.param_dtype).ravel()
        shift = self.param("bias", zeros, shape, self.param_dtype).ravel()
        stats = [
            self.variable("batch_stats", name, fill, shape, self.param_dtype)
            for name, fill in (("mean", jnp.zeros), ("var", jnp.ones))
        ]
        moved = 0.0 if bias is None else jnp.broadcast_to(bias, shape).ravel()
        # All channels as one axis, and their ties to planes as matrix products: on a
        # CPU short last axes and indices modulo c make slow loops.
        channels = x.reshape(*x.shape[:3], -1) if x.ndim == 5 else x
        axes = tuple(range(channels.ndim - 1))
        order = channels.shape[-1] // scale.size
        ties = jnp.tile(jnp.eye(scale.size, dtype=scale.dtype), (1, order))
        dot = functools.partial(jnp.dot, precision="highest")
        if self.use_running_average:
            mean, var = (s.value.ravel() for s in stats)
            mean = mean - moved
        else:
            mean, square = (
                dot(ties, y.mean(axes)) / order for y in (channels, channels * channels)
            )
            mean, square = mean_over_devices((mean, square))
            var = jnp.maximum(square - mean * mean, 0)
            if not self.is_initializing():
                for old, new in zip(stats, (mean + moved, var), strict=True):
                    new = new.reshape(shape)
                    old.value = self.momentum * old.value + (1 - self.momentum) * new
        factor = scale * jax.lax.rsqrt(var + self.epsilon)
        shift = shift - mean * factor
        factor, shift = (jnp.expand_dims(dot(y, ties), axes) for y in (factor, shift))
        return (channels * factor + shift).reshape(x.shape).astype(out_type)
