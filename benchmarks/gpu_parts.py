"""The parts of ``gpu.py``, most important first, and the process that works on them."""

import contextlib
import functools
import gc
import json
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import fed_step
import gpu_checks
import jax
import predict_images
import timing
import train_step
from gpu_results import Results

from gzjax.data.synthetic.folder import IMAGES, write_folder
from gzjax.data.synthetic.source import SyntheticSource
from gzjax.data.workers import leave_with
from gzjax.evaluation.evaluate import train_and_evaluate
from gzjax.main import main as gzjax
from gzjax.training import run_files
from gzjax.training.curves import read_rows
from gzjax.training.load_config import load_config
from gzjax.training.loop import train

TYPES = {"float32": "", "bfloat16": "bfloat16"}
FIRST = ("p4m", "p4m:small", "dieleman")  # whose steps are timed
SECOND = ("resnet", "p4m_resnet:exact", "ng")
UPDATED = ("p4m:small", "dieleman:quick", "resnet:small")  # against the CPU
# Galaxies in a batch: what an H200 is expected to hold. Halved where it does not.
BATCHES = {"p4m:small": 1024, "serrano": 1024, "khunger": 1024, "p4m": 512, "p4": 512}
OTHER_BATCHES = 256
# A tiny run: the networks' widths divided by so much, and views of these sizes.
NARROWER = 8
TINY_SIZES = {"group_cnn": 62, "view_net": 69}
TINY_DEMO = {
    "data.synthetic.num_galaxies": 48,
    "data.synthetic.size_px": 106,
    "batch_size": 8,
    "eval_batch_size": 8,
    "num_train_steps": 24,
    "head_warmup_steps": 0,
    "eval_every_steps": 12,
    "checkpoint_every_steps": 12,
}


NO_GPU = (
    "JAX finds no accelerator. Install an extra (pip install 'gzjax[cuda13]') "
    "to use a GPU, or give --tiny to try this program on the CPU."
)


class Part(NamedTuple):
    """What is measured, and the seconds that it may take on a GPU, compiling included.

    Parts of one kind, the first word of the name, take about as long as each other.
    """

    name: str
    seconds: float
    run: Callable[[], dict]


