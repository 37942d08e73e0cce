"""The host's side: galaxies per second from disk to a batch of views.

    python benchmarks/pipeline.py --data=DOWNLOAD [--pixel_scale=2] [--json=FILE]

The views are those of ``--config`` (the 2014 winner's: two of 69 px), randomly placed,
the same for all. Compared with scikit-image as the winner used it, and with Pillow in a
PyTorch DataLoader (pip install scikit-image torch;
left out where they are missing).
What is compared takes turns, and figures are medians over rounds. One core first, then
whole loaders on all cores, then how much of a training step waits for its data.
"""

import argparse
import concurrent.futures
import contextlib
import functools
import itertools
import os
import shutil
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np
import timing
from other_views import (
    PillowViews,
    area_average,
    imread,
    pillow,
    ready_torch_worker,
    scikit_image,
    torch,
)

from gzjax.data import make_source
from gzjax.data.augment import random_placements
from gzjax.data.geometry import pixel_matrix, view_matrix, warp, with_views
from gzjax.data.images.decode_jpeg import decode
from gzjax.data.pipeline import LoadBatch, train_batches
from gzjax.main import main as gzjax
from gzjax.training.load_config import load_config
from gzjax.trees import GZ2

BATCH = 64
TURN = 4  # batches: the first after other work finds the caches cold
FOLDER, ZIP, HALF, SAMPLES = "JPEG files", "zip", "JPEG, half scale", "4 samples"
PREPARED, PIXELS = "prepared JPEG", "prepared pixels"
SKIMAGE, PILLOW = "scikit-image", "PyTorch DataLoader, Pillow"
FLOOR, HALF_FLOOR = "decode alone", "decode alone, half scale"


def open_sources(args, folder: Path) -> dict:
    """Name → (config, source) of every way to read the same galaxies."""
    prepared = {PREPARED: folder / "jpeg", PIXELS: folder / "pixels"}
    command = ["prepare", f"--data={args.data}", f"--pixel_scale={args.pixel_scale}"]
    gzjax([*command, f"--output={prepared[PREPARED]}"])
    gzjax(
        [
            *command,
            f"--output={prepared[PIXELS]}",
            "--kind=pixels",
            f"--decode_scale={args.scale}",
        ]
    )
    files, zipped = both_forms(Path(args.data), folder)
    changes = {
        FOLDER: {"data.dir": str(files)},
        ZIP: {"data.dir": str(zipped)},
        HALF: {"data.dir": str(files), "data.decode_scale": args.scale},
        SAMPLES: {"data.dir": str(files), "view.samples": 2},
        PREPARED: {"data.dir": str(prepared[PREPARED])},
        PIXELS: {"data.dir": str(prepared[PIXELS]), "data.decode_scale": args.scale},
    }
    if args.scale == 1:  # half-size copies are what they are
        del changes[HALF]
    return {name: open_one(args, change) for name, change in changes.items()}


def both_forms(data: Path, folder: Path) -> tuple[Path, Path]:
    """The download with its images as files and zipped; one of them is made."""
    name, other = "images_training_rev1", folder / "other"
    other.mkdir()
    for labels in data.glob("training_solutions_rev1.*"):
        shutil.copy(labels, other)
    if (data / name).is_dir():
        with zipfile.ZipFile(other / f"{name}.zip", "w") as archive:
            for image in sorted((data / name).glob("*.jpg")):
                archive.write(image, f"{name}/{image.name}")
        return data, other
    with zipfile.ZipFile(data / f"{name}.zip") as archive:
        archive.extractall(other)
    return other, data


def open_one(args, changes: dict):
    """A config with these changes, and its source."""
    config = load_config(args.config, [])
    config.update_from_flattened_dict(
        {
            "data.kind": "challenge",
            "data.dir": args.data,
            "data.check_images": False,
            "data.pixel_scale": args.pixel_scale,
            "batch_size": BATCH,
            **changes,
        }
    )
    return config, make_source(config, GZ2)


