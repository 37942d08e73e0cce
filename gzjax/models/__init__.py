"""Networks. ``make_model`` is the only place that knows them by name."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from gzjax.errors import UserError
from gzjax.models.group_cnn import GroupCNN
from gzjax.models.view_net import ViewNet

MODELS = {"group_cnn": GroupCNN, "view_net": ViewNet}
_OF_SEVERAL_VIEWS = ("view_net",)


def network_input(images: jax.Array) -> jax.Array:
    """``[b v h w c]`` for a network of several views, ``[b h w c]`` where v is 1."""
    return images[:, 0] if images.shape[1] == 1 else images


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
    views = len(config.view.angles_deg)
    if not views or (views > 1 and name not in _OF_SEVERAL_VIEWS):
        raise UserError(
            f"config.view.angles_deg is {config.view.angles_deg}: {name} sees one view"
        )
    fields = {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}
    try:
        return MODELS[name](
            input_size=config.view.size_px,
            num_outputs=num_outputs,
            param_dtype=jnp.dtype(config.dtype),
            **fields,
        )
    except ValueError as error:
        raise UserError(f"config.model and config.view: {error}") from error
