"""The full training step: images per second, and its share of the device's peak.

    python benchmarks/train_step.py [--configs p4m,p4m:small] [--batch 16]
        [--rounds 10] [--output x.json]

Times ``gzjax.steps.steps.make_train_step`` (colour, network, head, loss, gradient,
Nesterov; donated state; a synthetic uint8 batch that lies on the device) on the device
that is there, for all configs of the package by default. FLOP per image are XLA's count
for the compiled step, or, where that misses the convolutions (custom calls on a GPU),
three times those of the forward pass's convolutions and matrix products, which are
counted from its shapes. "Recipe hours" are those that the config's own number of steps
would take at this rate. Where torch is installed, the same network in PyTorch eager
takes turns with it, on the same device, after both have been found to give the same
outputs from the same weights.
"""

import argparse
import copy
import importlib.resources
from collections.abc import Callable, Iterator
from pathlib import Path

import timing  # first: sets the allocator up

# isort: split
import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import jaxprs_in_params
from timing import interleave, print_table, ratio, summary, torch

from gzjax.models import make_model, network_input
from gzjax.ops.windows import output_size
from gzjax.steps.mesh import by_batch, make_mesh, replicated
from gzjax.steps.optim import make_optimizer
from gzjax.steps.state import make_train_state
from gzjax.steps.steps import make_train_step
from gzjax.training.load_config import load_config
from gzjax.trees.tree_file import find_tree

if torch is not None:
    from torch_group_cnn import TorchGroupCNN
    from torch_step import make_train_step as make_torch_step
    from torch_view_net import TorchViewNet

TOLERANCE = 1e-4  # of the outputs of the two networks, relative to the largest

# The networks that exist in torch: (model of gzjax, config.view) → module.
TORCH_NETWORKS = {
    "group_cnn": lambda model, view: TorchGroupCNN(
        model, output_size(view.size_px, model.windows())
    ),
    "view_net": lambda model, view: TorchViewNet(model, len(view.angles_deg)),
}


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


class JaxStep:
    """The compiled step of a config; a call makes one update."""

    def __init__(self, config, tree, batch: dict):
        mesh = make_mesh()
        self.model = make_model(config, tree.num_answers)
        tx = make_optimizer(config)
        self.state = jax.jit(
            lambda: make_train_state(self.model, tx, config),
            out_shardings=replicated(mesh),
        )()
        self.variables = jax.device_get(self.state.eval_variables())
        self.batch = jax.device_put(batch, by_batch(mesh))
        step = make_train_step(self.model, tx, config, tree, mesh, config.head)
        self.compiled = step.lower(self.state, self.batch).compile()

    def __call__(self):
        self.state, loss = self.compiled(self.state, self.batch)
        return self.state, loss

    def flops(self) -> dict[str, float]:
        """FLOP of one step: XLA's count, and 3 times the forward pass's products."""
        costs = self.compiled.cost_analysis() or {}
        images = network_input(self.model, jnp.zeros(self.batch["images"].shape))
        forward = jax.make_jaxpr(lambda v, x: self.model.apply(v, x, train=False))
        counted = 3.0 * matmul_flops(forward(self.variables, images).jaxpr)
        return {"xla": float(costs.get("flops", 0)), "counted": counted}


def torch_network(config, model, variables):
    """The same network in torch with the same weights; checks that it is the same.

    Raises:
        AssertionError: the outputs differ.
    """
    network = TORCH_NETWORKS[config.model.name](model, config.view)
    network.eval()  # still on the CPU: a GPU's convolutions round to TF32
    random = _randomised(variables)
    network.load(random)
    size, views = config.view.size_px, len(config.view.angles_deg)
    images = np.random.default_rng(1).uniform(size=(2, views, size, size, 3))
    images = images.astype(np.float32)
    with jax.default_matmul_precision("highest"):
        expected = np.asarray(
            model.apply(random, network_input(model, images), train=False)
        )
    planes = np.moveaxis(images.reshape(-1, size, size, 3), 3, 1)
    with torch.no_grad():
        found = network(torch.tensor(planes)).numpy()
    difference = float(abs(found - expected).max() / abs(expected).max())
    assert difference <= TOLERANCE, difference
    network.load(variables)
    return network.to(timing.torch_device()), difference


