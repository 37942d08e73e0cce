"""The training step around a PyTorch network, whichever it is: colour, head, SGD.

Beside ``gzjax.steps.steps.make_train_step``, which it does the same as. It is no part
of the package.
"""

import numpy as np
import torch
import torch.nn.functional as F

from gzjax.ops.heads import EPSILON


def adjust_colour(images, matrices, mean, std):
    """uint8 ``[b h w 3]`` → normalised ``[b 3 h w]``, as ``gzjax.ops.colour``."""
    rgb = images.permute(0, 3, 1, 2).float() / 255
    mixed = torch.einsum("bchw,bdc->bdhw", rgb, matrices[:, :, :3])
    shifted = (mixed + matrices[:, :, 3, None, None]).clamp(0, 1)
    mean, std = (rgb.new_tensor(x).view(1, 3, 1, 1) for x in (mean, std))
    return (shifted - mean) / std


def divisive(logits, tree):
    """Vote fractions ``[b a]``, as ``gzjax.ops.heads.divisive``."""
    z = F.relu(logits)
    parts = [z[:, s] / (z[:, s].sum(-1, keepdim=True) + EPSILON) for s in tree.slices]
    columns = []
    for part, parents in zip(parts, tree.parents, strict=True):
        if parents:
            part = part * sum(columns[p] for p in parents)[:, None]
        columns += part.unbind(1)
    return torch.stack(columns, dim=1)


def make_train_step(network, config, tree, layout):
    """``(images [b 1 v h w 3], colour [b 3 4], targets [b a]) → loss``: one update.

    Args:
        network: ``[b·v 3 h w] → logits [b a]``, the views of one galaxy neighbours; put
            into training mode and updated in place.
        config: the run's.
        tree: of the labels.
        layout: ``torch.contiguous_format`` or ``torch.channels_last``.
    """
    # config.rate_in_velocity is another form of the same while the rate is constant.
    optimizer = torch.optim.SGD(
        network.parameters(),
        lr=config.learning_rate,
        momentum=config.momentum,
        nesterov=True,
        weight_decay=config.weight_decay,
        fused=True,
    )
    view = config.view
    network.to(memory_format=layout).train()

    def train_step(images, colour, targets):
        views = images.flatten(0, 1)
        colour = colour.repeat_interleave(images.shape[1], dim=0)
        x = adjust_colour(views, colour, view.mean, view.std)
        x = x.contiguous(memory_format=layout)
        loss = F.mse_loss(divisive(network(x), tree), targets)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return train_step


def assign(tensor: torch.Tensor, array) -> None:
    """Copies an array of the same shape into a parameter or buffer."""
    with torch.no_grad():
        tensor.copy_(torch.tensor(np.array(array)))
