"""Renames the weights of torchvision's residual networks to ours."""

import re

import flax.linen as nn
import numpy as np

from gzjax.errors import UserError, first_few
from gzjax.models.resnet import DEPTHS, ResNet

_NAME = re.compile(
    r"(?:layer(?P<stage>\d)\.(?P<block>\d+)\.)?"
    r"(?:(?P<kind>conv|bn)(?P<number>\d)|downsample\.(?P<shortcut>[01]))"
    r"\.(?P<value>\w+)"
)
_NORM_VALUES = {
    "weight": ("params", "scale"),
    "bias": ("params", "bias"),
    "running_mean": ("batch_stats", "mean"),
    "running_var": ("batch_stats", "var"),
}
_CLASSES = "fc."  # the outputs, for other classes than a galaxy's
_COUNTERS = ".num_batches_tracked"  # of the running statistics, without a use here


def torchvision_weights(
    tensors: dict[str, np.ndarray], model: nn.Module, path
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Returns the tensors by our paths, and the names that have no place in ``model``.

    A path is for example ``params/layer1_0/conv1/kernel``; an unknown name stays.

    Raises:
        UserError: ``model`` is not a planar ResNet, or the file ``path`` is not that of
            a ResNet of the same depth.
    """
    _check(tensors, model, path)
    weights, skipped = {}, []
    for name, tensor in tensors.items():
        if name.startswith(_CLASSES):
            skipped.append(name)
        elif not name.endswith(_COUNTERS):
            new_name, tensor = _translate(name, tensor)
            weights[new_name] = tensor
    return weights, skipped


def _check(tensors, model, path):
    if not isinstance(model, ResNet):
        raise UserError(
            f"{path} can only start a ResNet (config.model.name = 'resnet'), and the "
            f"network here is {type(model).__name__}; give the folder of a run of it"
        )
    if model.group != "p1":
        raise UserError(
            f"{path} holds filters for one orientation, and config.model.group is "
            f"'{model.group}': give config.model.group = 'p1', or the folder of a run"
        )
    there, here = _architecture(tensors), DEPTHS[model.depth]
    if not any(there[0]):
        raise UserError(
            f"{path} is not a state dict of torchvision's ResNet: it holds "
            + first_few(list(tensors))
        )
    if there != here:
        depths = [depth for depth, blocks in DEPTHS.items() if blocks == there]
        known = f"ResNet-{depths[0]}" if depths else f"ResNet of {there[0]} blocks"
        raise UserError(
            f"{path} holds a {known}, and the network here is a ResNet-{model.depth}: "
            "change config.model.depth, or give another file"
        )


def _architecture(names):
    """Returns the blocks of each stage, and whether they are bottlenecks."""
    matches = [match for name in names if (match := _NAME.fullmatch(name))]
    blocks = {(m["stage"], m["block"]) for m in matches if m["stage"]}
    stages = [stage for stage, _ in blocks]
    return (
        tuple(stages.count(str(i + 1)) for i in range(4)),
        any(m["stage"] and m["number"] == "3" for m in matches),
    )


def _translate(name, tensor):
    match = _NAME.fullmatch(name)
    if match is None:
        return name, tensor
    block = f"layer{match['stage']}_{match['block']}/" if match["stage"] else ""
    layer = match["number"] or ""
    is_conv = match["kind"] == "conv" or match["shortcut"] == "0"
    prefix = "downsample_" if match["shortcut"] else ""
    layer = f"{block}{prefix}{'conv' if is_conv else 'norm'}{layer}"
    if is_conv and match["value"] == "weight" and tensor.ndim == 4:
        # [out in k k] → [k k 1 in out]
        return f"params/{layer}/kernel", tensor.transpose(2, 3, 1, 0)[:, :, None]
    if not is_conv and match["value"] in _NORM_VALUES:
        collection, value = _NORM_VALUES[match["value"]]
        return f"{collection}/{layer}/{value}", tensor
    return name, tensor
