"""The pickles in files of ``torch.save``, read without running what they name.

A pickle is a program that may call any function. This reader knows the few names that
a state dict of tensors needs and gives its own meaning to them; any other is refused.
"""

import collections
import io
import pickle
import pickletools
from typing import BinaryIO

from gzjax.training.weights.torch_tensors import STORAGES, Storage, StoredTensor


class RefusedError(Exception):
    """The pickle names something that no state dict needs; the text is that name."""


def load_pickle(stream: BinaryIO) -> tuple[object, dict[str, Storage]]:
    """Reads one pickle, up to its end, and the storages that it mentions, by key.

    Raises:
        RefusedError: it names something else than what a state dict needs.
        Exception: of any kind: it is broken.
    """
    start = stream.tell()
    _check_memo(stream)
    length = stream.tell() - start
    stream.seek(start)
    unpickler = _Unpickler(io.BytesIO(stream.read(length)))
    return unpickler.load(), unpickler.storages


def _check_memo(stream: BinaryIO) -> None:
    # The unpickler makes a table as long as the largest number that the pickle gives to
    # an object; each such number takes a byte at least.
    start = stream.tell()
    numbers = [
        argument
        for opcode, argument, _ in pickletools.genops(stream)
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT")
    ]
    if max(numbers, default=0) > stream.tell() - start:
        raise pickle.UnpicklingError("its pickle numbers objects that are not there")


class _Unpickler(pickle.Unpickler):
    # What a name stands for here cannot be changed by the pickle, which may set
    # attributes on what it gets: strings, bound methods and a type written in C.
    def __init__(self, stream: BinaryIO):
        super().__init__(stream, encoding="utf-8")
        self.storages: dict[str, Storage] = {}

    def find_class(self, module: str, name: str):
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if module == "torch._utils" and name == "_rebuild_tensor_v2":
            return self._tensor
        if module == "torch._utils" and name == "_rebuild_parameter":
            return self._parameter
        if module == "torch" and name in STORAGES:
            return STORAGES[name]
        raise RefusedError(f"{module}.{name}")

    def persistent_load(self, pid) -> Storage:
        kind, dtype, key, _, numel, *view = pid
        if kind != "storage" or dtype not in STORAGES.values() or any(view):
            raise pickle.UnpicklingError("it refers to something unknown")
        if not isinstance(key, str) or not _is_count(numel):
            raise pickle.UnpicklingError("it has a storage of a wrong size")
        storage = Storage(dtype, key, numel)
        if self.storages.setdefault(key, storage) != storage:
            raise pickle.UnpicklingError(f"it describes storage {key} in two ways")
        return storage

    def _tensor(self, storage, offset, shape, strides, *_) -> StoredTensor:
        if not isinstance(storage, Storage) or len(shape) != len(strides):
            raise pickle.UnpicklingError("it has a tensor without a storage or a shape")
        if not all(_is_count(n) for n in (offset, *shape, *strides)):
            raise pickle.UnpicklingError("it has a tensor of an impossible shape")
        return StoredTensor(storage, offset, tuple(shape), tuple(strides))

    def _parameter(self, tensor, *_):
        return tensor


def _is_count(n) -> bool:
    return type(n) is int and n >= 0
