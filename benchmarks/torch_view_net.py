"""The network of ``gzjax.models.view_net`` in PyTorch eager, to compare speed with.

Written as one would write it in PyTorch: ``torch.rot90`` of the views, ``nn.Conv2d``
and a parameter for the untied bias, the library's own pooling, dropout and linear
layers. It is no part of the package.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch_step import assign

from gzjax.ops.views import PARTS_PER_VIEW
from gzjax.ops.windows import Window


def extract_parts(views: torch.Tensor, part_px: int) -> torch.Tensor:
    """``[m c n n] → [8m c p p]``, as ``gzjax.ops.views.extract_parts``."""
    parts = [
        torch.rot90(copy, k, (2, 3))[:, :, :part_px, :part_px]
        for copy in (views, views.flip(3))
        for k in range(4)
    ]
    return torch.stack(parts, dim=1).flatten(0, 1)


def maxout(x: torch.Tensor) -> torch.Tensor:
    """``[b 2n] → [b n]``: the larger of each pair of neighbours."""
    return x.unflatten(1, (-1, 2)).amax(2)


class UntiedConv2d(nn.Module):
    """A convolution, a bias for every channel and position, ReLU.

    Args:
        features_in: channels in.
        features_out: channels out.
        window: size and stride.
        size: h' = w' of the result.
    """

    def __init__(self, features_in: int, features_out: int, window: Window, size: int):
        super().__init__()
        self.conv = nn.Conv2d(
            features_in, features_out, window.size, window.stride, bias=False
        )
        # Of four axes, so that Module.to(memory_format=...) lays it out like the maps.
        self.bias = nn.Parameter(torch.zeros(1, features_out, size, size))

    def forward(self, x):
        """``[b in h w] → [b out h' w']``."""
        return F.relu(self.conv(x) + self.bias, inplace=True)

    def load(self, kernel, bias) -> None:
        """Copies a kernel ``[k k in out]`` and bias ``[h' w' out]`` of gzjax."""
        assign(self.conv.weight, np.transpose(kernel, (3, 2, 0, 1)))
        assign(self.bias, np.transpose(bias, (2, 0, 1))[None])


class TorchViewNet(nn.Module):
    """``gzjax.models.ViewNet`` with the same fields: ``[b·v c h w] → logits [b a]``.

    Args:
        model: the network of gzjax.
        num_views: v; those of one galaxy are neighbours in the first axis.
    """

    def __init__(self, model, num_views: int):
        super().__init__()
        self.part_px, self.num_parts = model.part_px, PARTS_PER_VIEW * num_views
        self.dropout_rate, self.input_noise = model.dropout_rate, model.input_noise
        self.activation = maxout if model.activation == "maxout" else F.relu
        self.trunk, n = self._make_trunk(model)
        self.dense = self._make_dense(model, model.filters[-1] * n * n)

    @staticmethod
    def _make_trunk(model):
        trunk, n, filters = nn.Sequential(), model.part_px, [3, *model.filters]
        for window in model.windows():
            n = window.output_size(n)
            if window.name.startswith("conv"):
                features_in = filters.pop(0)
                layer = UntiedConv2d(features_in, filters[0], window, n)
            else:
                layer = nn.MaxPool2d(window.size, window.stride)
            trunk.add_module(window.name, layer)
        return trunk, n

    def _make_dense(self, model, n):
        dense, pairs = nn.ModuleDict(), 2 if self.activation is maxout else 1
        if model.part_hidden:
            dense["part_hidden"] = nn.Linear(n, 2 * model.part_hidden)
            n = model.part_hidden
        n *= self.num_parts
        for i, units in enumerate(model.hidden):
            dense[f"hidden{i + 1}"] = nn.Linear(n, pairs * units)
            n = units
        dense["outputs"] = nn.Linear(n, model.num_outputs)
        return dense

    def forward(self, x):
        """``[b·v c h w] → [b a]``."""
        if self.training and self.input_noise:
            x = x + self.input_noise * torch.randn_like(x)
        x = self.trunk(extract_parts(x, self.part_px)).flatten(1)
        if "part_hidden" in self.dense:
            x = maxout(self._dropped_in("part_hidden", x))
        x = x.reshape(len(x) // self.num_parts, -1)
        for name in self.dense:
            if name.startswith("hidden"):
                x = self.activation(self._dropped_in(name, x))
        return self._dropped_in("outputs", x)

    def _dropped_in(self, name, x):
        return self.dense[name](F.dropout(x, self.dropout_rate, self.training))

    def load(self, variables: dict) -> None:
        """Copies the parameters of the gzjax network; both flatten ``c h w``."""
        for name, parameters in variables["params"].items():
            if name in self.dense:
                assign(self.dense[name].weight, np.transpose(parameters["kernel"]))
                assign(self.dense[name].bias, parameters["bias"])
            else:
                getattr(self.trunk, name).load(**parameters)