def one_core(sources: dict, rounds: int) -> dict[str, np.ndarray]:
    """Seconds per turn of ``TURN`` batches of every path, on this thread alone."""
    config, source = sources[FOLDER]
    rng = np.random.default_rng(0)
    length = TURN * BATCH
    turns = [
        (np.arange(i * length, (i + 1) * length), rng.integers(0, len(source), length))
        for i in range(rounds + 1)
    ]

    def turn_by_turn(work):
        each = iter(turns)
        return lambda: work(*next(each))

    def of_bytes(work):
        return lambda _, indices: [work(source.read(i)) for i in indices.tolist()] and 0

    def of_views(work):
        def call(positions, indices):
            matrices = stored_matrices(config, source, positions)
            for i, matrix in zip(indices.tolist(), matrices, strict=True):
                work(source.read(i), matrix, config.view.size_px)

        return call

    def ours(config, source):
        load = LoadBatch(source, config.view, config.augment, config.seed)

        def call(positions, indices):
            for batch in np.arange(length).reshape(TURN, BATCH):
                load.map((positions[batch], indices[batch]))

        return call

    paths = {name: ours(*each) for name, each in sources.items()}
    paths[FLOOR] = of_bytes(lambda data: decode(data, 0))
    if HALF in sources:
        scale = sources[HALF][0].data.decode_scale
        paths[HALF_FLOOR] = of_bytes(lambda data: decode(data, 0, scale))
    if imread:
        paths[SKIMAGE] = of_views(scikit_image)
    if torch:
        paths[PILLOW] = torch_loop(config, source, turns)
    calls = {name: turn_by_turn(work) for name, work in paths.items()}
    timed = timing.interleave(calls, rounds)
    return {name: found.wall for name, found in timed.items()}


def stored_matrices(config, source, positions) -> np.ndarray:
    """``[b v 2 3]``: the placements that training draws, in the stored images."""
    view = config.view
    drawn = random_placements(config.augment, config.seed, positions)
    matrices = view_matrix(with_views(drawn, view.angles_deg), view.size_px, view.scale)
    return pixel_matrix(matrices, source.pixel_scale, source.decode(0).shape[:2])


def torch_dataset(config, source, positions, indices):
    """The same galaxies and placements for PyTorch."""
    view = config.view
    drawn = random_placements(config.augment, config.seed, positions)
    return PillowViews(
        source,
        with_views(drawn, view.angles_deg),
        indices,
        view.size_px,
        view.scale,
        source.decode(0).shape[:2],
    )


def torch_loop(config, source, turns):
    """One turn through a DataLoader without workers: this thread does all."""
    torch.set_num_threads(1)
    data = {
        positions[0]: torch_dataset(config, source, positions, indices)
        for positions, indices in turns
    }

    def call(positions, indices):
        del indices
        for _ in torch.utils.data.DataLoader(data[positions[0]], BATCH):
            pass

    return call


def whole_loaders(sources: dict, cores: int, count: int, rounds: int) -> dict:
    """Of whole loaders: img/s, and as a share of so many single threads.

    The single thread's rate is taken beside each loader's: the machine's changes. As
    many threads without a loader show what the cores and Python's lock allow.
    """
    found = {}

    def add(name, bare, rate):
        found.setdefault(name, []).append((rate, rate / (cores * bare)))

    for _ in range(rounds):
        for name, (config, source) in sources.items():
            rate = functools.partial(bare_rate, config, source, count)
            with concurrent.futures.ThreadPoolExecutor(cores) as pool:
                bare = rate()
                together = sum(pool.map(lambda _, rate=rate: rate(), range(cores)))
            add(f"{name}, {cores} threads without a loader", bare, together)
            for kind in ("threads", "processes"):
                bare = bare_rate(config, source, count)
                rate = loader_rate(config, source, kind, cores, count)
                add(f"{name}, {cores} {kind}", bare, rate)
        if torch:
            config, source = sources[FOLDER]
            bare = torch_rate(config, source, 0, count)
            rate = torch_rate(config, source, cores, count)
            add(f"{PILLOW}, {cores} processes", bare, rate)
    return {name: tuple(np.median(pairs, axis=0)) for name, pairs in found.items()}


def bare_rate(config, source, count) -> float:
    """img/s of one thread without a loader."""
    load = LoadBatch(source, config.view, config.augment, config.seed)
    rng = np.random.default_rng(2)
    return rate_of(
        (
            load.map((np.arange(BATCH), rng.integers(0, len(source), BATCH)))
            for _ in itertools.count()
        ),
        count,
    )


def loader_rate(config, source, kind, cores, count) -> float:
    """img/s of gzjax's loader."""
    config = config.copy_and_resolve_references()
    config.num_train_steps = 10**6
    config.data.num_threads = cores if kind == "threads" else 1
    config.data.num_workers = cores if kind == "processes" else 0
    batches = train_batches(source, np.arange(len(source)), config, 0)
    with contextlib.closing(batches):
        return rate_of(batches, count)


