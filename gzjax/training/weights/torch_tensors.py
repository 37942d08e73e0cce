"""Tensors as PyTorch stores them: windows on rows of numbers."""

from typing import NamedTuple

import numpy as np

BFLOAT16 = "bfloat16"  # NumPy has none
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

    @property
    def num_bytes(self) -> int:
        """In the file."""
        size = 2 if self.dtype == BFLOAT16 else np.dtype(self.dtype).itemsize
        return size * self.numel


class StoredTensor(NamedTuple):
    """A window on a storage; ``offset`` and ``strides`` count elements."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def of(self, numbers: np.ndarray) -> np.ndarray:
        """The tensor, read-only and not copied, given its storage's numbers.

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
        return np.lib.stride_tricks.as_strided(
            numbers[self.offset :],
            self.shape,
            [stride * numbers.itemsize for stride in self.strides],
            writeable=False,
        )


def read_numbers(data: bytes, dtype: str) -> np.ndarray:
    """The numbers of a storage, read-only; float32 for BFLOAT16."""
    if dtype != BFLOAT16:
        return np.frombuffer(data, dtype)
    # It is the upper half of a float32.
    return (np.frombuffer(data, "<u2").astype("<u4") << 16).view("<f4")
