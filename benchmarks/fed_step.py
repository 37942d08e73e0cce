"""What a training step loses to its input: fed by a loader, and with a batch at hand.

    python benchmarks/fed_step.py --data=DOWNLOAD [--config=p4m] [--workers=1]

Blocks of steps take turns; the loader runs only while the steps that it feeds are
timed, and from its third batch on. With fewer cores than the step and the loader keep
busy, the loader's work itself is what is lost.
"""

import argparse
import contextlib
import os
import time
from pathlib import Path

import jax
import numpy as np
import timing

from gzjax.data.pipeline import train_batches
from gzjax.steps.mesh import to_devices
from gzjax.training.experiment import Experiment
from gzjax.training.load_config import load_config
from gzjax.trees import GZ2

AT_HAND, FED = "a batch at hand", "fed"


class Steps:
    """A training step that is timed with batches of either kind.

    Args:
        config: of the run.
        num_steps: in a block.
    """

    def __init__(self, config, num_steps: int):
        self._experiment = Experiment(config, GZ2)
        self._num_steps = num_steps
        programs = self._experiment.programs
        self._state = programs.make_state()
        self._step = programs.train_step(config.head_warmup_steps)
        with self._feed() as feed:
            self._batch = next(feed)
        self._take(self._batch)  # compiles

    @contextlib.contextmanager
    def _feed(self):
        experiment = self._experiment
        train = experiment.splits["train"]
        batches = train_batches(experiment.source, train, experiment.config, 0)
        with contextlib.closing(batches):
            yield to_devices(batches, experiment.mesh)

    def at_hand(self) -> float:
        """Seconds per step."""
        return self._time(lambda: self._batch)

    def fed(self) -> float:
        """Seconds per step, waiting for data included."""
        with self._feed() as feed:
            for _ in range(2):
                self._take(next(feed))
            return self._time(lambda: next(feed))

    def _time(self, next_batch) -> float:
        start = time.perf_counter()
        for _ in range(self._num_steps):
            self._take(next_batch())
        return (time.perf_counter() - start) / self._num_steps

    def _take(self, batch) -> None:
        self._state, loss = self._step(self._state, batch)
        jax.block_until_ready(loss)


def measure(config, num_steps: int, rounds: int) -> dict:
    """Returns seconds per step of both kinds, and the share lost to input.

    Args:
        config: of the run, with its data.
        num_steps: in a block.
        rounds: blocks of each kind.
    """
    steps = Steps(config, num_steps)
    seconds = {AT_HAND: [], FED: []}
    for i in range(2 * rounds):
        is_fed = (i + i // 2) % 2  # A B, B A
        seconds[FED if is_fed else AT_HAND].append(
            steps.fed() if is_fed else steps.at_hand()
        )
    seconds = {name: np.array(found) for name, found in seconds.items()}
    return {
        "seconds_per_step": {k: float(np.median(v)) for k, v in seconds.items()},
        "lost": timing.ratio(seconds[FED], seconds[AT_HAND]) - 1,
    }


def print_results(title: str, batch_size: int, results: dict) -> None:
    """Prints a row for each kind, and what is lost."""
    timing.print_table(
        f"{title}, batches of {batch_size}",
        ["data", "seconds per step", "img/s"],
        [[name, s, batch_size / s] for name, s in results["seconds_per_step"].items()],
    )
    print(f"lost to input: {100 * results['lost']:.1f} %")


def main() -> None:
    """Prints seconds per step of both kinds, and what is lost."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    flag = parser.add_argument
    flag("--data", default=os.environ.get("GZJAX_DATA"), help="(GZJAX_DATA)")
    flag("--pixel_scale", type=float, default=1.0, help="of these images (1)")
    flag("--config", default="configs/p4m.py", help="(%(default)s)")
    flag("--workers", type=int, default=1, help="processes; 0: a thread (%(default)s)")
    flag("--steps", type=int, default=10, help="in a block (%(default)s)")
    flag("--rounds", type=int, default=5, help="blocks of each kind (%(default)s)")
    flag("--json", type=Path, help="write the figures there, too")
    args = parser.parse_args()
    if not args.data:
        parser.error("give --data, or set GZJAX_DATA")
    config = load_config(args.config, [])
    config.update_from_flattened_dict(
        {
            "data.kind": "challenge",
            "data.dir": args.data,
            "data.check_images": False,
            "data.pixel_scale": args.pixel_scale,
            "data.num_workers": args.workers,
            "data.num_threads": 1,
        }
    )
    results = measure(config, args.steps, args.rounds)
    print_results(args.config, config.batch_size, results)
    timing.write_json(args.json, results)


if __name__ == "__main__":
    main()
