"""The full training step: images per second, and its share of the device's peak.

    python benchmarks/train_step.py [--configs p4m p4m:small] [--batch 16]
        [--rounds 10] [--torch_compile] [--cores 1] [--output x.json]
        [--config.view.size_px=98 ...]

Times ``gzjax.steps.steps.make_train_step`` (colour, network, head, loss, gradient,
update; donated state; a synthetic uint8 batch that lies on the device) on the device
that is there, for all configs of the package by default. FLOP per image are XLA's count
for the compiled step, or, where that misses the convolutions (custom calls on a GPU),
three times those of the forward pass's convolutions and matrix products, which are
counted from its shapes. "Recipe hours" are those that the config's own number of steps
would take at this rate.

Where torch is installed, the same network in PyTorch takes turns with it, on the same
device: eager, and with ``--torch_compile`` compiled, each in both layouts. The first
table has the ratios to the fastest. First both are found to give the same outputs from
the same weights, and the same losses over a few updates where nothing is dropped. Both
sides keep their learning rate constant. Memory is that of a step: XLA's temporary
memory, and PyTorch's peak beyond what lies there between steps (``torch_twins.py``).
"""

import argparse
import importlib.resources
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import timing  # first: sets the allocator up

# isort: split
import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import jaxprs_in_params
from timing import Timed, interleave, print_table, ratios, summary, torch

from gzjax.errors import UserError
from gzjax.models import make_model, network_input
from gzjax.steps.mesh import by_batch, make_mesh, replicated
from gzjax.steps.optim import make_optimizer
from gzjax.steps.state import make_train_state
from gzjax.steps.steps import make_train_step
from gzjax.training.load_config import load_config
from gzjax.trees.tree_file import find_tree

BUSY = 0.1  # share of the machine, above which ratios of several threads mean little

if torch is not None:
    import torch_twins


def default_configs() -> list[str]:
    """All configs of the package, and p4m's variant for a CPU."""
    names = [
        path.name.removesuffix(".py")
        for path in importlib.resources.files("gzjax.configs").iterdir()
        if path.name.endswith(".py")
    ]
    return sorted({*names, "p4m:small"} - {"__init__", "base"})


def make_batch(config, num_answers: int, batch_size: int) -> dict[str, np.ndarray]:
    """Random pixels ``[b 1 v h w 3]``, mild colour matrices and vote fractions."""
    rng = np.random.default_rng(0)
    size, views = config.view.size_px, len(config.view.angles_deg)
    colour = np.eye(3, 4) + 0.05 * rng.standard_normal((batch_size, 3, 4))
    return {
        "images": rng.integers(0, 256, (batch_size, views, size, size, 3), np.uint8),
        "colour": colour.astype(np.float32),
        "targets": rng.uniform(size=(batch_size, num_answers)).astype(np.float32),
    }


def matmul_flops(jaxpr) -> int:
    """FLOP of the convolutions and matrix products; a multiply-add counts as two."""
    total = 0
    for equation in jaxpr.eqns:
        if equation.primitive.name in ("conv_general_dilated", "dot_general"):
            out = equation.outvars[0].aval.size
            total += 2 * out * _terms(equation)
        inner = [matmul_flops(j) for j in jaxprs_in_params(equation.params)]
        # One branch is taken: a platform's, and they do the same sums.
        total += max(inner, default=0) if "branches" in equation.params else sum(inner)
    return total


def _terms(equation) -> int:
    """How many products are added up in one output."""
    if equation.primitive.name == "dot_general":
        (contracted, _), _ = equation.params["dimension_numbers"]
        shape = equation.invars[0].aval.shape
        return int(np.prod([shape[i] for i in contracted]))
    kernel = equation.invars[1].aval
    out_axis = equation.params["dimension_numbers"].rhs_spec[0]
    return kernel.size // kernel.shape[out_axis]


def randomised(variables: dict) -> dict:
    """Returns weights with which the outputs depend on everything.

    Fresh ones may be so small that only the last biases count, and norms that are all
    0 or 1 would hide that they are swapped.
    """
    rng = np.random.default_rng(2)

    def change(path, x):
        if path[-1].key == "kernel":
            scale = np.float32(np.sqrt(2 / np.prod(x.shape[:-1])))
            return scale * rng.standard_normal(x.shape, np.float32)
        return (x + rng.uniform(0, 0.5, x.shape)).astype(x.dtype)

    return jax.tree_util.tree_map_with_path(change, variables)


