"""Group convolution against ordinary convolution of the same width.

    python benchmarks/group_conv.py [--batch 16] [--rounds 15] [--output x.json]

Measures, for the six convolutions of the published network at 116 px:

* forward, and forward + backward (gradients of input and filter; of the first layer the
  filter alone, as in training), of ``gzjax.ops.gconv.group_conv`` over an ordinary
  ``gzjax.ops.conv.conv`` with as many channels in and out;
* the same in PyTorch (index-gather of the filter, ``F.conv2d``; NCHW or channels_last,
  whichever is faster) and of escnn's ``R2Conv`` of the same width, where installed;

then the whole trunk (convolutions, norms, ReLUs, pools; training mode; gradient of the
parameters) over a plain one of equal width; the group convolution over the whole last
map both ways; and the max pools over ``lax.reduce_window``. Aims at 1.05 a layer and
1.08 for the trunk, and prints whether a compiled gradient contains a scatter.
"""

import argparse
import functools
from collections.abc import Callable
from pathlib import Path

import timing  # first: sets the allocator up

# isort: split
import flax.linen as nn
import jax
import numpy as np
from jax import lax
from timing import interleave, print_table, ratio, summary, torch

from gzjax.models.group_cnn import KERNEL_SIZES, POOLS, GroupCNN
from gzjax.ops.compiler import compiler_options
from gzjax.ops.conv import conv
from gzjax.ops.gconv import group_conv, whole_map_group_conv
from gzjax.ops.groups import GROUPS, Group
from gzjax.ops.pooling import max_pool
from gzjax.ops.windows import Window

INPUT_SIZE = 116
CHANNELS = (64, 128, 256, 256, 512, 512)  # planes times the group's order
HIDDEN = 512

if torch is not None:
    from torch_group_cnn import GroupConv2d
try:
    from escnn_conv import EscnnConv
except ImportError:
    EscnnConv = None
jax.config.update("jax_enable_x64", False)  # escnn's pymanopt switches it on


def map_sizes() -> dict[str, int]:
    """The size of the map that every convolution and pool looks at."""
    sizes, n = {}, INPUT_SIZE
    for window in GroupCNN(INPUT_SIZE, 37).windows():
        sizes[window.name] = n
        n = window.output_size(n)
    return sizes | {"last": n}


def normal(seed: int, *shape: int) -> jax.Array:
    """Standard normal numbers."""
    return jax.random.normal(jax.random.key(seed), shape)


class Program:
    """A compiled function and its arguments; says whether it contains a scatter."""

    def __init__(self, function: Callable, *args):
        jitted = jax.jit(function, compiler_options=compiler_options())
        lowered = jitted.lower(*args)
        self.compiled, self.args = lowered.compile(), args
        self.has_scatter = "stablehlo.scatter" in lowered.as_text() or (
            " scatter(" in self.compiled.as_text()
        )

    def __call__(self):
        return self.compiled(*self.args)


def with_gradient(function: Callable, *args, argnums: tuple[int, ...]) -> Program:
    """The program of a function's value and the gradients of a weighted sum of it."""
    shape = jax.eval_shape(function, *args).shape

    def both(cotangent, *args):
        def of_chosen(*chosen):
            full = list(args)
            for i, value in zip(argnums, chosen, strict=True):
                full[i] = value
            return function(*full)

        y, pull = jax.vjp(of_chosen, *(args[i] for i in argnums))
        return y, pull(cotangent)

    return Program(both, normal(9, *shape), *args)


def torch_programs(
    module, x: np.ndarray, channels_last: bool, input_gradient: bool
) -> dict[str, Callable]:
    """Forward and forward + backward of a torch module on maps ``[b h w c]``."""
    layout = torch.channels_last if channels_last else torch.contiguous_format
    module = module.to(timing.torch_device(), memory_format=layout)
    images = timing.to_torch(x.transpose(0, 3, 1, 2)).contiguous(memory_format=layout)
    images.requires_grad_(input_gradient)
    with torch.no_grad():
        shape = module(images).shape
    cotangent = torch.randn(shape, device=images.device).contiguous(
        memory_format=layout
    )

    def forward():
        with torch.no_grad():
            module(images)
        timing.wait_for_torch()

    def both():
        images.grad = None
        module.zero_grad(set_to_none=True)
        module(images).backward(cotangent)
        timing.wait_for_torch()

    return {"forward": forward, "both": both}


def faster_layout(make: Callable[[bool], dict]) -> tuple[str, dict[str, Callable]]:
    """NCHW or channels_last, by a short trial; the faster one's programs."""
    found = {"NCHW": make(False), "channels_last": make(True)}
    took = interleave({name: f["both"] for name, f in found.items()}, rounds=3)
    best = min(took, key=lambda name: took[name].wall.min())
    return best, found[best]


