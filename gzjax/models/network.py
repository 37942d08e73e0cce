"""What networks share: fields and their checks, windows, saved memory, dense layers."""

import dataclasses
from collections.abc import Callable, Collection, Iterable, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from gzjax.models.layers import Dropout, GroupBatchNorm, weights
from gzjax.ops.windows import Window

ACTIVATIONS = {"relu": nn.relu, "linear": lambda x: x}


class Network(nn.Module):
    """A network of one galaxy's views: ``images, train → logits [b a]``.

    Attributes:
        input_size: height and width of a view, in px.
        param_dtype: type of the parameters, and of means over the last feature map.
        compute_dtype: type of convolutions and dense layers, except the outputs.
        remat: in training, compute the feature maps within a layer again for the
            gradient instead of keeping them.

    Raises:
        ValueError: on construction, if a field is invalid, or the input too small; or
            an exact network has a window that breaks the window rule (names the layer
            and the sizes that work).
    """

    input_size: int
    num_outputs: int
    param_dtype: jnp.dtype = dataclasses.field(default=jnp.float32, kw_only=True)
    compute_dtype: jnp.dtype = dataclasses.field(default=jnp.float32, kw_only=True)
    remat: bool = dataclasses.field(default=False, kw_only=True)

    def windows(self) -> list[Window]:
        """Returns every sliding window of the main path, in order."""
        raise NotImplementedError

    def check_choice(self, field: str, known: Collection) -> None:
        """Raises a ValueError unless the field is one of the known values."""
        value = getattr(self, field)
        if value not in known:
            there_are = ", ".join(map(str, known))
            raise ValueError(f"{field} is {value!r}; there are: {there_are}")

    def check_lengths(self, fields: Sequence[str], num: int, of: str) -> None:
        """Raises a ValueError unless each field has ``num`` values."""
        for field in fields:
            value = getattr(self, field)
            if len(value) != num:
                raise ValueError(
                    f"{field} is {value}, not one number for each of the {num} {of}"
                )

    def check_whole(self, fields: Sequence[str], least: int = 1) -> None:
        """Raises a ValueError unless each field, or each value, is whole and >= least.

        Args:
            fields: names of numbers, or of sequences of them.
        """
        for field in fields:
            value = getattr(self, field)
            numbers = value if isinstance(value, Sequence) else (value,)
            if not all(isinstance(n, int) and n >= least for n in numbers):
                above = f"whole numbers above {least - 1}"
                raise ValueError(f"{field} is {value}, not {above}")

    def check_rates(self, field: str) -> None:
        """Raises a ValueError unless the field, or each value, is in ``[0, 1)``."""
        value = getattr(self, field)
        rates = value if isinstance(value, Sequence) else (value,)
        if not all(0 <= rate < 1 for rate in rates):
            raise ValueError(f"{field} is {value}, not in 0 .. 1")

    def check_dense_layers(self) -> None:
        """Raises a ValueError if ``hidden`` or ``dropout_rates`` are invalid."""
        self.check_whole(["hidden"])
        layers = f"dense layers ({len(self.hidden)} hidden and the outputs)"
        self.check_lengths(["dropout_rates"], len(self.hidden) + 1, layers)
        self.check_rates("dropout_rates")

    def logits(self, x: jax.Array) -> jax.Array:
        """Applies the layer ``outputs``, ``[b c] → [b a]``, in the parameters' type."""
        # Dieleman's initialisation: every output starts alive. One that is negative for
        # all galaxies never gets a gradient through a divisive head.
        return nn.Dense(
            self.num_outputs,
            kernel_init=nn.initializers.normal(0.01),
            bias_init=nn.initializers.constant(0.1),
            dtype=self.param_dtype,
            param_dtype=self.param_dtype,
            name="outputs",
        )(x)

    def dense_layers(
        self,
        x: jax.Array,
        train: bool,
        activation: str = "relu",
        norm: bool = False,
        weight_std: float = 0.0,
    ) -> jax.Array:
        """Applies ``hidden1``, ``hidden_norm1``, ..., ``outputs``: ``[b c] → [b a]``.

        The fields ``hidden`` (units) and ``dropout_rates`` (before each hidden layer
        and the outputs) are the network's.

        Args:
            train: apply dropout, and normalise by the batch's own statistics.
            activation: one of ``ACTIVATIONS``, for the hidden layers.
            norm: apply batch norm after each activation.
            weight_std: the hidden layers' initial one; 0 means He's.
        """
        dtype = self.param_dtype
        for i, units in enumerate(self.hidden, 1):
            x = Dropout(self.dropout_rates[i - 1], deterministic=not train)(x)
            dense = nn.Dense(
                units,
                kernel_init=weights(weight_std),
                dtype=self.compute_dtype,
                param_dtype=dtype,
                name=f"hidden{i}",
            )
            x = ACTIVATIONS[activation](dense(x))
            if norm:
                name = f"hidden_norm{i}"
                x = GroupBatchNorm(not train, param_dtype=dtype, name=name)(x)
        x = Dropout(self.dropout_rates[-1], deterministic=not train)(x)
        return self.logits(x)


def run_layer(
    network: Network, layer: Callable, x: jax.Array, *static, train: bool
) -> jax.Array:
    """Returns ``layer(network, x, *static, train)``, in a ``@nn.compact`` method.

    With ``network.remat`` a training step keeps only ``x`` and the result, and computes
    twice what lies between them: less memory for some third more work. The numbers are
    the same, to rounding. ``layer`` is an unbound method, and ``static`` no arrays.
    """

    def bound(network, x):
        return layer(network, x, *static, train)

    # Not in evaluation: the probes read feature maps there, from outside.
    return (nn.remat(bound) if network.remat and train else bound)(network, x)


def stacked_windows(
    convs: Iterable[tuple[int, ...]], pools: Iterable[tuple[int, ...]]
) -> list[Window]:
    """Returns the windows conv1, pool1, conv2, ...; a pool of size 1 is left out.

    Args:
        convs: size, stride and padding of each; stride and padding may be missing.
        pools: the same, of the pool after each convolution.
    """
    windows = []
    for i, (conv, pool) in enumerate(zip(convs, pools, strict=True), 1):
        windows.append(Window(f"conv{i}", *conv))
        if pool[0] > 1:
            windows.append(Window(f"pool{i}", *pool))
    return windows
