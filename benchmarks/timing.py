"""Interleaved timing of callables, the measured peak of the device, tables and JSON.

Two equal loops run one after the other can differ by a factor of three on a shared
machine, so callables that are compared take turns (A B, B A, A B, ...) in one process,
and a ratio is the median of the ratios within a round. Import this before JAX and
torch: it gives both the same allocator settings.
"""

import datetime
import importlib.metadata
import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from gzjax.cli.host_memory import keep_freed_memory

keep_freed_memory()

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402

try:
    import torch
except ImportError:
    torch = None

NO_TORCH = "torch is not installed: no comparison with PyTorch"


# Before a call is timed: threads of the other library may still be waiting actively.
PAUSE_SEC = 0.005


def interleave(
    callables: dict[str, Callable], rounds: int, warmup: int = 1
) -> dict[str, np.ndarray]:
    """Seconds ``[rounds]`` of every callable, in an order that changes every round.

    A callable returns its JAX arrays, which are waited for; torch waits by itself
    (:func:`wait_for_torch`).
    """
    for _ in range(warmup):
        for function in callables.values():
            jax.block_until_ready(function())
    seconds = {name: np.empty(rounds) for name in callables}
    names = list(callables)
    for i in range(rounds):
        first = i // 2 % len(names)
        turn = names[first:] + names[:first]
        for name in reversed(turn) if i % 2 else turn:
            time.sleep(PAUSE_SEC)
            start = time.perf_counter()
            jax.block_until_ready(callables[name]())
            seconds[name][i] = time.perf_counter() - start
    return seconds


def summary(seconds: np.ndarray) -> dict[str, float]:
    """Median, smallest and largest, in milliseconds."""
    ms = seconds * 1e3
    return {
        "median_ms": float(np.median(ms)),
        "min_ms": float(ms.min()),
        "max_ms": float(ms.max()),
    }


def ratio(above: np.ndarray, below: np.ndarray) -> float:
    """The median over rounds of ``above / below``."""
    return float(np.median(above / below))


def wait_for_torch() -> None:
    """Blocks until torch has finished, where it works in the background."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def torch_device() -> str:
    """Where torch computes: beside JAX, if torch sees JAX's GPU."""
    on_gpu = jax.default_backend() == "gpu" and torch.cuda.is_available()
    return "cuda" if on_gpu else "cpu"


def to_torch(x):
    """A copy of a JAX or NumPy array on torch's device."""
    return torch.tensor(np.asarray(x), device=torch_device())


def matmul_peak(rounds: int = 10) -> float:
    """GFLOP/s of a square float32 matrix product at JAX's default precision.

    The best over sizes of the median over rounds.
    """
    sizes = (1024, 2048) if jax.default_backend() == "cpu" else (4096, 8192, 16384)
    product = jax.jit(jnp.matmul)
    squares = {n: jnp.ones((n, n), jnp.float32) for n in sizes}
    seconds = interleave(
        {str(n): lambda x=x: product(x, x) for n, x in squares.items()}, rounds
    )
    return max(2e-9 * n**3 / float(np.median(seconds[str(n)])) for n in sizes)


def machine() -> dict[str, object]:
    """What a figure depends on, for the head of a JSON file."""
    packages = ("gzjax", "jax", "jaxlib", "flax", "torch", "escnn")
    versions = {}
    for package in packages:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "backend": jax.default_backend(),
        "device": jax.devices()[0].device_kind,
        "num_devices": jax.device_count(),
        "host_cpus": os.cpu_count(),
        "versions": versions,
    }


def print_table(title: str, header: Sequence[str], rows: Sequence[Sequence]) -> None:
    """Plain and aligned; floats with three significant digits, None as "-"."""
    cells = [list(header)] + [[_show(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    print(f"\n{title}")
    for row in cells:
        first, *others = (
            cell.ljust(w) if i == 0 else cell.rjust(w)
            for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        print("  ".join([first, *others]).rstrip())


def _show(cell) -> str:
    if cell is None:
        return "-"
    if isinstance(cell, float):
        return f"{cell:.0f}" if abs(cell) >= 100 else f"{cell:.3g}"
    return str(cell)


def write_json(path: Path | None, results: dict) -> None:
    """Writes ``results`` under the machine they come from, if a path is given."""
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"machine": machine(), **results}, indent=1) + "\n")
    print(f"wrote {path}")
