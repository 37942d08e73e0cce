"""Starts a training from other weights: torchvision's, or those of another run."""

import dataclasses
from pathlib import Path
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from gzjax.errors import UserError, first_few
from gzjax.models import MODELS
from gzjax.ops.groups import GROUPS
from gzjax.steps.mesh import of_first
from gzjax.steps.state import TrainState
from gzjax.training.open_run import check_intact, open_checkpoints
from gzjax.training.run_files import CHECKPOINTS, find_folder, is_model_folder
from gzjax.training.weights.fit import fit, short
from gzjax.training.weights.model_folder import read_model_folder
from gzjax.training.weights.torch_files import read_state_dict
from gzjax.training.weights.torchvision_resnet import torchvision_weights

_ADVICE = "Give weights of the same network in config.init_from, or change config.model"
_HEAD_ADVICE = ", or give config.init_keep_head = False"


class Weights(NamedTuple):
    """Weights by path, as ``params/conv1/kernel``, that may start a network."""

    tensors: dict[str, np.ndarray]
    unused: list[str]  # names in the file that have no place in such a network
    origin: str  # for people
    differing: list[str]  # fields that another value was trained with, for people


def initialise(
    state: TrainState, model: nn.Module, path: str | Path, keep_head: bool
) -> tuple[TrainState, list[str]]:
    """Returns a fresh state with the weights and batch statistics found at ``path``.

    All layers must be there with the same shape, but for those that come after the
    features: ``outputs``, which stays fresh unless ``keep_head``, and ``hidden...``,
    which stays fresh if the file has none.

    Args:
        path: a torchvision state dict for a ResNet of the group p1; or the folder of a
            run of the same network on any tree (its best checkpoint, or the newest if
            none was scored; the averaged parameters if it kept them); or a folder of
            :mod:`gzjax.training.weights.model_folder` of such a run.
        keep_head: take the ``outputs`` too.

    Returns:
        The state; and lines to print: what was taken, left out, and stays fresh.

    Raises:
        UserError: nothing is there, or it does not fit, or it is not finite.
    """
    path = find_folder(path)
    if not path.is_dir():
        weights = _of_file(path, model)
    elif is_model_folder(path):
        weights = _of_model_folder(path, model)
    else:
        weights = _of_run(path, model)
    fresh = {"params": state.params, "batch_stats": state.batch_stats}
    fresh = flatten_dict(fresh, sep="/")

    def wanted(arrays):
        return {n: x for n, x in arrays.items() if keep_head or not _is_output(n)}

    where = f"{path} does not fit the network"
    advice = "\n".join([_ADVICE + _HEAD_ADVICE * keep_head, *weights.differing])
    taken = fit(wanted(weights.tensors), wanted(fresh), where, advice, _is_hidden)
    filled = unflatten_dict(fresh | taken, sep="/")
    params, batch_stats = filled["params"], filled.get("batch_stats", {})
    averaged = None if state.ema_params is None else jax.tree.map(jnp.copy, params)
    state = state.replace(params=params, batch_stats=batch_stats, ema_params=averaged)
    return state, _report(weights, fresh, taken)


def _of_file(path: Path, model: nn.Module) -> Weights:
    tensors = read_state_dict(path)
    if all(name.startswith(("params/", "batch_stats/")) for name in tensors):
        return Weights(tensors, [], str(path), [])
    weights, unused = torchvision_weights(tensors, model, path)
    return Weights(weights, unused, str(path), [])


def _of_run(workdir: Path, model: nn.Module) -> Weights:
    if not (workdir / CHECKPOINTS).is_dir():
        raise UserError(
            f"config.init_from is {workdir}, a folder that holds no {CHECKPOINTS}/: "
            "give the folder of a run, or one that export --kind=safetensors wrote"
        )
    checkpoints = open_checkpoints(workdir)
    step, which = of_first(checkpoints.best_step()), "best by validation RMSE"
    if step is None:
        step, which = of_first(checkpoints.newest_step), "newest"
    if step is None:
        raise UserError(f"{workdir} holds no checkpoint yet. {_ADVICE}")
    check_intact(checkpoints, step, workdir)
    run = checkpoints.read_description(step)
    config = _network_of(run, workdir, model)
    saved = checkpoints.read_weights(step)
    averaged = saved.pop("ema_params", None)
    if averaged is not None:
        saved["params"] = averaged
    kind = "parameters" if averaged is None else "averaged parameters"
    origin = f"{workdir}, {kind} of step {step} ({which})"
    return Weights(flatten_dict(saved, sep="/"), [], origin, _differing(config, model))


def _of_model_folder(folder: Path, model: nn.Module) -> Weights:
    run, step, tensors = read_model_folder(folder)
    config = _network_of(run, folder, model)
    origin = f"{folder}, exported after step {step}"
    return Weights(tensors, [], origin, _differing(config, model))


def _network_of(run: dict, workdir: Path, model: nn.Module) -> dict:
    """Returns the config of the run's network, which must be of the model's kind."""
    config = run.get("config")
    network = config.get("model") if isinstance(config, dict) else None
    if not isinstance(network, dict) or not isinstance(network.get("name"), str):
        raise UserError(f"{workdir}: its checkpoint names no network. {_ADVICE}")
    if MODELS.get(network["name"]) is not type(model):
        raise UserError(
            f"{workdir} holds a network '{network['name']}', and the one here is a "
            f"{type(model).__name__}. {_ADVICE}"
        )
    here = vars(model)
    groups = [GROUPS.get(n.get("group", "")) for n in (network, here)]
    kinds = {(g.turns, g.mirrors) for g in groups if g}  # p4m is another name of d4
    given = [n.get("filters") for n in (network, here)]
    filters = {x for x in given if isinstance(x, str)}  # a ViewNet has counts
    for key, values in (("group", kinds), ("filters", filters)):
        if len(values) > 1:
            raise UserError(
                f"{workdir} holds a network whose {key} is {network[key]!r}, and the "
                f"one here has {here[key]!r}. {_ADVICE}"
            )
    return network


def _differing(config: dict, model: nn.Module) -> list[str]:
    """Returns a line for each field that another value was trained with."""
    fields = {field.name for field in dataclasses.fields(model)} - {"name"}
    lines = []
    for key, there in config.items():
        here = getattr(model, key) if key in fields else there
        here = list(here) if isinstance(here, tuple) else here
        if not isinstance(there, dict) and here != there:
            lines.append(f"config.model.{key} is {there!r} there, {here!r} here")
    return lines


def _is_output(name: str) -> bool:
    return "outputs" in name.split("/")


def _is_hidden(name: str) -> bool:
    return any(layer.startswith("hidden") for layer in name.split("/"))


def _report(weights, fresh, taken) -> list[str]:
    count = sum(x.size for name, x in taken.items() if name.startswith("params/"))
    tensors = weights.tensors
    left = weights.unused + [short(n) for n in tensors if n not in taken]
    stay = [short(n) for n in fresh if n not in taken]
    lines = [
        f"starting from {weights.origin}: {len(taken)} tensors, {count:,} parameters"
    ]
    if left:
        lines.append(f"not taken from there: {len(left)} ({first_few(sorted(left))})")
    if stay:
        lines.append(f"fresh in the network: {len(stay)} ({first_few(sorted(stay))})")
    return lines + [f"note: {line}" for line in weights.differing]