class JaxStep:
    """The compiled step of a config; a call makes updates and gives the last loss.

    Args:
        config: of the run; its rate is held constant.
        tree: of the labels.
        batch: see :func:`make_batch`.
        updates: in a call. A GPU is handed several, so that it waits for none.
        devices: where it is computed; all by default.
    """

    def __init__(self, config, tree, batch: dict, updates: int = 1, devices=None):
        mesh = make_mesh(devices)
        config.schedule.kind, config.schedule.warmup_steps = "constant", 0
        self.model = make_model(config, tree.num_answers)
        self.updates = updates
        tx = make_optimizer(config)
        self.state = jax.jit(
            lambda: make_train_state(self.model, tx, config),
            out_shardings=replicated(mesh),
        )()
        self.variables = jax.device_get(self.state.eval_variables())
        self.batch = jax.device_put(batch, by_batch(mesh))
        step = make_train_step(self.model, tx, config, tree, mesh, config.head)
        start = time.perf_counter()
        self.compiled = step.lower(self.state, self.batch).compile()
        self.compile_seconds = time.perf_counter() - start

    def __call__(self):
        for _ in range(self.updates):
            self.state, loss = self.compiled(self.state, self.batch)
        return self.state, loss

    def flops(self) -> dict[str, float]:
        """FLOP of one update: XLA's count, and 3 times the forward pass's products."""
        costs = self.compiled.cost_analysis() or {}
        images = network_input(self.model, jnp.zeros(self.batch["images"].shape))
        forward = jax.make_jaxpr(lambda v, x: self.model.apply(v, x, train=False))
        counted = 3.0 * matmul_flops(forward(self.variables, images).jaxpr)
        return {"xla": float(costs.get("flops", 0)), "counted": counted}

    def temporary_bytes(self) -> int:
        """Returns XLA's memory for an update, besides state and batch."""
        return self.compiled.memory_analysis().temp_size_in_bytes


def torch_programs(config, step: JaxStep, tree, batch, compiled: bool) -> tuple:
    """Returns the steps in torch that are timed, and what is known of them."""
    if torch is None or not torch_twins.exists(config):
        return {}, {}
    if (timing.torch_device() == "cpu") != (jax.default_backend() == "cpu"):
        return {}, {}  # this torch does not know the accelerator
    network, difference = torch_twins.make_network(
        config, step.model, step.variables, randomised(step.variables)
    )
    programs = torch_twins.make_steps(network, config, tree, batch, step.updates)
    a_twin = next(iter(programs.values()))
    known = {
        "outputs_differ": difference,
        "losses_differ": torch_twins.check_losses(config, step, a_twin),
    }
    if compiled:
        more = torch_twins.make_steps(network, config, tree, batch, step.updates, True)
        known["compiler_error"] = torch_twins.compiler_error(more)
        programs |= {} if known["compiler_error"] else more
    return programs, known


def measure(
    config,
    batch_size: int,
    rounds: int,
    peak: float | None,
    torch_compile: bool = False,
    updates: int = 1,
) -> dict:
    """Measures everything about the step of a config, in batches of another size.

    Args:
        rounds: of timed calls.
        peak: GFLOP/s that the device reaches, if known.
        torch_compile: time what ``torch.compile`` makes of it, too.
        updates: in a timed call.
    """
    tree = find_tree(config.tree)
    batch = make_batch(config, tree.num_answers, batch_size)
    step = JaxStep(config, tree, batch, updates)
    programs, known = torch_programs(config, step, tree, batch, torch_compile)
    memory = {"gzjax": step.temporary_bytes() / 1e6}
    memory |= {kind: twin.peak_bytes() / 1e6 for kind, twin in programs.items()}
    timed = {
        kind: Timed(*(clock / updates for clock in found))
        for kind, found in interleave({"gzjax": step, **programs}, rounds).items()
    }
    flops = step.flops()
    source = "xla" if flops["xla"] > 0.9 * flops["counted"] else "counted"
    took = float(np.median(timed["gzjax"].wall))
    images = config.num_train_steps * config.batch_size
    return {
        "size_px": config.view.size_px,
        "batch": batch_size,
        "images_per_sec": batch_size / took,
        "compile_seconds": step.compile_seconds,
        "recipe_steps": config.num_train_steps,
        "recipe_batch": config.batch_size,
        "recipe_hours": images / batch_size * took / 3600,
        "flops": {k: v / batch_size for k, v in flops.items()},
        "flops_from": source,
        "gflop_per_image": flops[source] / batch_size / 1e9,
        "share_of_peak": flops[source] / took / 1e9 / peak if peak else None,
        "times": {kind: summary(t) for kind, t in timed.items()},
        "memory_mb": memory,
        "over": {kind: ratios(timed["gzjax"], timed[kind]) for kind in programs},
        "torch": known,
    }


