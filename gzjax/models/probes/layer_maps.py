"""The feature maps that a layer of a network returns: named, read, and replaced.

A layer is a submodule that returns feature maps, ``[b h w c]`` or ``[b h w g c]`` over
a group; or ``[b·p h w c]`` with the p parts that a ViewNet makes of each galaxy. Flax's
interceptors read and replace them, so that no network needs to know of this.
"""

import functools
from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import numpy as np

from gzjax.errors import UserError
from gzjax.models.pair import Pair
from gzjax.models.probes.field_of_view import num_parts


class Call(NamedTuple):
    """A submodule's call: ``input`` is its first argument; names are ``outer/inner``.

    The whole network is called last, and its name is "".
    """

    name: str
    module: nn.Module
    input: Any
    output: Any


def read_calls(
    model: nn.Module, variables: Mapping, images: jax.Array, **arguments
) -> list[Call]:
    """Returns every call of a network, in the order in which they end.

    Args:
        arguments: further ones of the network, as ``train=False``.
    """
    calls = []

    def note(next_call, args, kwargs, context):
        out = next_call(*args, **kwargs)
        if context.method_name == "__call__":
            first = next(iter((*args, *kwargs.values())), None)
            calls.append(Call(_name(context.module), context.module, first, out))
        return out

    with nn.intercept_methods(note):
        model.apply(variables, images, **arguments)
    return calls


def layer_shapes(model: nn.Module, variables: dict, images) -> dict[str, tuple]:
    """Returns the layers to choose from, in order, with the shapes of their outputs.

    A layer within another is named ``outer/inner``. Layers are left out if they are
    called more than once, or return no feature maps. Of the images only the shape is
    used.

    Raises:
        UserError: the model is a Pair, whose logits are ``[b n a]``.
    """
    if isinstance(model, Pair):
        raise UserError(
            "there are no activation maps of a pair of networks: each has logits of "
            "its own. Take one of its networks, or give --cam_layer=none to a report"
        )
    calls = []

    def note(variables, images):
        for call in read_calls(model, variables, images, train=False):
            if isinstance(call.output, jax.Array):
                calls.append((call.name, call.output.shape))

    jax.eval_shape(note, variables, images)
    times = Counter(name for name, _ in calls)
    rows = len(images) * num_parts(model, images)
    return {
        name: shape
        for name, shape in calls
        if name and times[name] == 1 and len(shape) in (4, 5) and shape[0] == rows
    }


def forward(
    model: nn.Module, variables: dict, images: jax.Array, layer: str, features=None
) -> tuple[jax.Array, jax.Array]:
    """Returns the logits ``[b a]`` and the layer's feature maps, or those given."""
    seen = []

    def intercept(next_call, args, kwargs, context):
        if context.method_name != "__call__" or _name(context.module) != layer:
            return next_call(*args, **kwargs)
        # Not called if it is replaced: the compiler then leaves out what leads to it.
        seen.append(next_call(*args, **kwargs) if features is None else features)
        return seen[-1]

    with nn.intercept_methods(intercept):
        logits: Any = model.apply(variables, images, train=False)
    return logits, seen[0]


def check_layer(model, variables, images, layer: str, rectified: bool) -> None:
    """Checks that the layer can be chosen and, if ``rectified``, that a ReLU follows.

    Raises:
        UserError: there is no such layer (lists those that there are), or without the
            layer's negative values the network answers otherwise, or it is a Pair.
    """
    shapes = layer_shapes(model, variables, images)
    if layer not in shapes:
        there_are = ", ".join(f"{name} {list(shapes[name])}" for name in shapes)
        raise UserError(f"no layer '{layer}'; there are: {there_are}")
    if not rectified:
        return

    logits, without_negative = _with_and_without(variables, images, model, layer)
    if not np.allclose(logits, without_negative, rtol=1e-3, atol=1e-4):
        raise UserError(
            f"no ReLU follows the layer '{layer}': without its negative values the "
            "network answers otherwise. Choose rectified=False, or another of: "
            + ", ".join(shapes)
        )


@functools.partial(jax.jit, static_argnames=("model", "layer"))
def _with_and_without(variables, images, model, layer):
    logits, features = forward(model, variables, images, layer)
    return logits, forward(model, variables, images, layer, nn.relu(features))[0]


def _name(module):
    return "/".join(module.path)