def layer_programs(index: int, batch: int, group: Group) -> tuple[dict, str | None]:
    """name → its forward and both programs, for one convolution; torch's layout."""
    k, size = KERNEL_SIZES[index], map_sizes()[f"conv{index + 1}"]
    lift, out = index == 0, CHANNELS[index] // group.order
    depth = 1 if lift else group.order
    planes_in = 3 if lift else CHANNELS[index - 1] // group.order
    x = normal(0, batch, size, size, depth, planes_in)
    folded = x.reshape(*x.shape[:3], -1)
    argnums = (1,) if lift else (0, 1)
    of_group = functools.partial(group_conv, group=group)
    arguments = {
        "plain": (
            conv,
            folded,
            normal(1, k, k, folded.shape[-1], CHANNELS[index]),
        ),
        "gzjax": (of_group, x, normal(1, k, k, depth, planes_in, out)),
    }
    programs = {
        name: {
            "forward": Program(*args),
            "both": with_gradient(*args, argnums=argnums),
        }
        for name, args in arguments.items()
    }
    if torch is None:
        return programs, None
    module = GroupConv2d(group, planes_in, out, k, lift, bias=False)
    torch.nn.init.normal_(module.weight)
    layout, programs["torch"] = faster_layout(
        lambda last: torch_programs(module, np.asarray(folded), last, not lift)
    )
    if EscnnConv is not None:
        module = EscnnConv(group, planes_in, out, k, lift)
        _, programs["escnn"] = faster_layout(
            lambda last: torch_programs(module, np.asarray(folded), last, not lift)
        )
    return programs, layout


def compare(programs: dict[str, Callable], base: str, rounds: int) -> dict:
    """Times and ratios to ``base`` of programs that take turns."""
    timed = interleave(programs, rounds)
    scatters = [
        name
        for name, program in programs.items()
        if isinstance(program, Program) and program.has_scatter
    ]
    return {
        "times": {name: summary(t) for name, t in timed.items()},
        "ratios": {
            name: ratio(t.wall, timed[base].wall)
            for name, t in timed.items()
            if name != base
        },
        "scatters": scatters,
    }


def measure_layer(index: int, batch: int, group: Group, rounds: int) -> dict:
    """Both comparisons of one convolution."""
    programs, layout = layer_programs(index, batch, group)
    result = {"name": f"conv{index + 1}", "torch_layout": layout}
    for which in ("forward", "both"):
        chosen = {name: pair[which] for name, pair in programs.items()}
        result[which] = compare(chosen, "plain", rounds)
    return result


class PlainTrunk(nn.Module):
    """The trunk with ordinary convolutions and batch norm per channel."""

    @nn.compact
    def __call__(self, x):
        """``[b h w 3] → [b n n c]``."""
        for i, (kernel_size, channels) in enumerate(
            zip(KERNEL_SIZES, CHANNELS, strict=True)
        ):
            x = nn.Conv(channels, (kernel_size, kernel_size), padding="VALID")(x)
            x = nn.BatchNorm(use_running_average=False, momentum=0.9)(x)
            x = nn.relu(x)
            if i in POOLS:
                x = max_pool(x, Window(f"pool{i + 1}", *POOLS[i]))
        return x


class GroupTrunk(GroupCNN):
    """The trunk of the network."""

    @nn.compact
    def __call__(self, x):
        """``[b h w 3] → [b n n g c]``."""
        return self.features(x, train=True)


def trunk_program(module: nn.Module, images: jax.Array) -> Program:
    """Training-mode features and new statistics, and the parameters' gradient."""
    apply = functools.partial(module.apply, mutable=["batch_stats"])
    variables = jax.jit(module.init)(jax.random.key(0), images)
    params, stats = variables["params"], variables["batch_stats"]
    weights = normal(9, *jax.eval_shape(apply, variables, images)[0].shape)

    def both(params, stats, images, weights):
        def loss(params):
            variables = {"params": params, "batch_stats": stats}
            x, new = apply(variables, images)
            return (x * weights).sum(), new

        return jax.value_and_grad(loss, has_aux=True)(params)

    return Program(both, params, stats, images, weights)


