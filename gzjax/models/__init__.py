"""Builds networks.

In: ``config.model``. Out: Flax modules. ``make_model`` alone knows them by name.
"""

import contextlib
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from gzjax.errors import UserError
from gzjax.models.group_cnn import GroupCNN
from gzjax.models.pair import NETWORKS, Pair, shrunk_sizes
from gzjax.models.plain_cnn import PlainCNN
from gzjax.models.resnet import ResNet
from gzjax.models.steerable_cnn import SteerableCNN
from gzjax.models.view_net import ViewNet

SINGLE = {
    "group_cnn": GroupCNN,
    "steerable_cnn": SteerableCNN,
    "resnet": ResNet,
    "plain_cnn": PlainCNN,
}
MODELS = {**SINGLE, "view_net": ViewNet, "pair": Pair}


def network_input(model: nn.Module, images: jax.Array) -> jax.Array:
    """Returns what the model takes of ``[b v h w c]``: all views, or the only one."""
    return images if isinstance(model, ViewNet) else images[:, 0]


def make_model(config, num_outputs: int) -> nn.Module:
    """Builds ``config.model`` for the view and the types that the config names.

    Raises:
        UserError: there is no such network, or it refuses its fields or the view.
    """
    name, fields = _name_and_fields(config.model, "config.model", MODELS)
    angles = config.view.angles_deg
    if len(angles) > 1 and MODELS[name] is not ViewNet:
        raise UserError(
            f"config.view.angles_deg is {angles}, and {name} sees one view: give one"
        )
    size_px = config.view.size_px
    types = {
        "param_dtype": jnp.dtype(config.dtype),
        "compute_dtype": jnp.dtype(config.compute_dtype or config.dtype),
        "remat": config.remat,
    }
    if MODELS[name] is not Pair:
        return _build(name, "config.model", fields, size_px, num_outputs, **types)

    with _as_user_error("config.model"):
        sizes = shrunk_sizes(size_px, fields.get("shrinks", Pair.shrinks))
    for network, size in zip(NETWORKS, sizes, strict=True):
        where = f"config.model.{network}"
        kind, its_fields = _name_and_fields(fields.get(network), where, SINGLE)
        fields[network] = _build(kind, where, its_fields, size, num_outputs, **types)
    return _build(name, "config.model", fields, size_px, num_outputs)


def _name_and_fields(model_config, where, known) -> tuple[str, dict]:
    if not hasattr(model_config, "items"):
        raise UserError(
            f"{where} is {model_config!r}, not a network: give {where}.name, one of: "
            + ", ".join(known)
        )
    fields: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list) else v for k, v in model_config.items()
    }
    name = fields.pop("name", "")
    if name not in known:
        raise UserError(f"{where}.name is '{name}'; there are: {', '.join(known)}")
    return name, fields


def _build(name, where, fields, input_size, num_outputs, **types):
    with _as_user_error(where):
        return MODELS[name](input_size, num_outputs, **fields, **types)


@contextlib.contextmanager
def _as_user_error(where):
    try:
        yield
    except (TypeError, ValueError) as error:
        raise UserError(f"{where} and config.view: {error}") from error