class Bench:
    """Makes the parts.

    Args:
        results: of the parts before.
        tiny: whether all sizes are small.
        torch_compile: see :func:`train_step.measure`.
    """

    def __init__(self, results: Results, tiny: bool, torch_compile: bool):
        self.results, self.tiny, self.torch_compile = results, tiny, torch_compile

    def parts(self) -> list[Part]:
        """Returns all parts in order."""
        updated, first, others = UPDATED, FIRST, dict.fromkeys(SECOND)
        others |= dict.fromkeys(train_step.default_configs())
        if self.tiny:
            updated, first, others = ("p4m:small",), ("p4m", "dieleman"), {}
        checks = [Part("losses", 30, lambda: {"checks": gpu_checks.check_losses()})]
        checks += [
            self._part("update", 60, name, self.check_update) for name in updated
        ]
        return [
            *checks,
            Part("equivariance", 60, self.check_equivariance),
            Part("peak", 20, self.peak),
            *self.steps(first),
            Part("training", 120, self.demonstrate),
            Part("fed", 120, self.fed),
            Part("prediction", 90, self.predict),
            *self.steps([name for name in others if name not in first]),
        ]

    def steps(self, names) -> list[Part]:
        """Returns the parts that time training steps."""
        return [
            self._part("step", 60, f"{name} {kind}", self.step)
            for name in names
            for kind in TYPES
        ]

    def _part(self, kind, seconds, what, run):
        return Part(f"{kind} {what}", seconds, functools.partial(run, what))

    def config(self, name: str):
        """Returns a config of the package, shrunk for a tiny run."""
        config = load_config(name, [])
        if self.tiny:
            for key in {"planes", "filters", "hidden"} & set(config.model):
                config.model[key] = narrower(config.model[key])
            config.view.size_px = TINY_SIZES[config.model.name]
        return config

    def check_update(self, name: str) -> dict:
        batch_size = 2 if self.tiny else 8
        rows = gpu_checks.check_update(name, self.config(name), batch_size)
        return {"checks": rows}

    def check_equivariance(self) -> dict:
        config, batch_size = self.config("p4m"), 2 if self.tiny else 16
        return {"checks": gpu_checks.check_equivariance(config, batch_size)}

    def peak(self) -> dict:
        """Returns GFLOP/s of products: float32 by default (TF32), in full, bfloat16."""
        of_type = functools.partial(
            timing.matmul_peak, rounds=5, sizes=(256,) if self.tiny else ()
        )
        return {
            "float32": of_type(),
            "float32 in full": of_type(precision="highest"),
            "bfloat16": of_type(dtype="bfloat16"),
        }

    def step(self, what: str) -> dict:
        """Times a config's step in a type, in the largest batch that the card holds."""
        name, kind = what.split()
        peak = (self.results.result("peak") or {}).get(kind)
        batch_size = 2 if self.tiny else BATCHES.get(name, OTHER_BATCHES)
        too_large = []
        while True:
            config = self.config(name)
            config.compute_dtype = TYPES[kind]
            try:
                result = train_step.measure(
                    config,
                    batch_size,
                    rounds=2 if self.tiny else 5,
                    peak=peak,
                    torch_compile=self.torch_compile,
                    updates=2 if self.tiny else 10,
                )
            except Exception as error:
                if not is_out_of_memory(error) or batch_size == 1:
                    raise
                too_large.append(batch_size)
            else:
                return result | {"out_of_memory_with": too_large}
            free_memory()  # after the error and its frames are gone
            batch_size //= 2

    def demonstrate(self) -> dict:
        """Trains the demonstration: the RMSE must fall, and R be rounding."""
        config = self.config("p4m:demo")
        if self.tiny:
            config.update_from_flattened_dict(TINY_DEMO)
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            train_and_evaluate(config, folder)
            seconds = time.perf_counter() - start
            rows = read_rows(Path(folder, run_files.METRICS))
            label = run_files.label_of("valid", config.averaging)
            path = Path(folder, run_files.evaluation_name(label))
            scores = json.loads(path.read_text())
        curve = [row["valid/rmse"] for row in rows if "valid/rmse" in row]
        over_mean = scores["rmse"] / scores["training_mean"]["rmse"]
        return {
            "steps": config.num_train_steps,
            "batch": config.batch_size,
            "seconds": seconds,
            "images_per_sec": max(r["img_per_sec"] for r in rows if "img_per_sec" in r),
            "curve": curve,
            "rmse": scores["rmse"],
            "checks": [
                gpu_checks.row("training: last RMSE / first", curve[-1] / curve[0], 1),
                gpu_checks.row(
                    "training: RMSE / training mean's",
                    over_mean,
                    None if self.tiny else 0.7,
                ),
                gpu_checks.row(
                    "training: R at quarter turns", scores["rotation_robustness"], 1e-5
                ),
            ],
        }

    def fed(self) -> dict:
        """Measures what a step of p4m in bfloat16 loses to its input."""
        config = self.config("p4m")
        num_galaxies, size_px = (16, 106) if self.tiny else (256, 424)
        config.batch_size = 4 if self.tiny else BATCHES["p4m"]
        config.compute_dtype = "bfloat16"
        with tempfile.TemporaryDirectory() as folder:
            drawn, pixels = Path(folder, "drawn"), Path(folder, "pixels")
            source = SyntheticSource(num_galaxies, size_px=size_px)
            write_folder(source, drawn)
            command = ["prepare", f"--data={drawn}", f"--output={pixels}"]
            command += ["--kind=pixels", f"--pixel_scale={source.pixel_scale}"]
            with contextlib.redirect_stdout(sys.stderr):
                gzjax([*command, "--decode_scale=2"])
            found = {}
            for name, data, decode_scale in (
                ("JPEG files", drawn, 1),
                ("prepared pixels", pixels, 2),
            ):
                config.update_from_flattened_dict(
                    {
                        "data.dir": str(data),
                        "data.pixel_scale": source.pixel_scale,
                        "data.decode_scale": decode_scale,
                    }
                )
                num_steps, rounds = (2, 1) if self.tiny else (20, 3)
                found[name] = fed_step.measure(config, num_steps, rounds)
                found[name]["batch"] = config.batch_size
        return found

    def predict(self) -> dict:
        """Predicts by the command line; its start is included."""
        count, num_galaxies = (8, 8) if self.tiny else (10_000, 100)
        config = self.config("p4m:small")
        config.data.kind, config.num_train_steps = "synthetic", 1
        config.data.synthetic.num_galaxies = num_galaxies
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            train(config, folder / "run")
            write_folder(SyntheticSource(num_galaxies), folder / "galaxies")
            images = folder / "images"
            predict_images.link_images(images, folder / "galaxies" / IMAGES, count)
            start = time.perf_counter()
            _, peak = predict_images.usage(
                "predict",
                f"--workdir={folder / 'run'}",
                f"--images={images}",
                f"--output={folder / 'votes.csv'}",
            )
            seconds = time.perf_counter() - start
        return {
            "images": count,
            "seconds": seconds,
            "images_per_sec": count / seconds,
            "host_peak_mib": peak,
        }