def torch_rate(config, source, cores, count) -> float:
    """img/s of PyTorch's loader."""
    length = (count + 4 * max(1, cores)) * BATCH
    indices = np.random.default_rng(1).integers(0, len(source), length)
    data = torch_dataset(config, source, np.arange(length), indices)
    loader = torch.utils.data.DataLoader(
        data, BATCH, num_workers=cores, worker_init_fn=ready_torch_worker
    )
    return rate_of(iter(loader), count)


def rate_of(batches, count) -> float:
    """Of the batches after those that lay ready."""
    for _ in range(4):
        next(batches)
    start = time.perf_counter()
    for _ in range(count):
        next(batches)
    return count * BATCH / (time.perf_counter() - start)


def errors(sources: dict, num: int) -> dict[str, float]:
    """RMSE to area-averaged views of the full image, in grey levels of 255."""
    config, source = sources[FOLDER]
    view, found = config.view, {}
    positions = np.arange(num)
    matrices = stored_matrices(config, source, positions)
    for n in range(num):
        index = n * len(source) // num
        data = source.read(index)
        reference = area_average(decode(data, 0), matrices[n], view.size_px)
        made = {FOLDER: warp(decode(data, 0), matrices[n], view.size_px)}
        made[PILLOW] = pillow(data, matrices[n], view.size_px)
        if imread:
            made[SKIMAGE] = 255 * scikit_image(data, matrices[n], view.size_px)
        for name in {HALF, SAMPLES} & sources.keys():
            config_, source_ = sources[name]
            load = LoadBatch(source_, config_.view, config_.augment, config_.seed)
            batch = load.map((positions[n : n + 1], np.array([index])))
            made[name] = batch["images"][0]
        for name, views in made.items():
            error = np.mean((views.astype(np.float64) - reference) ** 2)
            found.setdefault(name, []).append(error)
    return {name: float(np.sqrt(np.mean(e))) for name, e in found.items()}


def report(args) -> dict:
    """Measures and prints; returns everything as plain data."""
    with tempfile.TemporaryDirectory(dir=args.workspace) as folder:
        sources = open_sources(args, Path(folder))
        alone = one_core(sources, args.rounds)
        whole = whole_loaders(sources, args.cores, args.batches, args.loader_rounds)
        distance = errors(sources, args.errors)
    rates = {name: TURN * BATCH / float(np.median(s)) for name, s in alone.items()}
    rows = [
        [
            name,
            rate,
            *(
                timing.ratio(alone[other], alone[name]) if other in alone else None
                for other in (SKIMAGE, PILLOW)
            ),
            distance.get(name),
            args.accelerator / rate,
        ]
        for name, rate in sorted(rates.items(), key=lambda item: item[1])
    ]
    timing.print_table(
        f"One core, the views of {args.config} in batches of {BATCH}",
        [
            "path",
            "img/s",
            "x scikit-image",
            "x DataLoader",
            "RMSE / 255",
            f"cores for {args.accelerator:,} img/s",
        ],
        rows,
    )
    timing.print_table(
        f"Whole loaders, {args.cores} cores",
        ["loader", "img/s", "of so many single threads"],
        [[name, *pair] for name, pair in whole.items()],
    )
    return {"one_core": rates, "loaders": whole, "rmse": distance, "table": rows}


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    flag = parser.add_argument
    flag("--data", default=os.environ.get("GZJAX_DATA"), help="(GZJAX_DATA)")
    flag("--pixel_scale", type=float, default=1.0, help="of these images (1)")
    flag("--scale", type=int, default=2, help="decode scale of prepared pixels (2)")
    flag("--config", default="dieleman", help="whose views (%(default)s)")
    flag("--rounds", type=int, default=12, help="on one core (%(default)s)")
    flag("--loader_rounds", type=int, default=5, help="of whole loaders (%(default)s)")
    flag("--batches", type=int, default=60, help="in such a round (%(default)s)")
    flag("--errors", type=int, default=40, help="galaxies looked at (%(default)s)")
    flag("--cores", type=int, default=len(os.sched_getaffinity(0)), help="(all)")
    flag("--accelerator", type=int, default=20_000, help="img/s to feed (%(default)s)")
    flag("--workspace", default=None, help="where to prepare (a temporary folder)")
    flag("--json", type=Path, help="write the figures there, too")
    args = parser.parse_args()
    if not args.data:
        parser.error("give --data, or set GZJAX_DATA")
    results = report(args)
    timing.write_json(args.json, results)


if __name__ == "__main__":
    main()
