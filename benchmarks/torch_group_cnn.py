"""The network of ``gzjax.models.group_cnn`` in PyTorch eager, to compare speed with.

Written as one would write it in PyTorch: maps ``[b g·c h w]``, a group convolution as
an index-gather of the filter and ``F.conv2d``, shared batch norm by a view that puts
the group elsewhere, the library's own pooling, dropout and SGD. It is no part of the
package.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch_step import assign

from gzjax.models.group_cnn import KERNEL_SIZES, POOLS
from gzjax.ops.gconv import orbit_table
from gzjax.ops.groups import GROUPS, Group


class GroupConv2d(nn.Module):
    """Lifting (T = 1) or group (T = order) convolution.

    Args:
        group: the point group.
        features_in: planes in.
        features_out: planes out.
        size: k of the k x k filter.
        lifting: of an image.
        bias: one per plane.
    """

    def __init__(
        self,
        group: Group,
        features_in: int,
        features_out: int,
        size: int,
        lifting: bool,
        bias: bool = True,
    ):
        super().__init__()
        self.order, self.depth = group.order, 1 if lifting else group.order
        self.size, self.features_in = size, features_in
        rows = self.depth * size * size
        self.weight = nn.Parameter(torch.empty(features_out, features_in, rows))
        self.bias = nn.Parameter(torch.zeros(features_out)) if bias else None
        # orbit_table's rows are (i, j, t); nothing here depends on their order.
        table = torch.tensor(orbit_table(group, size, lifting).T.copy()).long()
        self.register_buffer("table", table.reshape(-1))

    def transform_filter(self) -> torch.Tensor:
        """``[g·out T·in k k]``."""
        k, out = self.size, len(self.weight)
        w = self.weight.index_select(2, self.table)
        w = w.reshape(out, self.features_in, self.order, k, k, self.depth)
        w = w.permute(2, 0, 5, 1, 3, 4)
        return w.reshape(self.order * out, self.depth * self.features_in, k, k)

    def forward(self, x):
        """``[b T·in h w] → [b g·out h' w']``."""
        bias = None if self.bias is None else self.bias.repeat(self.order)
        return F.conv2d(x, self.transform_filter(), bias)

    def load(self, kernel, bias=None) -> None:
        """Copies a kernel ``[k k T in out]`` of gzjax, and its bias."""
        kernel = np.asarray(kernel)
        rows = kernel.reshape(-1, *kernel.shape[3:])  # [k·k·T in out]
        assign(self.weight, rows.transpose(2, 1, 0))
        if bias is not None:
            assign(self.bias, bias)


class GroupBatchNorm2d(nn.BatchNorm2d):
    """One scale per plane, shared by its ``order`` maps: a view, in either layout."""

    def __init__(self, planes: int, order: int):
        super().__init__(planes)
        self.order = order

    def forward(self, x):
        """``[b g·c h w] → [b g·c h w]``."""
        b, channels, h, w = x.shape
        planes = channels // self.order
        if x.is_contiguous():
            y = super().forward(x.view(b * self.order, planes, h, w))
            return y.view(x.shape)
        y = x.permute(0, 2, 3, 1).reshape(b, h, w * self.order, planes)
        y = super().forward(y.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return y.reshape(b, h, w, channels).permute(0, 3, 1, 2)


class WholeMapGroupConv2d(nn.Module):
    """Group convolution over the whole map, by transforming the map."""

    def __init__(self, group: Group, size: int, features_in: int, features_out: int):
        super().__init__()
        self.size, self.order = size, group.order
        rows = size * size * group.order
        self.weight = nn.Parameter(torch.empty(rows * features_in, features_out))
        self.bias = nn.Parameter(torch.zeros(features_out))
        inverse = np.argsort(orbit_table(group, size, False), axis=0).T.copy()
        self.register_buffer("table", torch.tensor(inverse).long().reshape(-1))

    def forward(self, x):
        """``[b g·c n n] → [b g out]``."""
        b, n = len(x), self.size
        rows = x.reshape(b, self.order, -1, n, n).permute(0, 3, 4, 1, 2)
        rows = rows.reshape(b, n * n * self.order, -1).index_select(1, self.table)
        y = rows.reshape(b * self.order, -1) @ self.weight + self.bias
        return y.view(b, self.order, -1)


class TorchGroupCNN(nn.Module):
    """``gzjax.models.GroupCNN`` with the same fields: ``[b c h w] → logits [b a]``."""

    def __init__(self, model, last_map_size: int):
        super().__init__()
        group = GROUPS[model.group]
        self.exact, self.dropout_rate = model.exact, model.dropout_rate
        planes = (3, *model.planes)
        self.convs = nn.ModuleList(
            GroupConv2d(group, planes[i], planes[i + 1], k, lifting=i == 0)
            for i, k in enumerate(KERNEL_SIZES)
        )
        self.norms = nn.ModuleList(
            GroupBatchNorm2d(n, group.order)
            if model.exact
            else nn.BatchNorm2d(n * group.order)
            for n in model.planes
        )
        size = (group, last_map_size, planes[-1], model.hidden)
        flat = last_map_size**2 * group.order * planes[-1]
        self.hidden = (
            WholeMapGroupConv2d(*size) if model.exact else nn.Linear(flat, model.hidden)
        )
        self.outputs = nn.Linear(model.hidden, model.num_outputs)

    def features(self, x):
        """The last map ``[b g·c n n]``."""
        for i, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            x = F.relu(norm(conv(x)))
            if i in POOLS:
                x = F.max_pool2d(x, *POOLS[i])
        return x

    def forward(self, x):
        """``[b c h w] → [b a]``."""
        x = self.features(x)
        if self.exact:
            x = F.relu(self.hidden(x)).mean(1)
        else:
            x = F.relu(self.hidden(x.flatten(1)))
        x = F.dropout(x, self.dropout_rate, self.training)
        return self.outputs(x)

    def load(self, variables: dict) -> None:
        """Copies parameters and running statistics of the gzjax network."""
        params, stats = variables["params"], variables["batch_stats"]
        for i, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            conv.load(**params[f"conv{i + 1}"])
            name = f"norm{i + 1}"
            assign(norm.weight, np.ravel(params[name]["scale"]))
            assign(norm.bias, np.ravel(params[name]["bias"]))
            assign(norm.running_mean, np.ravel(stats[name]["mean"]))
            assign(norm.running_var, np.ravel(stats[name]["var"]))
        kernel = np.asarray(params["hidden"]["kernel"])
        if self.exact:
            assign(self.hidden.weight, kernel.reshape(-1, kernel.shape[-1]))
        else:  # [h w g c] in gzjax, [g c h w] here
            n, planes = int(self.hidden.in_features), self.norms[-1].num_features
            size = round((n / planes) ** 0.5)
            kernel = kernel.reshape(size, size, planes, -1).transpose(3, 2, 0, 1)
            assign(self.hidden.weight, kernel.reshape(len(kernel), -1))
        assign(self.hidden.bias, params["hidden"]["bias"])
        assign(self.outputs.weight, np.asarray(params["outputs"]["kernel"]).T)
        assign(self.outputs.bias, params["outputs"]["bias"])