def narrower(width):
    """Divides a width, or each of several, for a tiny run."""
    if isinstance(width, tuple):
        return tuple(map(narrower, width))
    return max(2, width // NARROWER)


def is_out_of_memory(error: Exception) -> bool:
    """Tells JAX's and torch's messages about a full card from other errors."""
    text = str(error)
    return "RESOURCE_EXHAUSTED" in text or "out of memory" in text.lower()


def note_of_torch() -> str:
    """Says what the steps are compared with."""
    if timing.torch is None:
        return timing.NO_TORCH
    return f"PyTorch {timing.torch.__version__} on {timing.torch_device()}"


def free_memory() -> None:
    """Gives back what no part needs any more."""
    jax.clear_caches()
    gc.collect()
    if timing.torch is not None and timing.torch.cuda.is_available():
        timing.torch.cuda.empty_cache()


def work(args) -> int:
    """Does the parts that have no entry and fit into the time; returns 0 or 1."""
    leave_with(os.getppid())
    if jax.default_backend() == "cpu" and not args.tiny:
        print(NO_GPU, file=sys.stderr)
        return 1
    results = Results(args.output)
    parts = Bench(results, args.tiny, args.torch_compile).parts()
    machine = timing.machine()
    del machine["date"]
    description = {"machine": machine, "tiny": args.tiny}
    problem = results.describe(description, [part.name for part in parts])
    if problem:
        print(f"{problem}: give another --output", file=sys.stderr)
        return 1
    print(f"{machine['device']}; {note_of_torch()}", flush=True)
    for part in parts:
        if not results.of(part.name):
            attempt(part, results, args)
    return 0


def attempt(part: Part, results: Results, args) -> None:
    """Runs a part, or leaves it out; notes how it ended."""
    start = time.time()
    guess = 0 if args.tiny else part.seconds
    why = results.why_left_out(part.name, guess, args.until - start)
    if why:
        results.end(part.name, 0, left_out=why)
        return
    print(f"{part.name} ...", flush=True)
    results.begin(part.name)
    try:
        outcome = {"result": part.run()}
    except Exception as error:  # one part's; the others may work
        traceback.print_exc()
        print(getattr(error, "stderr", None) or "", file=sys.stderr)  # a subprocess's
        outcome = {"failed": f"{type(error).__name__}: {error}".partition("\n")[0]}
    results.end(part.name, time.time() - start, **outcome)
    free_memory()
