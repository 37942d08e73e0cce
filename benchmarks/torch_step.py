"""The training step around a PyTorch network, whichever it is: colour, head, update.

Beside ``gzjax.steps.steps.make_train_step``, which it does the same as. It is no part
of the package.
"""

import contextlib

import numpy as np
import torch
import torch.nn.functional as F

from gzjax.ops.heads import EPSILON
from gzjax.steps.losses import TINY


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


def bce(vote_fractions, targets):
    """Binary cross-entropy, as ``gzjax.steps.losses.bce``."""

    def log(x):
        return x.clamp(min=TINY).log()

    no = (1 - targets) * log(1 - vote_fractions)
    return -(targets * log(vote_fractions) + no).mean()


# What ``config.head``, ``config.loss`` and ``config.optimizer`` name, as far as it
# exists here.
HEADS = {
    "divisive": divisive,
    "sigmoid": lambda logits, tree: torch.sigmoid(logits),
    "relu": lambda logits, tree: F.relu(logits),
}
LOSSES = {"coarse": F.mse_loss, "bce": bce}
# config.rate_in_velocity is another form of the same while the rate is constant.
OPTIMIZERS = {
    "sgd": lambda config, *args, **rest: torch.optim.SGD(
        *args, momentum=config.momentum, nesterov=True, **rest
    ),
    "adam": lambda config, *args, **rest: torch.optim.Adam(*args, **rest),
}


def exists(config) -> bool:
    """Returns whether the step of a config has its like here."""
    named = (config.head in HEADS, config.loss in LOSSES)
    return all(named) and config.optimizer in OPTIMIZERS and not config.max_norm.layers


def make_train_step(network, config, tree, layout, compiled: bool = False):
    """``(images [b v h w 3], colour [b 3 4], targets [b a]) → loss``: one update.

    With ``config.compute_dtype`` the network runs under autocast.

    Args:
        network: ``[b·v 3 h w] → logits [b a]``, the views of one galaxy neighbours; put
            into training mode and updated in place.
        config: the run's.
        tree: of the labels.
        layout: ``torch.contiguous_format`` or ``torch.channels_last``.
        compiled: whether ``torch.compile`` compiles what leads to the loss.
    """
    optimizer = OPTIMIZERS[config.optimizer](
        config,
        network.parameters(),
        lr=config.learning_rate,
        weight_decay=config.weight_decay,
        fused=True,
    )
    view, head, loss_fn = config.view, HEADS[config.head], LOSSES[config.loss]
    network.to(memory_format=layout).train()

    def narrow(x):
        if not config.compute_dtype:
            return contextlib.nullcontext()
        return torch.autocast(x.device.type, getattr(torch, config.compute_dtype))

    def of_batch(images, colour, targets):
        views = images.flatten(0, 1)
        colour = colour.repeat_interleave(images.shape[1], dim=0)
        x = adjust_colour(views, colour, view.mean, view.std)
        x = x.contiguous(memory_format=layout)
        with narrow(x):
            logits = network(x)
        return loss_fn(head(logits.float(), tree), targets)

    if compiled:
        of_batch = torch.compile(of_batch, dynamic=False)

    def train_step(images, colour, targets):
        loss = of_batch(images, colour, targets)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return train_step


def assign(tensor: torch.Tensor, array) -> None:
    """Copies an array of the same shape into a parameter or buffer."""
    with torch.no_grad():
        tensor.copy_(torch.tensor(np.array(array)))