def _randomised(variables: dict) -> dict:
    """Weights with which the outputs depend on everything.

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


def torch_step(network, config, tree, batch: dict, channels_last: bool) -> Callable:
    """One update of a copy of the torch network, waited for."""
    layout = torch.channels_last if channels_last else torch.contiguous_format
    step = make_torch_step(copy.deepcopy(network), config, tree, layout)
    tensors = [timing.to_torch(batch[k]) for k in ("images", "colour", "targets")]

    def run():
        step(*tensors)
        timing.wait_for_torch()

    return run


def torch_steps(config, model, variables, tree, batch) -> tuple[dict, float | None]:
    """The step in both layouts, if the network is one that exists in torch."""
    same = config.model.name in TORCH_NETWORKS and not config.max_norm.layers
    same = same and (config.loss, config.head) == ("coarse", "divisive")
    if torch is None or not same:
        return {}, None
    network, difference = torch_network(config, model, variables)
    steps = {
        name: torch_step(network, config, tree, batch, name == "channels_last")
        for name in ("NCHW", "channels_last")
    }
    return steps, difference


def measure(name: str, batch_size: int, rounds: int, peak: float) -> dict:
    """Everything about one config."""
    config = load_config(name, [])
    tree = find_tree(config.tree)
    batch = make_batch(config, tree.num_answers, batch_size)
    step = JaxStep(config, tree, batch)
    programs, difference = torch_steps(config, step.model, step.variables, tree, batch)
    layout = None
    if programs:
        trial = interleave(programs, rounds=1)
        layout = min(trial, key=lambda name: trial[name].min())
        programs = {"torch": programs[layout]}
    seconds = interleave({"gzjax": step, **programs}, rounds)
    flops = step.flops()
    source = "xla" if flops["xla"] > 0.9 * flops["counted"] else "counted"
    took = float(np.median(seconds["gzjax"]))
    images = config.num_train_steps * config.batch_size
    result = {
        "name": name,
        "size_px": config.view.size_px,
        "images_per_sec": batch_size / took,
        "recipe_steps": config.num_train_steps,
        "recipe_batch": config.batch_size,
        "recipe_hours": images / batch_size * took / 3600,
        "flops": {k: v / batch_size for k, v in flops.items()},
        "flops_from": source,
        "gflop_per_image": flops[source] / batch_size / 1e9,
        "share_of_peak": flops[source] / took / 1e9 / peak,
        "times": {k: summary(v) for k, v in seconds.items()},
    }
    if programs:
        result["torch_layout"] = layout
        result["torch_difference"] = difference
        result["over_torch"] = ratio(seconds["gzjax"], seconds["torch"])
    return result


def rows(results: list[dict]) -> Iterator[list]:
    """Of the table."""
    for r in results:
        torch_times = r["times"].get("torch", {})
        yield [
            r["name"],
            r["size_px"],
            r["times"]["gzjax"]["median_ms"],
            r["images_per_sec"],
            r["recipe_hours"],
            r["gflop_per_image"],
            r["flops"]["counted"] / 1e9,
            f"{100 * r['share_of_peak']:.0f} %",
            torch_times.get("median_ms"),
            r.get("over_torch"),
            r.get("torch_layout"),
        ]


def main() -> None:
    """Measures the configs and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--configs", help="names, comma-separated; all by default")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--output", type=Path, help="JSON file to write")
    args = parser.parse_args()
    if torch is None:
        print(timing.NO_TORCH)

    peak = timing.matmul_peak()
    names = args.configs.split(",") if args.configs else default_configs()
    results = [measure(name, args.batch, args.rounds, peak) for name in names]
    device = timing.machine()["device"]
    header = ["", "px", "ms", "img/s", "recipe hours", "GFLOP/img", "3x forward"]
    print_table(
        f"Train step, batch {args.batch}, {device}; matmul peak {peak:.0f} GFLOP/s",
        [*header, "of peak", "torch ms", "gzjax/torch", "torch layout"],
        list(rows(results)),
    )
    for r in results:
        if "torch_difference" in r:
            print(f"{r['name']}: outputs differ by {r['torch_difference']:.1e} at most")
        if r["name"] == "dieleman":
            print(
                f"dieleman: {r['recipe_steps']:,} steps of batch {r['recipe_batch']} "
                f"would take {r['recipe_hours']:.0f} hours at this rate on {device}; "
                "the winner's took 67 on a GTX 680 in 2014"
            )
    timing.write_json(
        args.output,
        {
            "batch": args.batch,
            "rounds": args.rounds,
            "matmul_peak_gflop_per_sec": peak,
            "configs": results,
        },
    )


if __name__ == "__main__":
    main()
