"""The planar networks of ``gzjax.models`` in PyTorch, to compare speed with.

``plain_cnn`` without attention, and ``resnet`` over the trivial group; written as one
would write them in PyTorch. They are no part of the package.
"""

import numpy as np
import torch.nn.functional as F
from torch import nn
from torch_step import assign

from gzjax.models.blocks import EXPANSION, block_windows
from gzjax.models.resnet import DEPTHS, STEM
from gzjax.ops.windows import Window, output_size

ACTIVATIONS = {"relu": F.relu, "linear": lambda x: x}


def conv2d(features_in: int, features_out: int, window: Window, bias: bool):
    """Makes the layer that slides ``window``."""
    size, stride, padding = window.size, window.stride, window.padding
    return nn.Conv2d(features_in, features_out, size, stride, padding, bias=bias)


class DenseLayers(nn.Module):
    """``gzjax.models.network.Network.dense_layers``: ``[b c] → logits [b a]``."""

    def __init__(self, model, features_in: int, activation="relu", norm=False):
        super().__init__()
        sizes = [features_in, *model.hidden]
        self.rates, self.activation = model.dropout_rates, ACTIVATIONS[activation]
        self.hidden = nn.ModuleList(map(nn.Linear, sizes[:-1], sizes[1:]))
        norms = model.hidden if norm else ()
        self.norms = nn.ModuleList(nn.BatchNorm1d(n) for n in norms)
        self.outputs = nn.Linear(sizes[-1], model.num_outputs)

    def forward(self, x):
        """``[b c] → [b a]``."""
        for i, hidden in enumerate(self.hidden):
            x = self.activation(hidden(F.dropout(x, self.rates[i], self.training)))
            x = self.norms[i](x) if self.norms else x
        return self.outputs(F.dropout(x, self.rates[-1], self.training))

    def load(self, params: dict, stats: dict, map_size: int = 1) -> None:
        """Copies what gzjax calls hidden1, hidden_norm1, ..., outputs.

        The first layer sees ``[h w c]`` there and ``[c h w]`` here.
        """
        for i, hidden in enumerate(self.hidden, 1):
            kernel = np.asarray(params[f"hidden{i}"]["kernel"])
            if i == 1:
                rows = kernel.reshape(map_size**2, -1, kernel.shape[-1])
                kernel = rows.swapaxes(0, 1).reshape(kernel.shape)
            assign(hidden.weight, kernel.T)
            assign(hidden.bias, params[f"hidden{i}"]["bias"])
        for i, norm in enumerate(self.norms, 1):
            load_norm(norm, params[f"hidden_norm{i}"], stats[f"hidden_norm{i}"])
        assign(self.outputs.weight, np.asarray(params["outputs"]["kernel"]).T)
        assign(self.outputs.bias, params["outputs"]["bias"])


def load_conv(conv: nn.Conv2d, params: dict) -> None:
    """Copies a kernel ``[k k in out]`` or ``[k k 1 in out]``, and its bias if any."""
    kernel = np.asarray(params["kernel"])
    kernel = kernel.reshape(*kernel.shape[:2], *kernel.shape[-2:])
    assign(conv.weight, kernel.transpose(3, 2, 0, 1))
    if conv.bias is not None:
        assign(conv.bias, params["bias"])


def load_norm(norm, params: dict, stats: dict) -> None:
    """Copies scales, offsets and running statistics."""
    assign(norm.weight, params["scale"])
    assign(norm.bias, params["bias"])
    assign(norm.running_mean, stats["mean"])
    assign(norm.running_var, stats["var"])


