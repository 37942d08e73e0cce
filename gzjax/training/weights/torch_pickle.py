"""The pickles in files of ``torch.save``, read without running what they name.

A pickle is a program that may call any function. This reader knows the few names that
a state dict of tensors needs and gives its own meaning to them; any other is refused.
"""

import collections
import io
import pickle
import pickletools
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

BFLOAT16 = "bfloat16"
# torch's storages → the type of their bytes.
STORAGES = {
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "HalfStorage": "<f2",
    "BFloat16Storage": BFLOAT16,
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ByteStorage": "|u1",
    "BoolStorage": "|b1",
}


class Storage(NamedTuple):
    """Numbers that lie elsewhere in the file: ``dtype`` is a value of STORAGES."""

    dtype: str
    key: str
    numel: int


class StoredTensor(NamedTuple):
    """A window on a storage; ``offset`` and ``strides`` count elements."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def of(self, numbers: np.ndarray) -> np.ndarray:
        """Returns the tensor, read-only and not copied, given its storage's numbers.

        Raises:
            ValueError: it reaches beyond them, or has more elements than they are.
        """
        if 0 in self.shape:
            return np.zeros(self.shape, numbers.dtype)
        last = self.offset + sum(
            (n - 1) * stride for n, stride in zip(self.shape, self.strides, strict=True)
        )
        # With strides of 0, a tensor could be larger than any memory.
        if last >= len(numbers) or np.prod(self.shape, dtype=object) > len(numbers):
            raise ValueError(
                f"a tensor of shape {self.shape} reaches beyond its storage"
            )
        strides = [stride * numbers.itemsize for stride in self.strides]
        return np.lib.stride_tricks.as_strided(
            numbers[self.offset :], self.shape, strides, writeable=False
        )


def read_numbers(data: bytes, dtype: str) -> np.ndarray:
    """Returns the numbers of a storage; float32 for BFLOAT16."""
    numbers = np.frombuffer(data, jnp.dtype(dtype))
    return numbers.astype(np.float32) if dtype == BFLOAT16 else numbers


class RefusedError(Exception):
    """The pickle names something that no state dict needs; the text is that name."""


def load_pickle(data: bytes) -> object:
    """Returns what a pickle holds, with a :class:`StoredTensor` for each tensor.

    Raises:
        RefusedError: it names something that a state dict does not need.
        Exception: any kind, if it is broken.
    """
    # The unpickler makes a table as long as the largest number that the pickle gives to
    # an object; each such number takes a byte at least.
    numbers = [
        argument
        for opcode, argument, _ in pickletools.genops(data)
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT")
    ]
    if max(numbers, default=0) > len(data):
        raise pickle.UnpicklingError("its pickle numbers objects that are not there")
    return _Unpickler(io.BytesIO(data)).load()


class _Unpickler(pickle.Unpickler):
    # What a name stands for here cannot be changed by the pickle, which may set
    # attributes on what it gets: strings, bound methods and a type written in C.
    def __init__(self, stream: io.BytesIO):
        super().__init__(stream, encoding="utf-8")
        self._storages: dict[str, Storage] = {}

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
        if self._storages.setdefault(key, storage) != storage:
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
