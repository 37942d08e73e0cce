"""Writes the table of a comparison, as Markdown that also reads well on a terminal."""

from gzjax.evaluation.compare.scores import (
    NO_AVERAGING,
    RATE,
    RMSE,
    RMSE_AVERAGED,
    ROBUSTNESS,
    ROBUSTNESS_15,
)

BASELINE = "training mean"
_NONE = "–"


def markdown(comparison: dict) -> str:
    """Returns the table, by RMSE, and below it one line on the conditions.

    There is a row for each system with a score, and one for the training mean among
    them; then those that failed with every seed, with the reason. ``comparison`` is the
    content of :class:`gzjax.evaluation.compare.record.Comparison`.
    """
    averaging = comparison["budget"]["averaging"]
    header = ["system", "parameters", "RMSE", f"RMSE, {averaging}", "R", "R15", "img/s"]
    rows = [header, *(_row(system) for system in _by_rmse(comparison))]
    if averaging == NO_AVERAGING:
        for row in rows:
            del row[3]
    return _aligned(rows) + f"\n{conditions(comparison)}\n"


def conditions(comparison: dict) -> str:
    """Returns one line: budget, data, hardware, date, and what the numbers mean."""
    budget, data = comparison["budget"], comparison["data"]
    images = budget["num_steps"] * budget["batch_size"]
    galaxies = data["galaxies"]
    changed = "".join(f", {k}={v}" for k, v in budget["overrides"].items())
    machines, dates = _machines(comparison)
    return (
        f"Budget: {images:,} training images each ({budget['num_steps']:,} steps of "
        f"{budget['batch_size']}{changed}). Data: {comparison['source']} "
        f"({data['fingerprint'][:8]}), {galaxies['train']:,} galaxies to train on, "
        f"{galaxies['valid']:,} to validate. ± is the standard deviation over seeds; "
        "with one seed, in brackets, a 95 % bootstrap interval over galaxies. R: "
        "quarter turns, R15: every 15°, both without averaging. "
        f"Trained on {machines}; {dates}."
    )


def _machines(comparison) -> tuple[str, str]:
    runs = [run for system in comparison["systems"] for run in system["runs"]]
    used = [run["machine"] for run in runs] or [comparison["machine"]]
    texts = dict.fromkeys(
        f"{m['devices']} x {m['device']} ({m['cpus']} CPUs, JAX {m['jax']})"
        for m in used
    )
    dates = sorted({m["date"] for m in used})
    return " or ".join(texts), " to ".join(dict.fromkeys((dates[0], dates[-1])))


def _by_rmse(comparison) -> list[dict]:
    systems = [s for s in comparison["systems"] if s["runs"]]
    mean = comparison.get("training_mean")
    if mean is not None:
        systems.append({"name": BASELINE, "summary": {RMSE: {"value": mean}}})

    def key(system):
        score = system["summary"].get(RMSE)
        return (score is None, score["value"] if score else 0.0, system["name"])

    return sorted(systems, key=key)


def _row(system) -> list[str]:
    scores = system["summary"]
    failed = [run for run in system.get("runs", ()) if "failed" in run]
    why = "; ".join(f"seed {run['seed']} failed: {run['failed']}" for run in failed)
    score = _score(scores.get(RMSE))
    return [
        system["name"],
        f"{system['parameters']:,}" if "parameters" in system else _NONE,
        " ".join(filter(None, (score if scores else "", why))).replace("|", "\\|"),
        _score(scores.get(RMSE_AVERAGED)),
        *(
            f"{scores[key]['value']:.1e}" if key in scores else _NONE
            for key in (ROBUSTNESS, ROBUSTNESS_15)
        ),
        f"{scores[RATE]['value']:,.0f}" if RATE in scores else _NONE,
    ]


def _score(entry) -> str:
    if not entry:
        return _NONE
    text = f"{entry['value']:.5f}"
    if "sd" in entry:
        return f"{text} ± {entry['sd']:.5f} ({entry['seeds']} seeds)"
    if "low" in entry:
        return f"{text} ({entry['low']:.5f} .. {entry['high']:.5f})"
    return text


def _aligned(rows: list[list[str]]) -> str:
    """Returns the lines of a table whose first row is the header."""
    widths = [max(4, *map(len, column)) for column in zip(*rows, strict=True)]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    lines = []
    for row in (rows[0], rule, *rows[1:]):
        (name, *cells), (first, *others) = row, widths
        padded = [c.rjust(w) for c, w in zip(cells, others, strict=True)]
        lines.append(f"| {' | '.join([name.ljust(first), *padded])} |\n")
    return "".join(lines)
