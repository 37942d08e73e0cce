"""Why a layer may lose equivariance, and what would mend it, told by what it is.

A cause is a pair: what is wrong, as a clause, and what to do, as an imperative. Layers
without a cause pass on what was lost before them: steerable filters of low frequencies,
pools that blur, norms that a plane's elements share, dense layers of invariant numbers.
"""

import math
from typing import NamedTuple

import flax.linen as nn

from gzjax.models.layers import Conv, GroupBatchNorm, GroupConv, WholeMapGroupConv
from gzjax.models.network import Network
from gzjax.models.pools import MaxPool
from gzjax.models.probes.equivariance import VIEW
from gzjax.models.probes.layer_maps import Call
from gzjax.models.view_net import UntiedConv, ViewNet
from gzjax.ops.groups import GROUPS
from gzjax.ops.windows import Window, check_exact

Cause = tuple[str, str]

_ENOUGH_TURNS = 12
_FINE_PX = 5  # a smaller filter is too coarse for many angles
_CONVS = (Conv, GroupConv, UntiedConv, WholeMapGroupConv, nn.Conv)


class Causes(NamedTuple):
    """What a layer may lose at quarter turns and mirror images, and between them."""

    exact: Cause | None = None
    between: Cause | None = None


def causes_of(call: Call, previous: Call, model: nn.Module, view) -> Causes:
    """Returns the likely causes for a layer, which calls no other.

    Args:
        call: with the shapes of its input and output.
        previous: the layer before it.
        model: the network.
        view: ``config.view``.
    """
    module, name = call.module, call.name
    if name == VIEW:
        return _of_view(view)
    if is_flattened(call, previous):
        features = " x ".join(map(str, previous.output[1:]))
        flat = (
            f"{name} is a dense layer of the flattened features {features}",
            "end with WholeMapGroupConv, or a mean over the map, and a mean over the "
            "group (group_cnn, resnet: --config.model.exact=True)",
        )
        return Causes(flat, flat)
    group = GROUPS[getattr(module, "group", "p1")]
    window = _window(call)
    if isinstance(module, _CONVS) and group.order == 1 and window.size > 1:
        planar = (
            f"{name} is a planar convolution, whose filters do not turn",
            "take a network over a group (p4m, dn), or average over turned images "
            "(--averaging=d4)",
        )
        return Causes(planar, planar)
    return Causes(_exact(call, group, window, model), _between(call, group, window))


def is_flattened(call: Call, previous: Call) -> bool:
    """Returns whether a dense layer reads pixels, elements or parts side by side."""
    is_dense = isinstance(call.module, nn.Dense) and len(call.input) == 2
    return is_dense and call.input[-1] > previous.output[-1]


def _exact(call, group, window, model) -> Cause | None:
    module, name = call.module, call.name
    if window is not None and window.remainder(call.input[1]):
        return _of_remainder(call, window, model)
    if isinstance(module, GroupBatchNorm) and not module.shared:
        return (
            f"{name} has a scale and statistics for each element of the group",
            "share them: GroupBatchNorm(shared=True) (group_cnn, resnet: "
            "--config.model.exact=True)",
        )
    if group.order > 1 and not group.mirrors:
        return (
            f"{name} is over {group.name}, which has no mirror images",
            "take a group with them (p4m, d8, ...), if mirrored galaxies are to have "
            "the same answers",
        )
    return None


def _between(call, group, window) -> Cause | None:
    module, name = call.module, call.name
    if isinstance(module, MaxPool) and window.stride > 1:
        return (
            f"{name} is a max pool with stride {window.stride}, which keeps patterns "
            "that its stride cannot show",
            "take a blur pool (dn: --config.model.pool=blur)",
        )
    if not isinstance(module, _CONVS):
        return None
    rings = getattr(module, "rings", None)
    if rings is None and window.size > 1:
        return (
            f"{name} has free filters, which turn only by elements of {group.name}",
            "take steerable filters and a larger group (config dn)",
        )
    if rings is not None:
        both = zip(rings.radii, rings.frequencies, strict=True)
        high = [f"{n} at {radius:g} px" for radius, n in both if n > math.ceil(radius)]
        if high:
            return (
                f"{name} has steerable filters of high angular frequencies "
                f"({', '.join(high)})",
                "lower them: a ring of radius ρ px shows no more than ρ, rounded up",
            )
        if 1 < window.size < _FINE_PX:
            return (
                f"{name} has filters of {window.size} px, too coarse for many angles",
                "take larger feature maps (a finer view), or filters of 5 px",
            )
        if group.turns < _ENOUGH_TURNS and window.size > 1:
            return (
                f"{name} is over {group.name}, whose turns are {360 / group.turns:g}° "
                "apart",
                f"take a larger group (--config.model.group=d{_ENOUGH_TURNS})",
            )
    if window.stride > 1:
        return (
            f"{name} has stride {window.stride}, which leaves out pixels",
            "take stride 1, then a blur pool",
        )
    return None


def _of_view(view) -> Causes:
    if view.scale / view.samples * 64 % 1:
        exact = (
            f"the view's scale / samples, {view.scale:g} / {view.samples} px, is not a "
            "small binary fraction, so that a turned image is rounded otherwise",
            "take one, as --config.view.scale=2.4375 (39/16)",
        )
    else:
        exact = (
            "a turned image is rounded otherwise by the view's warp, as between the "
            f"angles of its views, {tuple(view.angles_deg)}, or by data.pixel_scale",
            "nothing, if that is small enough",
        )
    between = (
        f"the view is sampled every {view.scale / view.samples:g} px",
        "take a smaller config.view.scale, or more config.view.samples",
    )
    return Causes(exact, between)


def _of_remainder(call: Call, window: Window, model: nn.Module) -> Cause:
    size, windows = call.input[1], [window]
    if isinstance(model, Network) and not isinstance(model, ViewNet):
        size, windows = model.input_size, model.windows()
    try:
        check_exact(size, windows)
        what, sizes = f"{call.name} breaks the window rule", "see gzjax.ops.windows"
    except ValueError as error:
        what, _, sizes = str(error).partition(". ")
    return what, f"give an input size that obeys the window rule. {sizes}"


def _window(call: Call) -> Window | None:
    module = call.module
    window = getattr(module, "window", None)
    if window or not isinstance(module, _CONVS):
        return window
    if isinstance(module, GroupConv):
        return Window(call.name, module.kernel_size, module.stride, module.padding)
    size = getattr(module, "kernel_size", call.input[1])
    return Window(call.name, size if isinstance(size, int) else max(size))
