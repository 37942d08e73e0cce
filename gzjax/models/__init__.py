"""Networks. ``make_model`` is the only place that knows them by name."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from gzjax.errors import UserError
from gzjax.models.group_cnn import GroupCNN
from gzjax.models.resnet import ResNet
from gzjax.models.view_net import ViewNet

MODELS = {"group_cnn": GroupCNN, "view_net": ViewNet, "resnet": ResNet}


def network_input(model: nn.Module, images: jax.Array) -> jax.Array:
    """What ``model`` takes of ``[b v h w c]``: all views, or the only one."""
    return images if isinstance(model, ViewNet) else images[:, 0]


def make_model(config, num_outputs: int) -> nn.Module:
    """Builds ``config.model`` for the view and the type that the config names.

    Raises:
        UserError: no such network, or a geometry that it refuses.
    """
    fields = dict(config.model)
    name = fields.pop("name")
    if name not in MODELS:
        raise UserError(
            f"config.model.name is '{name}'; there are: {', '.join(MODELS)}"
        )
    angles = config.view.angles_deg
    if len(angles) > 1 and MODELS[name] is not ViewNet:
        raise UserError(
            f"config.view.angles_deg is {angles}, and {name} sees one view: give one"
        )
    fields = {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}
    try:
        return MODELS[name](
            input_size=config.view.size_px,
            num_outputs=num_outputs,
            param_dtype=jnp.dtype(config.dtype),
            **fields,
        )
    except (TypeError, ValueError) as error:
        raise UserError(f"config.model and config.view: {error}") from error
