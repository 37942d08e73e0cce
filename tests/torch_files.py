"""Writes the small files of ``torch.save`` that ``test_torch_files.py`` reads.

Made anew by ``python tests/torch_files.py``.
"""

from collections import OrderedDict
from pathlib import Path

import torch

FOLDER = Path(__file__).parent / "fixtures"
TYPES = ("float32", "float64", "float16", "bfloat16", "int64", "int32", "uint8", "bool")


class Malicious:
    """Unpickled, it makes a file."""

    def __reduce__(self):
        return open, ("made-by-a-pickle", "w")


def types():
    """The same numbers in every type, a parameter, a scalar and an empty tensor."""
    numbers = torch.tensor([[0.0, 1.0, 2.5], [3.0, 100.25, 7.0]])
    tensors = {name: numbers.to(getattr(torch, name)) for name in TYPES}
    tensors["parameter"] = torch.nn.Parameter(numbers)
    tensors["scalar"] = torch.tensor(5)
    tensors["empty"] = torch.zeros(0, 3)
    return OrderedDict(tensors)


def strided():
    """Windows on one storage."""
    numbers = torch.arange(24.0).reshape(2, 3, 4)
    return {
        "turned": numbers.permute(2, 0, 1),
        "thinned": numbers[:, ::2, 1::2],
        "last": numbers[1, 2],
        "channels_last": torch.arange(16.0)
        .reshape(1, 2, 2, 4)
        .to(memory_format=torch.channels_last),
    }


def trained():
    """A network's own state dict: an OrderedDict with attributes and counters."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 1), torch.nn.BatchNorm2d(2))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([1.0, 2.0]).reshape(2, 1, 1, 1))
    return model.state_dict()


def main():
    parallel = {f"module.{name}": tensor for name, tensor in strided().items()}
    malicious = {"weight": torch.zeros(1), "code": Malicious()}
    files = {
        "types": types(),
        "strided": strided(),
        "trained": trained(),
        "wrapped": {"epoch": 3, "best": 0.5, "state_dict": parallel},
        "model": {"model": strided(), "args": {"lr": 0.1}},
        "malicious": malicious,
    }
    for name, content in files.items():
        torch.save(content, FOLDER / f"{name}.pth")


if __name__ == "__main__":
    main()
