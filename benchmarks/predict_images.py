"""Prediction of many images: how fast, in what CPU time, and that memory stays flat.

    python benchmarks/predict_images.py                      # 3,000, then 30,000 images
    python benchmarks/predict_images.py --workdir=runs/demo  # by a run of yours

Without --workdir a small p4m network is trained for one step on drawn galaxies: the
numbers predicted mean nothing, the time and memory do. The images are hard links to 100
drawn galaxies of 424 px. Each prediction is a process of its own; the CPU time and the
peak memory are the kernel's count for it, from start to end: between two numbers of
images the difference is what an image costs.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from gzjax.data.synthetic.folder import IMAGES, write_folder
from gzjax.data.synthetic.source import SyntheticSource

TRAIN = [
    "--config=p4m:small",
    "--config.data.kind=synthetic",
    "--config.data.synthetic.num_galaxies=100",
    "--config.num_train_steps=1",
]


def run(*arguments: str) -> None:
    """The command line in a process of its own."""
    command = [sys.executable, "-m", "gzjax.main", *arguments]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def usage(*arguments: str) -> tuple[float, float]:
    """CPU seconds and peak resident memory, in MiB, of the command line."""
    script = (
        "import resource, subprocess, sys\n"
        "subprocess.run(sys.argv[1:], check=True)\n"
        "used = resource.getrusage(resource.RUSAGE_CHILDREN)\n"
        "print(used.ru_utime + used.ru_stime, used.ru_maxrss)\n"
    )
    command = [sys.executable, "-m", "gzjax.main", *arguments]
    done = subprocess.run(
        [sys.executable, "-c", script, *command],
        check=True,
        capture_output=True,
        text=True,
    )
    cpu_sec, peak_kib = map(float, done.stdout.split()[-2:])  # Linux counts KiB
    return cpu_sec, peak_kib / 1024


def link_images(folder: Path, galaxies: Path, count: int) -> None:
    """``count`` files 1.jpg, 2.jpg ... in a new folder, from those of another."""
    folder.mkdir()
    pictures = sorted(galaxies.iterdir())
    for i in range(count):
        os.link(pictures[i % len(pictures)], folder / f"{i + 1}.jpg")


def main() -> None:
    """Prints a row for each number of images and output."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--workdir", help="of a training run")
    parser.add_argument("--counts", default="3000,30000")
    parser.add_argument("--averaging", default="none")
    parser.add_argument("--dtype", default="float32")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        workdir = args.workdir or str(folder / "run")
        if not args.workdir:
            run(*TRAIN, f"--workdir={workdir}")
        write_folder(SyntheticSource(100), folder / "galaxies")
        print("images  output        seconds  CPU seconds  img/s  peak MiB")
        for count in map(int, args.counts.split(",")):
            images = folder / f"{count}"
            link_images(images, folder / "galaxies" / IMAGES, count)
            for output, kind in (("out.csv", "submission"), ("out.parquet", "table")):
                path = folder / f"{count}-{output}"
                begun = time.monotonic()
                cpu_sec, peak = usage(
                    "predict",
                    f"--workdir={workdir}",
                    f"--images={images}",
                    f"--output={path}",
                    f"--kind={kind}",
                    f"--averaging={args.averaging}",
                    f"--dtype={args.dtype}",
                )
                took = time.monotonic() - begun
                print(
                    f"{count:6}  {output:12}  {took:7.0f}  {cpu_sec:11.0f}  "
                    f"{count / took:5.0f}  {peak:8.0f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
