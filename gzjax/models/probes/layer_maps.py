"""The maps that a layer of a network returns: named, read, and replaced by others.

A layer is a submodule that returns maps, ``[b h w c]`` or over a group ``[b h w g c]``;
of a ViewNet ``[b·p h w c]``, with all p parts of a galaxy. Flax's interceptors read and
replace them, so that no network needs to know of this.
"""

import functools
from collections import Counter

import flax.linen as nn
import jax
import numpy as np

from gzjax.errors import UserError
from gzjax.models.pair import Pair
from gzjax.models.probes.field_of_view import num_parts


def layer_shapes(model: nn.Module, variables: dict, images) -> dict[str, tuple]:
    """The layers to choose from, in the order of their work, with their outputs' shape.

    A layer within another is named ``outer/inner``. Left out are layers that are called
    more than once, and those whose output is no map.

    Args:
        model: called as ``model(images, train)``.
        variables: of the model.
        images: ``[b h w c]``, of a ViewNet ``[b v h w c]``: only the shape is used.

    Raises:
        UserError: the model is a Pair, whose logits are ``[b n a]``.
    """
    if isinstance(model, Pair):
        raise UserError(
            "there are no activation maps of a pair of networks: each has logits of "
            "its own. Take one of its networks, or give --cam_layer=none to a report"
        )
    calls = []

    def note(next_call, args, kwargs, context):
        out = next_call(*args, **kwargs)
        if context.method_name == "__call__" and isinstance(out, jax.Array):
            calls.append((_name(context.module), out.shape))
        return out

    with nn.intercept_methods(note):
        jax.eval_shape(lambda v, x: model.apply(v, x, train=False), variables, images)
    times = Counter(name for name, _ in calls)
    rows = len(images) * num_parts(model, images)
    return {
        name: shape
        for name, shape in calls
        if name and times[name] == 1 and len(shape) in (4, 5) and shape[0] == rows
    }


def forward(
    model: nn.Module, variables: dict, images: jax.Array, layer: str, maps=None
) -> tuple[jax.Array, jax.Array]:
    """The logits ``[b a]`` and the layer's maps: ``maps`` if these are given."""
    seen = []

    def intercept(next_call, args, kwargs, context):
        if context.method_name != "__call__" or _name(context.module) != layer:
            return next_call(*args, **kwargs)
        # Not called if it is replaced: the compiler then leaves out what leads to it.
        seen.append(next_call(*args, **kwargs) if maps is None else maps)
        return seen[-1]

    with nn.intercept_methods(intercept):
        logits = model.apply(variables, images, train=False)
    return logits, seen[0]


def check_layer(model, variables, images, layer: str, rectified: bool) -> None:
    """Checks that the layer can be chosen, and ``rectified``: that a ReLU follows it.

    Raises:
        UserError: no such layer, and lists those that there are; the network answers
            otherwise without the layer's negative values; or it is a Pair.
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
    logits, maps = forward(model, variables, images, layer)
    return logits, forward(model, variables, images, layer, nn.relu(maps))[0]


def _name(module):
    return "/".join(module.path)