def beside_fastest(found: dict) -> dict[str, float]:
    """Returns the ratio to the fastest of torch's programs by each clock; of memory.

    The dict is empty if the network has no twin in PyTorch.
    """
    over, memory = found["over"], found["memory_mb"]
    if not over:
        return {}
    of_clocks = {
        clock: max(ratios[clock] for ratios in over.values())
        for clock in ("wall", "cpu")
    }
    fastest = max(over, key=lambda kind: over[kind]["wall"])
    return of_clocks | {"memory": memory["gzjax"] / memory[fastest]}


OWN = ["", "px", "ms", "CPU ms", "img/s", "GFLOP/img", "3x forward", "of peak"]
OWN += ["recipe hours", "memory, MB", "others", "gzjax/torch", "in CPU time", "memory"]


def own_rows(results: dict[str, dict]) -> Iterator[list]:
    """Yields what gzjax does."""
    for name, r in results.items():
        times = r["times"]["gzjax"]
        yield [
            name,
            r["size_px"],
            times["median_ms"],
            times["cpu_ms"],
            r["images_per_sec"],
            r["gflop_per_image"],
            r["flops"]["counted"] / 1e9,
            percent(r["share_of_peak"]),
            r["recipe_hours"],
            r["memory_mb"]["gzjax"],
            percent(times["others"]),
            *map(beside_fastest(r).get, ("wall", "cpu", "memory")),
        ]


BESIDE = ["", "beside", "ms", "CPU ms", "gzjax/torch", "in CPU time"]
BESIDE += ["memory, MB", "gzjax/torch", "others"]


def torch_rows(results: dict[str, dict]) -> Iterator[list]:
    """Yields what PyTorch does, and the ratios to it."""
    for name, r in results.items():
        for kind, over in r["over"].items():
            times, memory = r["times"][kind], r["memory_mb"]
            yield [
                name,
                kind,
                times["median_ms"],
                times["cpu_ms"],
                over["wall"],
                over["cpu"],
                memory[kind],
                memory["gzjax"] / memory[kind],
                percent(times["others"]),
            ]


def percent(share: float | None) -> str | None:
    """Writes a share for a table."""
    return None if share is None else f"{100 * share:.0f} %"


def say_if_busy(found: Iterable[dict]) -> None:
    """Warns of ratios that other processes have spoilt."""
    others = [t["others"] or 0 for r in found for t in r["times"].values()]
    if max(others, default=0) > BUSY:
        print(
            f"Other processes took up to {percent(max(others))} of the machine. "
            "Threads that wait for each other then lose more than their share: repeat "
            "this on a quiet machine, or with --cores=1."
        )


def print_results(results: dict[str, dict], title: str) -> None:
    """Prints the tables, and what was checked."""
    print_table(title, OWN, list(own_rows(results)))
    beside = list(torch_rows(results))
    if beside:
        print_table("The same networks in PyTorch", BESIDE, beside)
        print()
    say_if_busy(results.values())
    for name, r in results.items():
        known = r["torch"]
        if not known:
            continue
        losses = known["losses_differ"]
        print(
            f"{name}: outputs differ by {known['outputs_differ']:.1e} at most"
            + (f", losses by {losses:.1e}" if losses is not None else "")
        )
        if known.get("compiler_error"):
            print(f"{name}: torch.compile: {known['compiler_error']}")


def main() -> None:
    """Measures the configs and prints two tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--configs", help="names, parted by spaces", nargs="+")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--torch_compile", action="store_true", help="beside eager")
    parser.add_argument("--cores", type=int, help="to use; all by default")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    args, overrides = parser.parse_known_args()
    if args.cores:  # before the threads of either library start
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: args.cores])
        if torch is not None:
            torch.set_num_threads(args.cores)
    if torch is None:
        print(timing.NO_TORCH)

    names = args.configs or default_configs()
    try:
        configs = {name: load_config(name, overrides) for name in names}
    except UserError as error:
        parser.error(str(error))
    peak = timing.matmul_peak()
    results = {
        name: measure(
            config,
            args.batch,
            args.rounds,
            peak,
            args.torch_compile,
        )
        for name, config in configs.items()
    }
    device = timing.machine()["device"]
    print_results(
        results,
        f"Train step, batch {args.batch}, {device}, {args.cores or os.cpu_count()} "
        f"host cores; matmul peak {peak:.0f} GFLOP/s",
    )
    winner = results.get("dieleman")
    if winner:
        print(
            f"dieleman: {winner['recipe_steps']:,} steps of batch "
            f"{winner['recipe_batch']} would take {winner['recipe_hours']:.0f} hours "
            f"at this rate on {device}; the winner's took 67 on a GTX 680 in 2014"
        )
    timing.write_json(
        args.output,
        {
            "batch": args.batch,
            "rounds": args.rounds,
            "cores": args.cores,
            "changes": overrides,
            "matmul_peak_gflop_per_sec": peak,
            "configs": results,
        },
    )


if __name__ == "__main__":
    main()
