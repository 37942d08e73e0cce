"""What ``gpu.py`` prints at the end: checks and figures, as Markdown."""

import fed_step
import timing
import train_step
from gpu_checks import holds
from gpu_results import Results

STEPS = ["config", "batch", "ms", "img/s", "of peak", "memory, GB", "compiled, s"]


def report(results: Results) -> int:
    """Prints all tables; returns the exit code."""
    measured = {name: results.result(name) for name in results.plan}
    measured = {name: result for name, result in measured.items() if result}
    checks = [c for result in measured.values() for c in result.get("checks", ())]
    if checks:
        timing.print_table(
            "Checks",
            ["", "found", "at most", "holds"],
            [
                [
                    c["what"],
                    f"{c['value']:.1e}",
                    c["limit"],
                    "yes" if holds(c) else "NO",
                ]
                for c in checks
            ],
        )
    if "peak" in measured:
        timing.print_table(
            "Matrix products",
            ["type", "TFLOP/s"],
            [[kind, peak / 1e3] for kind, peak in measured["peak"].items()],
        )
    print_steps(measured)
    print_rest(measured)
    failed = [n for n in results.plan if "failed" in results.of(n)]
    for name in results.plan:
        entry = results.of(name)
        if "result" not in entry:
            why = entry.get("failed") or entry.get("left_out", "there was no time")
            print(f"{name}: {'FAILED' if 'failed' in entry else 'left out'}: {why}")
    print(f"{len(measured)} of {len(results.plan)} parts are in {results.path}")
    return int(bool(failed) or not all(map(holds, checks)))


def print_steps(measured: dict) -> None:
    """Prints a row for each config and type."""
    rows = []
    for name, r in measured.items():
        if not name.startswith("step "):
            continue
        over = train_step.beside_fastest(r)
        torch_ms = [r["times"][kind]["median_ms"] for kind in r["over"]]
        rows.append(
            [
                name.removeprefix("step "),
                r["batch"],
                r["times"]["gzjax"]["median_ms"],
                r["images_per_sec"],
                train_step.percent(r["share_of_peak"]),
                r["memory_mb"]["gzjax"] / 1e3,
                r["compile_seconds"],
                min(torch_ms, default=None),
                over.get("wall"),
                over.get("memory"),
                ", ".join(map(str, r["out_of_memory_with"])) or None,
            ]
        )
    if rows:
        timing.print_table(
            "Training steps, and ratios to the fastest of PyTorch's layouts",
            [*STEPS, "torch ms", "gzjax/torch", "memory", "no memory for"],
            rows,
        )
    steps = [r["torch"] for name, r in measured.items() if name.startswith("step ")]
    for error in {known.get("compiler_error") for known in steps} - {None}:
        print(f"torch.compile: {error}")


def print_rest(measured: dict) -> None:
    """Prints the fed step, prediction and training."""
    for name, fed in measured.get("fed", {}).items():
        title = f"p4m in bfloat16, fed from {name}"
        fed_step.print_results(title, fed["batch"], fed)
    if "prediction" in measured:
        r = measured["prediction"]
        print(
            f"\npredict, p4m:small: {r['images']:,} images in {r['seconds']:.0f} s, "
            f"{r['images_per_sec']:.0f} img/s; {r['host_peak_mib']:.0f} MiB of the host"
        )
    if "training" in measured:
        r = measured["training"]
        print(
            f"training, p4m:demo: {r['steps']} steps of {r['batch']} in "
            f"{r['seconds']:.0f} s with compiling, at most {r['images_per_sec']:.0f} "
            f"img/s; RMSE {r['curve'][0]:.4f}, at the end {r['rmse']:.4f}"
        )
