"""Prediction of many images: images per second, and that memory does not grow.

    python benchmarks/predict_images.py                      # 3,000, then 30,000 images
    python benchmarks/predict_images.py --workdir=runs/demo  # by a run of yours

Without --workdir a small p4m network is trained for one step on drawn galaxies: the
numbers predicted mean nothing, the time and memory do. The images are hard links to 100
drawn galaxies of 424 px. Each prediction is a process of its own; the peak memory is
the kernel's count for it.
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


def peak_mib(*arguments: str) -> float:
    """Peak resident memory of the command line, in MiB."""
    script = (
        "import resource, subprocess, sys\n"
        "subprocess.run(sys.argv[1:], check=True)\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)\n"
    )
    command = [sys.executable, "-m", "gzjax.main", *arguments]
    done = subprocess.run(
        [sys.executable, "-c", script, *command],
        check=True,
        capture_output=True,
        text=True,
    )
    return int(done.stdout.split()[-1]) / 1024  # Linux counts KiB


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
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        workdir = args.workdir or str(folder / "run")
        if not args.workdir:
            run(*TRAIN, f"--workdir={workdir}")
        write_folder(SyntheticSource(100), folder / "galaxies")
        print("images  output        seconds  img/s  peak MiB")
        for count in map(int, args.counts.split(",")):
            images = folder / f"{count}"
            link_images(images, folder / "galaxies" / IMAGES, count)
            for output, kind in (("out.csv", "submission"), ("out.parquet", "table")):
                path = folder / f"{count}-{output}"
                begun = time.monotonic()
                peak = peak_mib(
                    "predict",
                    f"--workdir={workdir}",
                    f"--images={images}",
                    f"--output={path}",
                    f"--kind={kind}",
                    f"--averaging={args.averaging}",
                )
                took = time.monotonic() - begun
                print(
                    f"{count:6}  {output:12}  {took:7.0f}  {count / took:5.0f}  "
                    f"{peak:8.0f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
