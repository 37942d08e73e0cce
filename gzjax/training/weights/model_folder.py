"""Writes and reads a trained network as two files of common formats.

``model.safetensors`` holds the weights by path, as ``params/conv1/kernel`` and
``batch_stats/norm1/mean`` (the averaged parameters if the run kept them);
``config.json`` the run's description and the step, from which the network is built,
and the SHA-256 of the other file. They are read without JAX.
"""

import hashlib
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import safetensors
import safetensors.numpy

from gzjax.errors import READ_ERRORS, UserError, reason
from gzjax.files import open_aside, read_bytes, read_json, write_json
from gzjax.training import run_files as layout
from gzjax.training.identity import check_run
from gzjax.training.weights.torch_files import MAX_BYTES, parse_safetensors

_WEIGHTS, _CONFIG = layout.MODEL_WEIGHTS, layout.CONFIG
_FORMAT = "gzjax model, version 1"
_AGAIN = "export --kind=safetensors the run again, or fetch both files anew"


class Model(NamedTuple):
    """A run's description, the number of updates made, and the weights by path."""

    run: dict
    step: int
    tensors: dict[str, np.ndarray]


def write_model_folder(run: dict, step: int, variables: dict, folder: Path) -> None:
    """Writes both files into ``folder``, made if missing; each whole or not at all.

    ``config.data.dir`` is left out: it is a path of one machine.

    Raises:
        UserError: the folder is that of a run.
    """
    import jax
    from flax.traverse_util import flatten_dict

    if (folder / layout.CHECKPOINTS).exists():
        raise UserError(f"{folder} is the folder of a run: give another --output")
    if folder.is_dir() and any(folder.iterdir()) and not layout.is_model_folder(folder):
        raise UserError(f"{folder} holds other files: give an --output of its own")
    folder.mkdir(parents=True, exist_ok=True)
    arrays = flatten_dict(jax.device_get(variables), sep="/")
    data = safetensors.numpy.save(
        {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    )
    run = json.loads(json.dumps(run))
    run["config"]["data"]["dir"] = ""
    with open_aside(folder / _WEIGHTS, "wb") as file:
        file.write(data)
    digest = hashlib.sha256(data).hexdigest()
    content = {"format": _FORMAT, "step": step, "sha256": digest, "run": run}
    write_json(folder / _CONFIG, content)


def read_model_folder(folder: Path) -> Model:
    """Reads an untrusted folder; whether the tensors fit is left to the caller.

    Raises:
        UserError: a file is missing, too large, damaged or not of the other's export.
    """
    path, weights = folder / _CONFIG, folder / _WEIGHTS
    step, run, digest = read_json(path, _AGAIN, _parse)
    check_run(run, folder)
    try:
        data = read_bytes(weights, MAX_BYTES)
        if hashlib.sha256(data).hexdigest() != digest:
            raise ValueError(f"it is not the file that {path} was written with")
        return Model(run, step, parse_safetensors(data))
    except (safetensors.SafetensorError, *READ_ERRORS) as error:
        raise UserError(
            f"{weights} cannot be read: {reason(error)}; {_AGAIN}"
        ) from error


def _parse(description) -> tuple[int, dict, str]:
    if not isinstance(description, dict) or description.get("format") != _FORMAT:
        raise ValueError(f"its format is not '{_FORMAT}'")
    step, run = description["step"], description["run"]
    if type(step) is not int or not 0 <= step < 2**31 or not isinstance(run, dict):
        raise ValueError("it has no step, or no run")
    return step, run, description["sha256"]


def fill(variables: dict, tensors: dict[str, np.ndarray], folder: Path) -> dict:
    """Returns the tensors as the (abstract) variables of the network, on its devices.

    Raises:
        UserError: they are not those of the network, or not finite.
    """
    from flax.traverse_util import flatten_dict, unflatten_dict

    from gzjax.training.weights.fit import fit

    where = f"{folder} does not hold the weights of the network that it describes"
    network = flatten_dict(variables, sep="/")
    placed = fit(tensors, network, where, f"What to do: {_AGAIN}")
    return {"batch_stats": {}} | unflatten_dict(placed, sep="/")
