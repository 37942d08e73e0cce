"""Measures a network for its card, and writes the card.

    python benchmarks/model_card.py --workdir=RUN --data=GALAXIES --output=FOLDER
        [--originals=FOLDER] [--pixel_scale=2]

GALAXIES are labelled galaxies of which the run's validation split was held out. The
numbers go to FOLDER/card.json, and with the words of ``model_card.md`` beside this file
to FOLDER/CARD.md. ORIGINALS are galaxies of GALAXIES at 424 px: answers are compared.
Without --workdir only the words are written anew.
"""

import argparse
import json
from pathlib import Path

import jinja2
import numpy as np

import gzjax
from gzjax.data.detections.find_galaxy import detect_galaxy
from gzjax.data.vote_files import read_votes
from gzjax.evaluation.calibration.storage import find_calibration
from gzjax.evaluation.evaluate import evaluate
from gzjax.evaluation.robustness import robustness
from gzjax.files import write_json, write_text
from gzjax.training import run_files as layout
from gzjax.training.open_run import open_run, read_run, use_data

SIZE_BINS = 5


def by_size(args, votes, targets) -> list[dict]:
    """Scores the held-out galaxies in bins of equal number by Petrosian radius."""
    change = use_data(args.workdir, args.data, args.pixel_scale, "")
    source = open_run(read_run(args.workdir), change).experiment.source
    rows = np.searchsorted(source.ids, votes.ids)
    scale = args.pixel_scale or source.pixel_scale
    radius = np.array(
        [detect_galaxy(source.decode(i), 2.0, scale).radius_px for i in rows]
    )
    known = np.flatnonzero(np.isfinite(radius))
    order = known[np.argsort(radius[known], kind="stable")]
    error = (votes.votes - targets.votes) ** 2
    spread = (targets.votes - targets.votes.mean(axis=0)) ** 2
    return [
        {
            "radius_px": [float(radius[part[0]]), float(radius[part[-1]])],
            "galaxies": len(part),
            "rmse": float(np.sqrt(error[part].mean())),
            "spread": float(np.sqrt(spread[part].mean())),
        }
        for part in np.array_split(order, SIZE_BINS)
    ]


def two_sizes(args) -> dict:
    """Compares the answers for galaxies at 424 px with those for their copies."""
    predictor = gzjax.load(args.workdir)
    originals = sorted(Path(args.originals).rglob("*.jpg"))
    change = use_data(args.workdir, args.data, args.pixel_scale, "")
    source = open_run(read_run(args.workdir), change).experiment.source
    rows = {str(name): i for i, name in enumerate(source.ids)}
    both = [path for path in originals if path.stem in rows]
    fine = predictor(both).votes
    coarse = predictor([source.decode(rows[path.stem]) for path in both]).votes
    apart = np.abs(fine - coarse)
    return {
        "galaxies": len(both),
        "rms": float(np.sqrt((apart**2).mean())),
        "p99": float(np.quantile(apart, 0.99)),
        "largest_of_a_galaxy_median": float(np.median(apart.max(axis=1))),
    }


def measure(args) -> dict:
    options = {"data": args.data, "pixel_scale": args.pixel_scale}
    scores = evaluate(args.workdir, averaging="none", **options)
    averaged = evaluate(args.workdir, averaging="half2", **options)
    folder = layout.results_folder(args.workdir)
    votes = read_votes(folder / layout.predictions_name("valid-none"))
    targets = read_votes(folder / layout.targets_name("valid-none"))
    turned = {
        name: robustness(
            [args.workdir], averaging=name, output=args.scratch / name, **options
        )["models"][0]
        for name in ("none", "half2")
    }
    run = read_run(args.workdir)
    keys = ("robustness", "any_angle", "other_angles")
    card = {
        "about": "Galaxy Zoo 2, by a D12 network with steerable filters",
        "step": run.step,
        "images_seen": run.step * run.run["config"]["batch_size"],
        "fingerprint": run.run["fingerprint"],
        "versions": run.run["versions"],
        "seed": run.run["config"]["seed"],
        "parameters": num_parameters(args.workdir),
        "answers": list(gzjax.load(args.workdir).names),
        "questions": list(scores["questions"]),
        "scores": {k: v for k, v in scores.items() if k not in ("tree", "data")},
        "rmse_half2": averaged["rmse"],
        "turned": {
            name: {key: study[key] for key in keys} for name, study in turned.items()
        },
        "by_size": by_size(args, votes, targets),
    }
    if args.originals:
        card["two_sizes"] = two_sizes(args)
    if calibration := find_calibration(run):
        card["calibration"] = calibration.about
        card["kinds"] = list(calibration.about["flagged"])
        card["coverage"] = of_answers(calibration.about["coverage"], card["answers"])
    return card


def of_answers(shares: list[float], answers: list[str]) -> dict:
    """Returns the mean and the extremes of numbers, one for each answer."""
    low, high = int(np.argmin(shares)), int(np.argmax(shares))
    return {
        "mean": float(np.mean(shares)),
        "least": answers[low],
        "low": shares[low],
        "most": answers[high],
        "high": shares[high],
    }


def num_parameters(workdir) -> int:
    import jax

    params = gzjax.load(workdir).variables["params"]
    return sum(x.size for x in jax.tree.leaves(params))


def render(card: dict) -> str:
    """Returns the card's text."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("model_card.md").render(card)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--workdir")
    parser.add_argument("--data")
    parser.add_argument("--pixel_scale", type=float)
    parser.add_argument("--originals")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--scratch", type=Path, default=Path("runs/model_card"))
    args = parser.parse_args()
    numbers = args.output / layout.CARD_NUMBERS
    if args.workdir:
        args.output.mkdir(parents=True, exist_ok=True)
        write_json(numbers, measure(args))
    write_text(args.output / layout.CARD, render(json.loads(numbers.read_text())))
    print(f"written: {args.output / layout.CARD}")


if __name__ == "__main__":
    main()
