"""What bfloat16 does to a training and to R: the same one twice, in both types.

    python benchmarks/bfloat16.py --data=DOWNLOAD [--config=p4m:small] [--steps=150]
        [--batch=16] [--json=x.json]

Same weights to begin with, same batches; RMSE on the validation split at each point of
the learning curve, and R (eq. 7, quarter turns of the raw images) of the first weights
and of the last. The last weights of float32 are then computed in bfloat16, too, which
shows what the rounding of a prediction does alone. Seconds are for this machine: CPUs
without bfloat16 arithmetic widen and round.
"""

import argparse
import contextlib
import os
import time
from pathlib import Path

import numpy as np
import timing

from gzjax.data.averaging import AVERAGING_SETS
from gzjax.data.geometry import place
from gzjax.data.pipeline import train_batches
from gzjax.evaluation.robustness import QUARTER_ANGLES
from gzjax.metrics import rmse, rotation_distances
from gzjax.steps.mesh import to_devices
from gzjax.training.experiment import Experiment
from gzjax.training.load_config import load_config
from gzjax.trees import GZ2

TYPES = ("float32", "bfloat16")


def make_config(args, compute_dtype: str):
    """The config with few steps, and warm-ups that are as large a share of them."""
    config = load_config(args.config, [])
    share = args.steps / config.num_train_steps
    config.update_from_flattened_dict(
        {
            "data.kind": "challenge",
            "data.dir": args.data,
            "data.pixel_scale": args.pixel_scale,
            "data.check_images": False,
            "batch_size": args.batch,
            "num_train_steps": args.steps,
            "head_warmup_steps": round(config.head_warmup_steps * share),
            "schedule.warmup_steps": round(config.schedule.warmup_steps * share),
            "compute_dtype": compute_dtype,
        }
    )
    return config


def measure(experiment: Experiment, state, step: int) -> dict[str, float]:
    """RMSE and R of the state on the validation split."""
    valid = experiment.splits["valid"]
    maps = place(QUARTER_ANGLES)
    votes = experiment.predict(state, step, valid, maps, on_device=False)
    return {
        "rmse": rmse(votes[:, 0], experiment.source.targets[valid]),
        "robustness": float(rotation_distances(votes).mean()),
    }


def train(experiment: Experiment, every: int) -> tuple[dict, object]:
    """The learning curve and what is measured at both ends; and the last state."""
    config, steps = experiment.config, experiment.config.num_train_steps
    state = experiment.programs.make_state()
    first, curve, losses, seconds = measure(experiment, state, 0), [], [], 0.0
    batches = train_batches(experiment.source, experiment.splits["train"], config, 0)
    with contextlib.closing(batches):
        start = time.perf_counter()
        for step, batch in enumerate(to_devices(batches, experiment.mesh), start=1):
            state, loss = experiment.programs.train_step(step - 1)(state, batch)
            losses.append(float(loss))
            if step % every and step < steps:
                continue
            if curve:  # programs are compiled before the first point
                seconds += time.perf_counter() - start
            votes = experiment.predict(
                state, step, experiment.splits["valid"], AVERAGING_SETS["none"]
            )
            targets = experiment.source.targets[experiment.splits["valid"]]
            curve.append(
                {
                    "step": step,
                    "loss": float(np.mean(losses)),
                    "rmse": rmse(votes[:, 0], targets),
                }
            )
            losses.clear()
            start = time.perf_counter()
    timed = steps - curve[0]["step"]
    result = {
        "seconds_per_step": seconds / timed if timed else None,
        "first": first,
        "last": measure(experiment, state, steps),
        "curve": curve,
    }
    return result, state


def main() -> None:
    """Prints the two learning curves and R side by side."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    flag = parser.add_argument
    flag("--data", default=os.environ.get("GZJAX_DATA"), help="(GZJAX_DATA)")
    flag("--pixel_scale", type=float, default=1.0, help="of these images (1)")
    flag("--config", default="p4m:small", help="(%(default)s)")
    flag("--steps", type=int, default=150, help="(%(default)s)")
    flag("--every", type=int, default=25, help="steps between points (%(default)s)")
    flag("--batch", type=int, default=16, help="(%(default)s)")
    flag("--json", type=Path, help="write the figures there, too")
    args = parser.parse_args()
    if not args.data:
        parser.error("give --data, or set GZJAX_DATA")
    found, experiments, states = {}, {}, {}
    for name in TYPES:
        experiments[name] = Experiment(make_config(args, name), GZ2)
        found[name], states[name] = train(experiments[name], args.every)
    rounded = measure(experiments["bfloat16"], states["float32"], args.steps)

    f32, bf16 = (found[name] for name in TYPES)
    timing.print_table(
        f"{args.config}, {args.steps} steps of {args.batch}: loss since the last point",
        ["step", *(f"{kind} {name}" for kind in ("loss", "RMSE") for name in TYPES)],
        [
            [a["step"], *(f"{x:.5f}" for x in (a["loss"], b["loss"]))]
            + [f"{x:.5f}" for x in (a["rmse"], b["rmse"])]
            for a, b in zip(f32["curve"], bf16["curve"], strict=True)
        ],
    )
    timing.print_table(
        "at the ends",
        ["", "RMSE", "R", "seconds per step"],
        [
            [label, f"{end['rmse']:.5f}", f"{end['robustness']:.1e}", seconds]
            for label, end, seconds in (
                ("float32, first weights", f32["first"], None),
                ("bfloat16, first weights", bf16["first"], None),
                ("float32, trained", f32["last"], f32["seconds_per_step"]),
                ("bfloat16, trained", bf16["last"], bf16["seconds_per_step"]),
                ("trained in float32, computed in bfloat16", rounded, None),
            )
        ],
    )
    timing.write_json(args.json, {**found, "float32 computed in bfloat16": rounded})


if __name__ == "__main__":
    main()