def measure_trunk(batch: int, group: Group, rounds: int) -> dict:
    """The network's trunk over the plain one."""
    images = normal(0, batch, INPUT_SIZE, INPUT_SIZE, 3)
    planes = tuple(n // group.order for n in CHANNELS)
    trunk = GroupTrunk(INPUT_SIZE, num_outputs=0, group=group.name, planes=planes)
    programs = {
        "plain": trunk_program(PlainTrunk(), images),
        "gzjax": trunk_program(trunk, images),
    }
    return compare(programs, "plain", rounds)


def measure_whole_map(batch: int, group: Group, rounds: int) -> dict:
    """A filter as large as the map: transforming the map over transforming it."""
    n, planes = map_sizes()["last"], CHANNELS[-1] // group.order
    x = normal(0, batch, n, n, group.order, planes)
    w = normal(1, n, n, group.order, planes, HIDDEN)
    programs = {
        name: with_gradient(
            functools.partial(function, group=group), x, w, argnums=(0, 1)
        )
        for name, function in (
            ("filter", group_conv),
            ("map", whole_map_group_conv),
        )
    }
    return compare(programs, "filter", rounds)


def reduce_window_pool(x: jax.Array, window: Window) -> jax.Array:
    """What ``max_pool`` is compared with."""
    k, s, p = window.size, window.stride, window.padding
    ones = (1,) * (x.ndim - 3)
    edges = [(0, 0), (p, p), (p, p), *[(0, 0)] * len(ones)]
    return lax.reduce_window(
        x, -np.inf, lax.max, (1, k, k, *ones), (1, s, s, *ones), edges
    )


def measure_pool(index: int, batch: int, group: Group, rounds: int) -> dict:
    """One max pool over ``reduce_window``, forward + backward."""
    window = Window(f"pool{index + 1}", *POOLS[index])
    n, planes = map_sizes()[window.name], CHANNELS[index] // group.order
    x = normal(0, batch, n, n, group.order, planes)
    programs = {
        name: with_gradient(functools.partial(function, window=window), x, argnums=(0,))
        for name, function in (
            ("reduce_window", reduce_window_pool),
            ("gzjax", max_pool),
        )
    }
    result = compare(programs, "reduce_window", rounds)
    k, s, p = POOLS[index]
    return {"name": f"pool {k}/{s}/{p} on {n} px"} | result


def print_layers(layers: list[dict]) -> None:
    """A row per convolution: milliseconds of the plain one, ratios of the others."""
    others = list(layers[0]["both"]["ratios"])
    header = ["", "map", "in > out", "plain ms", *others, "plain ms", *others]
    rows = []
    for layer, channels_in, out in zip(
        layers, (3, *CHANNELS[:-1]), CHANNELS, strict=True
    ):
        row = [layer["name"], map_sizes()[layer["name"]], f"{channels_in} > {out}"]
        for which in ("forward", "both"):
            row.append(layer[which]["times"]["plain"]["median_ms"])
            row += [layer[which]["ratios"][name] for name in others]
        rows.append([*row, layer["torch_layout"]])
    title = (
        "Convolutions: plain ms, the others as ratios to it; "
        "forward, then forward + backward"
    )
    print_table(title, [*header, "torch layout"], rows)


def print_others(title: str, base: str, name: str, results: list[dict]) -> None:
    """A row per comparison of two programs."""
    rows = [
        [
            r.get("name", ""),
            r["times"][base]["median_ms"],
            r["times"][name]["median_ms"],
            r["ratios"][name],
        ]
        for r in results
    ]
    print_table(title, ["", f"{base} ms", f"{name} ms", "ratio"], rows)


def scatters(results: dict) -> list[str]:
    """Which of gzjax's compiled gradients contain a scatter."""
    found = [
        (layer["name"], name)
        for layer in results["layers"]
        for name in layer["both"]["scatters"]
    ]
    for what in ("trunk", "whole_map"):
        found += [(what, name) for name in results[what]["scatters"]]
    for pool in results["pools"]:
        found += [(pool["name"], name) for name in pool["scatters"]]
    theirs = ("plain", "reduce_window")
    return [f"{what} ({name})" for what, name in found if name not in theirs]


def main() -> None:
    """Measures everything and prints it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--group", choices=list(GROUPS), default="p4m")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    args = parser.parse_args()
    group, rest = GROUPS[args.group], (args.batch, GROUPS[args.group], args.rounds)
    if torch is None:
        print(timing.NO_TORCH)
    elif EscnnConv is None:
        print("escnn is not installed: no comparison with it")

    layers = [measure_layer(i, *rest) for i in range(len(KERNEL_SIZES))]
    print_layers(layers)
    trunk = measure_trunk(*rest)
    print_others("Trunk, forward + backward", "plain", "gzjax", [trunk])
    whole_map = measure_whole_map(*rest)
    title = "Group convolution over the whole last map, forward + backward: transform"
    print_others(title, "filter", "map", [whole_map])
    pools = [measure_pool(i, *rest) for i in POOLS]
    print_others("Max pools, forward + backward", "reduce_window", "gzjax", pools)

    results = {
        "batch": args.batch,
        "rounds": args.rounds,
        "group": group.name,
        "layers": layers,
        "trunk": trunk,
        "whole_map": whole_map,
        "pools": pools,
    }
    found = scatters(results)
    print(f"\nscatter in gzjax's gradient programs: {', '.join(found) or 'none'}")
    worst = max(layer["both"]["ratios"]["gzjax"] for layer in layers)
    print(
        f"{group.name}, batch {args.batch}: slowest layer {worst:.2f}x of the plain "
        f"one (aim 1.05), trunk {trunk['ratios']['gzjax']:.2f}x (aim 1.08)"
    )
    timing.write_json(args.output, results)


if __name__ == "__main__":
    main()
