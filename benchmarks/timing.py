"""Interleaved timing of callables, the measured peak of the device, tables and JSON.

Two equal loops run one after the other can differ by a factor of three on a shared
machine, so callables that are compared take turns (A B, B A, A B, ...) in one process,
and a ratio is the median of the ratios within a round. The CPU time of the process is
taken beside the wall time: other programs disturb it less. How busy they kept the
machine meanwhile is measured, too. Import this before JAX and torch: it gives both the
same allocator settings.
"""

import datetime
import functools
import importlib.metadata
import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from gzjax.cli.host_memory import keep_freed_memory

keep_freed_memory()

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402

os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # torch's profiler tells its progress
try:
    import torch
except ImportError:
    torch = None

NO_TORCH = "torch is not installed: no comparison with PyTorch"


# Before a call is timed: threads of the other library may still be waiting actively.
PAUSE_SEC = 0.005


class Timed(NamedTuple):
    """The timed calls of one program, each in seconds ``[rounds]``.

    Attributes:
        wall: between start and end.
        cpu: of this process, on all cores.
        busy: of all processes, on all cores; NaN where the system does not tell.
    """

    wall: np.ndarray
    cpu: np.ndarray
    busy: np.ndarray

    def others(self) -> float | None:
        """Returns the share of the machine that other processes took meanwhile."""
        taken = float((self.busy - self.cpu).sum() / self.wall.sum() / os.cpu_count())
        return None if np.isnan(taken) else max(0.0, taken)


def interleave(
    callables: dict[str, Callable], rounds: int, warmup: int = 1
) -> dict[str, Timed]:
    """Times every callable, in an order that changes every round.

    A callable returns its JAX arrays, which are waited for; torch waits by itself
    (:func:`wait_for_torch`).
    """
    for _ in range(warmup):
        for function in callables.values():
            jax.block_until_ready(function())
    times = {name: np.empty((3, rounds)) for name in callables}
    names = list(callables)
    for i in range(rounds):
        first = i // 2 % len(names)
        turn = names[first:] + names[:first]
        for name in reversed(turn) if i % 2 else turn:
            time.sleep(PAUSE_SEC)
            start = _clocks()
            jax.block_until_ready(callables[name]())
            times[name][:, i] = _clocks() - start
    return {name: Timed(*found) for name, found in times.items()}


def _clocks() -> np.ndarray:
    return np.array([time.perf_counter(), time.process_time(), _busy_seconds()])


def _busy_seconds() -> float:
    """Returns the time that the cores were not idle, since the machine's start."""
    try:
        fields = Path("/proc/stat").read_text().partition("\n")[0].split()[1:9]
    except OSError:
        return float("nan")
    user, nice, system, _, _, *interrupts = map(int, fields)
    return (user + nice + system + sum(interrupts)) / os.sysconf("SC_CLK_TCK")


def summary(timed: Timed) -> dict[str, float | None]:
    """Returns median, smallest and largest, in milliseconds, and what disturbed."""
    ms = timed.wall * 1e3
    return {
        "median_ms": float(np.median(ms)),
        "min_ms": float(ms.min()),
        "max_ms": float(ms.max()),
        "cpu_ms": float(np.median(timed.cpu)) * 1e3,
        "others": timed.others(),
    }


def ratio(above: np.ndarray, below: np.ndarray) -> float:
    """The median over rounds of ``above / below``."""
    return float(np.median(above / below))


def ratios(above: Timed, below: Timed) -> dict[str, float]:
    """The ratio of the wall times and that of the CPU times."""
    return {
        "wall": ratio(above.wall, below.wall),
        "cpu": ratio(above.cpu, below.cpu),
    }


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


def matmul_peak(
    rounds: int = 10,
    dtype: str = "float32",
    precision: str | None = None,
    sizes: Sequence[int] = (),
) -> float:
    """GFLOP/s of a square matrix product, by default at JAX's default precision.

    The best over sizes of the median over rounds.
    """
    if not sizes:
        on_cpu = jax.default_backend() == "cpu"
        sizes = (1024, 2048) if on_cpu else (4096, 8192, 16384)
    product = jax.jit(functools.partial(jnp.matmul, precision=precision))
    squares = {n: jnp.ones((n, n), dtype) for n in sizes}
    timed = interleave(
        {str(n): lambda x=x: product(x, x) for n, x in squares.items()}, rounds
    )
    return max(2e-9 * n**3 / float(np.median(timed[str(n)].wall)) for n in sizes)


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
    """Prints :func:`table` under a title."""
    print(f"\n{title}\n\n{table(header, rows)}")


def table(header: Sequence[str], rows: Sequence[Sequence]) -> str:
    """Returns aligned Markdown; floats have three significant digits, None is "-"."""
    cells = [list(header)] + [[_show(cell) for cell in row] for row in rows]
    widths = [max(3, *map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        [
            cell.ljust(w) if i == 0 else cell.rjust(w)
            for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        ]
        for row in cells
    ]
    rule = ["-" * w if i == 0 else "-" * (w - 1) + ":" for i, w in enumerate(widths)]
    return "\n".join(f"| {' | '.join(line)} |" for line in [lines[0], rule, *lines[1:]])


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
