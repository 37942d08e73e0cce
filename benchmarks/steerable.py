"""What steerable filters cost: a step beside p4m's, and the transform's share of it.

    python benchmarks/steerable.py [--configs p4m:small dn:small] [--batch 32]
        [--rounds 10] [--output x.json]

Times the full training step of each config (``train_step.py``); all take turns. Of the
steerable ones it also times the filter transforms alone: from the coefficients to the
planar filters of all convolutions, and the gradient back. Last it says how long a state
takes from nothing: to trace and compile, and to draw the parameters.
"""

import argparse
import time
from pathlib import Path

import timing  # first: sets the allocator up

# isort: split
import jax
from timing import interleave, print_table, ratio, summary
from train_step import JaxStep, make_batch, say_if_busy

from gzjax.models.steerable_cnn import KERNEL_SIZE, NUM_CONVS
from gzjax.ops.compiler import compiler_options
from gzjax.ops.groups import GROUPS
from gzjax.ops.steerable import Rings, steerable_filter
from gzjax.steps.compiled import Programs
from gzjax.steps.mesh import make_mesh
from gzjax.steps.phases import make_phases
from gzjax.training.load_config import load_config
from gzjax.trees.tree_file import find_tree


def transforms(step: JaxStep):
    """Returns a call that makes all planar filters, and the coefficients' gradients."""
    group, params = GROUPS[step.model.group], step.variables["params"]
    kernels = [params[f"conv{i + 1}"]["kernel"] for i in range(NUM_CONVS)]

    def make(kernels):
        return [steerable_filter(c, group, KERNEL_SIZE, Rings()) for c in kernels]

    def there_and_back(kernels, cotangents):
        filters, back = jax.vjp(make, kernels)
        return filters, back(cotangents)

    cotangents = jax.jit(make)(kernels)
    program = jax.jit(there_and_back, compiler_options=compiler_options())
    return lambda: program(kernels, cotangents)


def seconds_to_init(config, tree) -> float:
    """Times a fresh state as a training makes it."""
    start = time.perf_counter()
    programs = Programs(make_phases(config), tree, make_mesh())
    jax.block_until_ready(programs.make_state())
    return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--configs", nargs="+", default=["p4m:small", "dn:small"])
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    calls, init, memory = {}, {}, {}
    for name in args.configs:
        config = load_config(name, [])
        tree = find_tree(config.tree)
        init[name] = seconds_to_init(config, tree)
        step = JaxStep(config, tree, make_batch(config, tree.num_answers, args.batch))
        calls[name], memory[name] = step, step.temporary_bytes() / 1e6
        if config.model.get("filters") == "steerable":
            calls[f"{name}, transforms"] = transforms(step)
    timed = interleave(calls, args.rounds)
    results = {}
    for name, t in timed.items():
        config, first = name.partition(",")[0], timed[args.configs[0]]
        results[name] = {
            "times": summary(t),
            "over_first": ratio(t.wall, first.wall),
            "share_of_step": ratio(t.wall, timed[config].wall),
            "init_seconds": init.get(name),
            "memory_mb": memory.get(name),
        }
    rows = [
        [name, r["times"]["median_ms"], *list(r.values())[1:]]
        for name, r in results.items()
    ]
    columns = ["", "ms", f"over {args.configs[0]}", "share", "init, s", "memory, MB"]
    print_table(f"Training steps of {args.batch} galaxies", columns, rows)
    say_if_busy({"times": {name: r["times"]}} for name, r in results.items())
    timing.write_json(args.output, {"batch": args.batch, "results": results})


if __name__ == "__main__":
    main()
