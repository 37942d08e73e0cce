"""Reads the weights of other programs: ``.safetensors``, ``.pth`` and ``.pt``.

Nothing in a file is run (:mod:`gzjax.training.weights.torch_pickle`), and no more
memory is taken than twice the file's length, thrice for half-size floats.
"""

import zipfile
from pathlib import Path

import numpy as np
import safetensors

from gzjax.errors import UserError, first_few, reason
from gzjax.training.weights.torch_pickle import (
    BFLOAT16,
    RefusedError,
    StoredTensor,
    load_pickle,
    read_numbers,
)

_SAFETENSORS_TYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": BFLOAT16,
    "I64": "<i8",
    "I32": "<i4",
    "U8": "|u1",
    "BOOL": "|b1",
}
MAX_BYTES = 1 << 31  # 2 GiB
_ZIP_MAGIC = b"PK\x03\x04"
_WRAPPERS = ("state_dict", "model")  # training scripts save more, these among it
_DATA_PARALLEL = "module."  # before the names of a network that torch wrapped
_ADVICE = "In PyTorch: torch.save(model.state_dict(), 'weights.pth')"


def read_state_dict(path: str | Path) -> dict[str, np.ndarray]:
    """Returns name → tensor, of the type in the file; bfloat16 becomes float32.

    ``.pth`` and ``.pt`` are what ``torch.save`` writes since PyTorch 1.6 of a state
    dict, or of a dict with one as ``"state_dict"`` or ``"model"``. A ``module.`` before
    all names is left out.

    Raises:
        UserError: no such file, another suffix, damaged or no state dict, or it wants
            to run code.
    """
    path = Path(path)
    if path.suffix not in _READERS:
        raise UserError(
            f"{path}: weights are read from files named .safetensors, .pth or .pt"
        )
    if not path.is_file():
        raise UserError(f"there is no file {path}")
    if path.stat().st_size > MAX_BYTES:
        raise UserError(
            f"{path} is larger than the {MAX_BYTES >> 30} GiB that are read"
        )
    try:
        tensors = _READERS[path.suffix](path)
    except RefusedError as error:
        raise UserError(
            f"{path} wants to run {error} when it is opened. That was refused, and "
            f"nothing of it was run: weights need no code. {_ADVICE}"
        ) from error
    except Exception as error:  # a damaged pickle can raise anything
        raise UserError(
            f"{path} cannot be read: {reason(error)}. Fetch it again, or write a state "
            f"dict. {_ADVICE}"
        ) from error
    if not tensors:
        raise UserError(f"{path} holds no tensors. {_ADVICE}")
    if all(name.startswith(_DATA_PARALLEL) for name in tensors):
        tensors = {name[len(_DATA_PARALLEL) :]: x for name, x in tensors.items()}
    return tensors


def parse_safetensors(data: bytes) -> dict[str, np.ndarray]:
    """Returns the tensors of a ``.safetensors`` file.

    Raises:
        ValueError: a tensor is of a type that is not read, or of another length.
        safetensors.SafetensorError: it is not such a file.
    """
    tensors = {}
    for name, entry in safetensors.deserialize(data):
        if entry["dtype"] not in _SAFETENSORS_TYPES:
            raise ValueError(f"{name} is of the type {entry['dtype']}")
        dtype = _SAFETENSORS_TYPES[entry["dtype"]]
        numbers = read_numbers(bytes(entry["data"]), dtype)
        tensors[name] = numbers.reshape(entry["shape"])
    return tensors


def _read_torch(path: Path) -> dict[str, np.ndarray]:
    with open(path, "rb") as file:
        if file.read(len(_ZIP_MAGIC)) != _ZIP_MAGIC:
            raise ValueError(
                "it is not a zip. If it was saved by PyTorch before 1.6: load it there "
                "and save it again"
            )
        with zipfile.ZipFile(file) as archive:
            return _read_zip(archive, path.stat().st_size)


_READERS = {
    ".safetensors": lambda path: parse_safetensors(path.read_bytes()),
    ".pth": _read_torch,
    ".pt": _read_torch,
}


def _read_zip(archive: zipfile.ZipFile, size: int) -> dict[str, np.ndarray]:
    sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
    # A zip can unpack to far more than itself; torch stores without compression.
    if sum(sizes.values()) > size:
        raise ValueError("its parts are larger than the file")
    if any(entry.compress_type for entry in archive.infolist()):
        raise ValueError("its parts are compressed, which torch.save does not do")
    folders = [name[:-9] for name in sizes if name.endswith("/data.pkl")]
    if len(folders) != 1:
        raise ValueError("it is a zip, but not of torch.save")
    folder = folders[0]
    order = f"{folder}/byteorder"
    if order in sizes and archive.read(order) != b"little":
        raise ValueError("it was written on a big-endian machine")
    tensors = _state_dict(load_pickle(archive.read(f"{folder}/data.pkl")))
    numbers = {}
    for key, storage in {x.storage.key: x.storage for x in tensors.values()}.items():
        found = read_numbers(archive.read(f"{folder}/data/{key}"), storage.dtype)
        if len(found) != storage.numel:
            raise ValueError(
                f"storage {key} has {len(found)} numbers instead of {storage.numel}"
            )
        numbers[key] = found
    return {name: x.of(numbers[x.storage.key]) for name, x in tensors.items()}


def _state_dict(content) -> dict[str, StoredTensor]:
    for wrapper in _WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    if not isinstance(content, dict):
        raise ValueError(f"it holds a {type(content).__name__}, not a state dict")
    others = [
        name
        for name, value in content.items()
        if not (isinstance(name, str) and isinstance(value, StoredTensor))
    ]
    if others:
        raise ValueError(f"it holds other things than tensors: {first_few(others)}")
    return content
