"""Keeps what ``calibrate`` measured in one file beside the run; read without JAX."""

import dataclasses
import hashlib
import json
from pathlib import Path

import numpy as np
import safetensors
import safetensors.numpy

from gzjax.data.familiar.classifier import Reference
from gzjax.errors import READ_ERRORS, UserError, reason
from gzjax.files import open_aside, read_bytes
from gzjax.metrics.intervals import Intervals
from gzjax.progress import say
from gzjax.training import run_files as layout
from gzjax.training.open_run import SavedRun

_FORMAT = "gzjax calibration, version 1"
_MAX_BYTES = 1 << 24


@dataclasses.dataclass(frozen=True, eq=False)
class Calibration:
    """What tells how far a network's answers can be trusted.

    Attributes:
        about: JSON-ready: ``network`` (:func:`network_id`), ``step``, and what was
            measured on what.
        digest: SHA-256 of the file.
    """

    reference: Reference
    intervals: Intervals
    about: dict
    digest: str = ""


def network_id(run: dict, step: int) -> str:
    """Returns a digest of a run's config, data, tree and step; not of its paths."""
    config = run["config"] | {"data": run["config"]["data"] | {"dir": ""}}
    parts = [config, run["fingerprint"], run["tree"], step]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def write_calibration(calibration: Calibration, folder: Path) -> Path:
    """Writes the file into ``folder``, and returns its path."""
    arrays = {f"reference/{k}": v for k, v in calibration.reference.to_arrays().items()}
    for name, values in calibration.intervals._asdict().items():
        arrays[f"intervals/{name}"] = np.float32(values)
    about = json.dumps(calibration.about | {"format": _FORMAT})
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / layout.CALIBRATION
    with open_aside(path, "wb") as file:
        file.write(safetensors.numpy.save(arrays, {"gzjax": about}))
    return path


def find_calibration(saved: SavedRun) -> Calibration | None:
    """Returns the calibration of a network; None if it has none, or another's.

    One that the user made of a network of the package goes before the package's.

    Raises:
        UserError: the file is damaged.
    """
    for folder in (layout.results_folder(saved.workdir), saved.workdir):
        path = folder / layout.CALIBRATION
        if not path.exists():
            continue
        calibration = read_calibration(path)
        if calibration.about["network"] == network_id(saved.run, saved.step):
            return calibration
        say(
            f"note: {path} is of another network or step than {saved.step} and is not "
            f"used. Make it anew: gzjax calibrate --workdir={saved.workdir}"
        )
    return None


def read_calibration(path: Path) -> Calibration:
    """Reads an untrusted file; raises a UserError if it is damaged."""
    try:
        data = read_bytes(path, _MAX_BYTES)
        arrays = safetensors.numpy.load(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        about = json.loads(header["__metadata__"]["gzjax"])
        if about["format"] != _FORMAT or not isinstance(about["network"], str):
            raise ValueError(f"its format is not '{_FORMAT}'")
        parts: dict[str, dict] = {"reference": {}, "intervals": {}}
        for name, array in arrays.items():
            part, _, key = name.partition("/")
            parts[part][key] = array
        ends = [parts["intervals"][name] for name in Intervals._fields]
        if len({array.shape for array in ends}) != 1 or ends[0].ndim != 2:
            raise ValueError("its intervals are not of one shape")
        reference = Reference.from_arrays(parts["reference"])
        intervals = Intervals(*(array.tolist() for array in ends))
        return Calibration(
            reference, intervals, about, hashlib.sha256(data).hexdigest()
        )
    except (TypeError, safetensors.SafetensorError, *READ_ERRORS) as error:
        raise UserError(
            f"{path} cannot be read: {reason(error)}; remove it, or make it anew with "
            "calibrate"
        ) from error
