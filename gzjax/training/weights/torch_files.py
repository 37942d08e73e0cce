"""Reads the weights of other programs: ``.safetensors``, ``.pth`` and ``.pt``.

Nothing in a file is run (:mod:`gzjax.training.weights.torch_pickle`), and no more
memory is taken than twice the file's length, thrice for half-size floats.
"""

import io
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

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
# The pickle of a number that torch < 1.6 wrote first, and still does if it is told to.
_LEGACY_MAGIC = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
_WRAPPERS = ("state_dict", "model")  # training scripts save more, these among it
_DATA_PARALLEL = "module."  # before the names of a network that torch wrapped
_ADVICE = "In PyTorch: torch.save(model.state_dict(), 'weights.pth')"


def read_state_dict(path: str | Path) -> dict[str, np.ndarray]:
    """Returns name → tensor, of the type in the file; bfloat16 becomes float32.

    The format follows from the suffix; ``.pth`` and ``.pt`` are what ``torch.save``
    writes of a state dict, or of a dict with one as ``"state_dict"`` or ``"model"``, in
    today's format (a zip) or that before PyTorch 1.6. A ``module.`` before all names is
    left out.

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
        tensors[name] = read_numbers(bytes(entry["data"]), dtype).reshape(
            entry["shape"]
        )
    return tensors


def _read_torch(path: Path) -> dict[str, np.ndarray]:
    size = path.stat().st_size
    with open(path, "rb") as file:
        if file.read(len(_ZIP_MAGIC)) == _ZIP_MAGIC:
            return _read_zip(file, size)
        file.seek(0)
        if file.read(len(_LEGACY_MAGIC)) == _LEGACY_MAGIC:
            return _read_legacy(file, size)
    raise ValueError("it was not written by torch.save")


_READERS = {
    ".safetensors": lambda path: parse_safetensors(path.read_bytes()),
    ".pth": _read_torch,
    ".pt": _read_torch,
}


def _read_zip(file: BinaryIO, size: int) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(file) as archive:
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
        content, _ = load_pickle(io.BytesIO(archive.read(f"{folder}/data.pkl")))
        return _arrays(content, lambda key: archive.read(f"{folder}/data/{key}"))


def _read_legacy(file: BinaryIO, size: int) -> dict[str, np.ndarray]:
    load_pickle(file)  # the version of the format
    system, _ = load_pickle(file)
    if not system["little_endian"]:
        raise ValueError("it was written on a big-endian machine")
    content, storages = load_pickle(file)
    keys, _ = load_pickle(file)
    data = {}
    for key in keys:
        (numel,) = struct.unpack("<q", file.read(8))
        if numel != storages[key].numel:
            raise ValueError(f"storage {key} has {numel} numbers, not those announced")
        length = storages[key].num_bytes
        if length > size - file.tell():
            raise ValueError(f"storage {key} is larger than the rest of the file")
        data[key] = file.read(length)
    return _arrays(content, data.__getitem__)


def _arrays(content, read: Callable[[str], bytes]) -> dict[str, np.ndarray]:
    """Returns an unpickled object's tensors; ``read`` gives a storage's bytes."""
    tensors = _state_dict(content)
    storages = {tensor.storage.key: tensor.storage for tensor in tensors.values()}
    numbers = {}
    for key, storage in storages.items():
        data = read(key)
        if len(data) != storage.num_bytes:
            raise ValueError(
                f"storage {key} has {len(data)} bytes instead of {storage.num_bytes}"
            )
        numbers[key] = read_numbers(data, storage.dtype)
    return {
        name: tensor.of(numbers[tensor.storage.key]) for name, tensor in tensors.items()
    }


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