class TorchPlainCNN(nn.Module):
    """``gzjax.models.PlainCNN`` with the same fields: ``[b c h w] → logits [b a]``."""

    def __init__(self, model):
        super().__init__()
        self.windows = {window.name: window for window in model.windows()}
        self.norm, self.mean_last = model.norm, model.last_pool == "mean"
        filters = (3, *model.filters)
        self.convs = nn.ModuleList(
            conv2d(filters[i], n, self.windows[f"conv{i + 1}"], bias=True)
            for i, n in enumerate(model.filters)
        )
        norms = () if model.norm == "none" else model.filters
        self.norms = nn.ModuleList(nn.BatchNorm2d(n) for n in norms)
        self.last_pool = [n for n in self.windows if n.startswith("pool")][-1:]
        self.map_size = output_size(model.input_size, model.windows())
        features = self.map_size**2 * filters[-1]
        of_hidden = (model.hidden_activation, model.hidden_norm)
        self.dense = DenseLayers(model, features, *of_hidden)

    def forward(self, x):
        """``[b c h w] → [b a]``."""
        for i, conv in enumerate(self.convs):
            x = conv(x)
            x = self.norms[i](x) if self.norm == "before_relu" else x
            x = F.relu(x)
            x = self.norms[i](x) if self.norm == "after_relu" else x
            x = self._pool(x, f"pool{i + 1}")
        return self.dense(x.flatten(1))

    def _pool(self, x, name):
        if name not in self.windows:
            return x
        window = self.windows[name]
        if self.mean_last and [name] == self.last_pool:
            return F.avg_pool2d(x, window.size, window.stride)
        return F.max_pool2d(x, window.size, window.stride, window.padding)

    def load(self, variables: dict) -> None:
        """Copies parameters and running statistics of the gzjax network."""
        params, stats = variables["params"], variables["batch_stats"]
        for i, conv in enumerate(self.convs, 1):
            load_conv(conv, params[f"conv{i}"])
        for i, norm in enumerate(self.norms, 1):
            load_norm(norm, params[f"norm{i}"], stats[f"norm{i}"])
        self.dense.load(params, stats, self.map_size)


class Residual(nn.Module):
    """``gzjax.models.blocks.Block`` over the trivial group."""

    def __init__(self, features_in: int, planes: int, stride: int, bottleneck, bias):
        super().__init__()
        windows = block_windows(stride, bottleneck)
        features = planes * (EXPANSION if bottleneck else 1)
        sizes = [features_in, *(len(windows) - 1) * [planes], features]
        self.layers = nn.ModuleDict()
        for size_in, size_out, window in zip(sizes, sizes[1:], windows, strict=False):
            self._add(window, size_in, size_out, bias)
        self.main = [window.name for window in windows]
        self.has_shortcut = stride > 1 or features_in != features
        if self.has_shortcut:
            shortcut = Window("downsample_conv", 1, stride)
            self._add(shortcut, features_in, features, bias)

    def _add(self, window, size_in, size_out, bias):
        has_bias = bias and window.size == 3
        self.layers[window.name] = conv2d(size_in, size_out, window, has_bias)
        self.layers[_norm_of(window.name)] = nn.BatchNorm2d(size_out)

    def _conv_norm(self, name, x):
        return self.layers[_norm_of(name)](self.layers[name](x))

    def forward(self, x):
        """``[b in h w] → [b out h' w']``."""
        y = x
        for name in self.main[:-1]:
            y = F.relu(self._conv_norm(name, y))
        y = self._conv_norm(self.main[-1], y)
        return F.relu(
            y + (self._conv_norm("downsample_conv", x) if self.has_shortcut else x)
        )

    def load(self, params: dict, stats: dict) -> None:
        """Copies what gzjax calls conv1, norm1, ..., downsample_norm."""
        for name, layer in self.layers.items():
            if "conv" in name:
                load_conv(layer, params[name])
            else:
                load_norm(layer, params[name], stats[name])


def _norm_of(name: str) -> str:
    return name.replace("conv", "norm")


class TorchResNet(nn.Module):
    """``gzjax.models.ResNet`` with the same fields: ``[b c h w] → logits [b a]``."""

    def __init__(self, model):
        super().__init__()
        counts, bottleneck = DEPTHS[model.depth]
        self.conv = conv2d(3, model.planes[0], STEM[0], bias=False)
        self.norm = nn.BatchNorm2d(model.planes[0])
        self.blocks, features = nn.ModuleDict(), model.planes[0]
        for stage, (count, planes) in enumerate(
            zip(counts, model.planes, strict=True), 1
        ):
            for i in range(count):
                stride = 2 if stage > 1 and i == 0 else 1
                self.blocks[f"layer{stage}_{i}"] = Residual(
                    features, planes, stride, bottleneck, model.block_bias
                )
                features = planes * (EXPANSION if bottleneck else 1)
        self.dense = DenseLayers(model, features)

    def forward(self, x):
        """``[b c h w] → [b a]``."""
        pool = STEM[1]
        x = F.relu(self.norm(self.conv(x)))
        x = F.max_pool2d(x, pool.size, pool.stride, pool.padding)
        for block in self.blocks.values():
            x = block(x)
        return self.dense(x.mean((2, 3)))

    def load(self, variables: dict) -> None:
        """Copies parameters and running statistics of the gzjax network."""
        params, stats = variables["params"], variables["batch_stats"]
        load_conv(self.conv, params["conv1"])
        load_norm(self.norm, params["norm1"], stats["norm1"])
        for name, block in self.blocks.items():
            block.load(params[name], stats[name])
        self.dense.load(params, stats)
