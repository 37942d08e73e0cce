"""How a training step's ratio to PyTorch grows: batch, image size, planes, cores.

    python benchmarks/step_sweep.py [--config=p4m:small] [--torch_compile]
        [--only batch size] [--cores=1] [--output=x.json]

One of them is changed at a time, about batches of 16 on all cores. Each cell is a
process of its own (``train_step.py``), so that threads and memory are those of the cell
alone. The image sizes are those at which the exact p4m network works.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import timing
from train_step import beside_fastest, percent, say_if_busy

from gzjax.training.load_config import load_config

BATCH = 16
BATCHES = (8, 16, 32, 64, 128, 256)
SIZES = (62, 80, 98, 116)
WIDTHS = (0.5, 1, 2)
AXES = ("batch", "size", "planes", "cores")


def cells(name: str) -> dict[str, dict[str, list[str]]]:
    """Returns axis → label → arguments of ``train_step.py``."""
    planes = load_config(name, []).model.planes
    wider = [tuple(max(1, int(w * n)) for n in planes) for w in WIDTHS]
    cores = range(1, len(os.sched_getaffinity(0)) + 1)
    batch = f"--batch={BATCH}"
    return {
        "batch": {f"{n}": [f"--batch={n}"] for n in BATCHES},
        "size": {f"{n} px": [batch, f"--config.view.size_px={n}"] for n in SIZES},
        "planes": {
            f"{planes[0]} to {planes[-1]}": [batch, f"--config.model.planes={planes}"]
            for planes in wider
        },
        "cores": {f"{n}": [batch, f"--cores={n}"] for n in cores},
    }


def measure(name: str, arguments: list[str]) -> dict:
    """Returns what ``train_step.py`` finds, in a process of its own."""
    program = Path(__file__).with_name("train_step.py")
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder, "step.json")
        command = [sys.executable, program, f"--output={output}", *arguments]
        subprocess.run(
            [*command, "--configs", name], check=True, stdout=subprocess.DEVNULL
        )
        return json.loads(output.read_text())["configs"][name]


def row(label: str, found: dict) -> list:
    """Makes a row; ratios are those to the fastest of PyTorch's programs."""
    times = found["times"]["gzjax"]
    over = beside_fastest(found)
    return [
        label,
        found["images_per_sec"],
        times["cpu_ms"] / found["batch"],
        over.get("wall"),
        over.get("cpu"),
        found["memory_mb"]["gzjax"],
        over.get("memory"),
        percent(times["others"]),
    ]


HEADER = ["img/s", "CPU ms an image", "gzjax/torch", "in CPU time"]
HEADER += ["memory, MB", "gzjax/torch", "others"]


def main() -> None:
    """Prints a table for each axis."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    flag = parser.add_argument
    flag("--config", default="p4m:small", help="a group CNN (%(default)s)")
    flag("--only", choices=AXES, nargs="+", default=AXES, help="(all)")
    flag("--rounds", type=int, default=10, help="(%(default)s)")
    flag("--torch_compile", action="store_true", help="beside eager")
    flag("--cores", type=int, help="of all cells but those of cores (all)")
    flag("--output", type=Path, help="JSON file to write")
    args = parser.parse_args()
    if timing.torch is None:
        print(timing.NO_TORCH)
    rest = [f"--rounds={args.rounds}", *["--torch_compile"] * args.torch_compile]
    rest += [f"--cores={args.cores}"] if args.cores else []
    results = {}
    for axis in args.only:
        results[axis] = {
            label: measure(args.config, [*rest, *arguments])
            for label, arguments in cells(args.config)[axis].items()
        }
        rows = [row(label, found) for label, found in results[axis].items()]
        title = f"{args.config}, by {axis}"
        timing.print_table(title, [axis, *HEADER], rows)
        say_if_busy(results[axis].values())
        timing.write_json(args.output, results)


if __name__ == "__main__":
    main()
