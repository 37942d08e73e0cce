"""Prints the scores of an evaluation as tables in the terminal."""

from pathlib import Path

from gzjax.progress import console


def print_scores(result: dict, files: dict[str, Path]) -> None:
    """Prints what :func:`gzjax.evaluation.evaluate.score` found, and where it lies."""
    if console.quiet:
        return
    print(_question_table(result))
    rmse, mean = result["rmse"], result["training_mean"]["rmse"]
    found = result["classification"]
    accuracy, f1 = found["report"]["accuracy"], found["report"]["macro avg"]["f1-score"]
    rows = [
        ("galaxies", f"{result['galaxies']} ({result['split']})"),
        ("checkpoint", f"step {result['step']}"),
        ("maps averaged", f"{result['maps']} ({result['averaging']})"),
        ("RMSE", f"{rmse:.5f}"),
        ("RMSE of the training mean", f"{mean:.5f} (ratio {rmse / mean:.3f})"),
        ("R at quarter turns", f"{result['rotation_robustness']:.2e}"),
        (
            "R15, every 15°",
            f"{result['rotation_robustness_15deg']:.2e} "
            f"({result['galaxies_15deg']} galaxies)",
        ),
        (f"accuracy {found['question']}", f"{accuracy:.3f} (macro F1 {f1:.3f})"),
        *(("answered 0 throughout", name) for name in result["dead_questions"]),
        *((name, str(path)) for name, path in files.items()),
    ]
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        print(f"{name:<{width}}  {value}")


def _question_table(result) -> str:
    """Returns lines: RMSE of the fractions, of the training mean's, then of shares."""
    conditional = result["conditional"]
    mean = result["training_mean"]["questions"]
    shares, mean_shares = (
        conditional[who]["questions"] for who in ("model", "training_mean")
    )
    width = max(20, *map(len, result["questions"]))
    lines = [
        f"{'':{width}} {'RMSE of vote fractions':^23} {'of shares of those asked':^24}",
        f"{'question':{width}} {'model':>7} {'mean':>7} {'ratio':>7} "
        f"{'model':>7} {'mean':>7} {'matters':>8}",
    ]
    for name, x in result["questions"].items():
        ratio = x / mean[name] if mean[name] else None
        row = (x, mean[name], ratio, shares[name], mean_shares[name])
        numbers = " ".join("      –" if n is None else f"{n:7.4f}" for n in row)
        lines.append(f"{name:{width}} {numbers} {conditional['shares'][name]:8.1%}")
    lines.append(
        "mean: of always answering the training mean; matters: galaxies of which at "
        "least half were asked\n"
    )
    return "\n".join(lines)
