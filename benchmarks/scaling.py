"""How far data parallelism carries: a model on paper, fed by the compiled programs.

    python benchmarks/scaling.py [--configs=p4m,dieleman,resnet:18] [--json=x.json]

Compiles the train step of each config for 1, 2, 4 and 8 host-platform devices; nothing
runs. From the compiled text: collectives by kind, bytes and number per step. The exit
code is 1 unless they are all-reduces of the gradients, once, and of little else. From
XLA's cost analysis for one device: FLOP per image. From these and the rates given by
flags (the defaults are guesses for GPUs with fast links): the efficiency at 8, 64 and
512 devices, up to how many it pays, and what the input side must deliver then. See
scaling_model.py for the equations.

A model, not a measurement: no program was run on more than one device for it. Compilers
for accelerators may combine, split or narrow all-reduces in other ways than that for
the host platform, which is read here; with --config.compute_dtype=bfloat16 it widens
them.
"""

import argparse
import dataclasses
import sys
from pathlib import Path

import timing  # first: sets the allocator up

# isort: split
import jax
from compiled_step import measure, sends_gradients_once
from scaling_model import MOST, PREDICTED_FOR, Rates, predict

COMPILED_FOR = (1, 2, 4, 8)
# Images per second that one core loads, of JPEG files and of prepared pixels
# (docs/results/speed.md).
CORE_RATES = (1685, 11608)


def print_results(results: list[dict], args) -> None:
    """Two tables: what was compiled, and what the model makes of it."""
    timing.print_table(
        f"Compiled train steps, {args.images} images per device",
        ["", "devices", "GFLOP/img", "all-reduces", "MB", "/ parameters", "others"],
        [
            [
                r["name"],
                c["devices"],
                c["gflop_per_image"],
                len(c["all_reduces"]),
                c["bytes"] / 1e6,
                c["bytes"] / r["parameter_bytes"],
                " ".join(f"{n} {kind}" for kind, n in c["others"].items()) or "none",
            ]
            for r in results
            for c in r["compiled"]
        ],
    )
    hosts = f"{args.devices_per_host} devices per host"
    print(
        f"\ngiven: {args.tflops:g} TFLOP/s per device; {hosts}; "
        f"{args.within_gb:g} GB/s and {args.within_us:g} us within, "
        f"{args.across_gb:g} GB/s and {args.across_us:g} us between hosts; "
        f"overlap {args.overlap:g}"
    )
    titles = {
        "weak": f"Weak scaling: {args.images} images per device and step",
        "strong": f"Strong scaling: {args.batch} images per step",
    }
    for kind, title in titles.items():
        efficiencies = [f"at {n}" for n in PREDICTED_FOR]
        timing.print_table(
            f"{title} (predicted)",
            [
                "",
                *efficiencies,
                f"pays to (>= {args.least:g})",
                "img/s then",
                "hosts",
                *(f"cores of each at {rate:g}/s" for rate in args.core_rates),
            ],
            [[r["name"], *_cells(r["predicted"][kind], args)] for r in results],
        )


def _cells(predicted: dict, args) -> list:
    largest, rate = predicted["pays_up_to"], predicted["images_per_sec"]
    hosts = -(-largest // args.devices_per_host)
    return [
        *(f"{e:.0%}" if e else None for e in predicted["efficiency"].values()),
        f"{MOST} or more" if largest == MOST else largest,
        rate,
        hosts,
        *(rate / hosts / of_core for of_core in args.core_rates),
    ]


def parse(argv: list[str]) -> argparse.Namespace:
    """The flags, with ``overrides`` of the configs."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    flag = parser.add_argument
    flag("--configs", default="p4m:small,p4m,p4m_resnet:exact,resnet:18,tund,dieleman")
    flag("--images", type=int, default=32, help="on each device (%(default)s)")
    flag("--batch", type=int, default=1024, help="strong scaling's (%(default)s)")
    flag("--least", type=float, default=0.5, help="efficiency that pays (%(default)s)")
    flag(
        "--tflops",
        type=float,
        default=100,
        help="of a device, achieved (%(default)s,"
        " a tenth of an H100's peak in bfloat16)",
    )
    flag("--within_gb", type=float, default=300, help="GB/s in a host (%(default)s)")
    flag("--across_gb", type=float, default=25, help="GB/s between hosts (%(default)s)")
    flag("--within_us", type=float, default=3, help="latency in a host (%(default)s)")
    flag("--across_us", type=float, default=10, help="between hosts (%(default)s)")
    flag("--devices_per_host", type=int, default=8, help="(%(default)s)")
    flag("--overlap", type=float, default=0.0, help="share hidden (%(default)s)")
    flag(
        "--core_rates",
        type=float,
        nargs=2,
        default=CORE_RATES,
        help="img/s of a core: JPEG, prepared pixels (%(default)s)",
    )
    flag("--json", type=Path, help="write the figures there, too")
    args, overrides = parser.parse_known_args(argv)
    wrong = [a for a in overrides if not a.startswith("--config.")]
    if wrong:
        parser.error(f"there is no {wrong[0]}")
    args.overrides = overrides
    return args


def make_rates(args) -> Rates:
    """In SI units."""
    return Rates(
        args.tflops * 1e12,
        args.within_gb * 1e9,
        args.across_gb * 1e9,
        args.within_us * 1e-6,
        args.across_us * 1e-6,
        args.devices_per_host,
        args.overlap,
    )


def main(argv: list[str]) -> int:
    """Compiles, predicts and prints; 1 if a step sends more than its gradients."""
    args = parse(argv)
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", max(COMPILED_FOR))
    rates, results = make_rates(args), []
    for name in args.configs.split(","):
        print(f"compiling {name}", flush=True)
        result = measure(name, args.overrides, COMPILED_FOR, args.images)
        result["predicted"] = predict(
            result, rates, args.images, args.batch, args.least
        )
        results.append(result)
    print_results(results, args)
    timing.write_json(
        args.json, {"given": dataclasses.asdict(rates), "configs": results}
    )
    bad = [r["name"] for r in results if not sends_gradients_once(r)]
    if bad:
        print(f"\nmore is sent than the gradients, once: {', '.join(bad)}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
