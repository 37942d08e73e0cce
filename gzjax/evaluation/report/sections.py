"""Returns what the page's sections show of runs as a whole: numbers, and pictures."""

import json
from collections.abc import Sequence

from gzjax.evaluation.report.pictures import (
    draw_learning,
    draw_questions,
    draw_reliability,
)
from gzjax.evaluation.report.runs import RunReport
from gzjax.evaluation.robustness_pictures import averaged_words, draw_curves, draw_polar

LEARNING = {
    "train/loss": "training loss",
    "valid/rmse": "RMSE on the validation split",
    "img_per_sec": "training images per second",
}


def summary(runs: Sequence[RunReport]) -> dict:
    """Returns a row for each run, and what to mind when they are compared."""
    return {"rows": [_summary_row(run) for run in runs], "notes": _compared(runs)}


def questions(runs: Sequence[RunReport]) -> dict:
    """Returns the RMSE of each question, drawn and as rows, and of each answer."""
    tree, first = runs[0].tree, runs[0].scores
    conditional = first["conditional"]
    matters = conditional["shares"]
    absolute = [first["training_mean"], *(run.scores for run in runs)]
    relative = [conditional["training_mean"]]
    relative += [run.scores["conditional"]["model"] for run in runs]
    names = [question.name for question in tree.questions]
    fractions = {q: [x["questions"][q] for x in absolute] for q in names}
    shares = {q: [x["questions"][q] for x in relative] for q in names}
    bars = {f"{q}\n{matters[q]:.0%} of galaxies": row for q, row in shares.items()}
    who = ["training mean", *(run.name for run in runs)]
    return {
        "who": who,
        "threshold": conditional["threshold"],
        "fractions": [[q, *row] for q, row in fractions.items()],
        "fractions_png": draw_questions(fractions, who, "RMSE of vote fractions"),
        "shares": [[q, matters[q], *row] for q, row in shares.items()],
        "shares_png": draw_questions(bars, who, "RMSE of shares of those asked"),
        "kinds_of_answers": [f"{x}: {k}" for k in ("fractions", "shares") for x in who],
        "answers": [
            [name, *(x["answers"][name] for x in (*absolute, *relative))]
            for name in tree.answer_names
        ],
    }


def reliability(runs: Sequence[RunReport]) -> dict:
    """Returns reliability curves, pooled and of each question, and their gaps."""
    found = [run.scores["reliability"] for run in runs]
    pooled = [x["absolute"] for x in found]
    curves = {
        question.name: [x["conditional"][question.name] for x in found]
        for question in runs[0].tree.questions
    }
    gaps = {"all fractions": pooled} | curves
    names = [run.name for run in runs]
    return {
        "pooled_png": draw_reliability(pooled, "all vote fractions", names),
        "panels": [(name, draw_reliability(x, name)) for name, x in curves.items()],
        "gaps": [[name, *(curve["gap"] for curve in x)] for name, x in gaps.items()],
    }


def classification(runs: Sequence[RunReport]) -> dict:
    """Returns the confusion matrix and the rates of each run, as rows."""
    return {
        "question": runs[0].scores["classification"]["question"],
        "runs": [(run.name, *_classification(run.scores)) for run in runs],
    }


def learning(runs: Sequence[RunReport]) -> dict:
    """Returns the curves that runs wrote while they were trained."""
    pictures = []
    for key, title in LEARNING.items():
        curves = {run.name: run.curves[key] for run in runs if run.curves.get(key)}
        if curves:
            picture = draw_learning([*curves.values()], [*curves], title)
            pictures.append((title, picture))
    return {"pictures": pictures}


def robustness(study: dict) -> dict:
    """Returns the tables and pictures of the rotation-robustness study."""
    models = study["models"]
    # Table 4 of Cao & Chen, of the runs beside the reference.
    above = [
        (f"{model['name']}, {kind.replace('_', ' ')}", shares)
        for model in models
        for kind, shares in model.get("above_reference", {}).items()
    ]
    return {
        "study": study,
        "averaged": averaged_words(study),
        "rows": [
            [
                x["name"],
                x["step"],
                *map(_interval, (x["robustness"], x["any_angle"])),
                x.get("other_angles") and _interval(x["other_angles"]),
            ]
            for x in models
        ],
        "thresholds": [f"≥ {row['threshold']:g}" for _, x in above[:1] for row in x],
        "above": [
            [name, *(_interval(x, "share") for x in rows)] for name, rows in above
        ],
        "curves_png": draw_curves(study),
        "polar_png": draw_polar(study),
    }


def provenance(runs: Sequence[RunReport]) -> dict:
    """Returns the runs, each with its config as JSON, or None if that is unknown."""

    def config(run):
        return run.run and json.dumps(run.run["config"], indent=2, sort_keys=True)

    return {"runs": [(run, config(run)) for run in runs]}


def _summary_row(run):
    scores = run.scores
    mean = scores["training_mean"]["rmse"]
    report = scores["classification"]["report"]
    return [
        run.name,
        scores["rmse"],
        mean,
        scores["rmse"] / mean if mean else None,
        scores["rotation_robustness"],
        scores.get("rotation_robustness_15deg"),
        report and report["accuracy"],
        scores["galaxies"],
        scores["step"],
        run.num_params,
        run.run and run.run["config"]["model"]["name"],
        f"{scores['maps']} ({scores['averaging']})",
    ]


def _compared(runs):
    mean = "The training mean beside several runs is that of the first."
    ids = runs[0].targets.ids.tolist()
    if any(run.targets.ids.tolist() != ids for run in runs):
        return [
            "These runs were not scored on the same galaxies: compare the ratios, and "
            f"with care. {mean}"
        ]
    means = {run.scores["training_mean"]["rmse"] for run in runs}
    return [mean] if len(means) > 1 else []


def _classification(scores):
    found = scores["classification"]
    classes, report = found["classes"], found["report"]
    confusion = [
        [name, *(_cell(count, sum(row)) for count in row)]
        for name, row in zip(classes, found["confusion"], strict=True)
    ]
    kinds = ("precision", "recall", "f1-score", "support")
    rates = [
        [name, *(report[name][kind] for kind in kinds)]
        for name in (*classes, "macro avg", "weighted avg")
        if report
    ]
    return found, confusion, rates


def _cell(count, total):
    share = count / total if total else 0.0
    return {"share": share, "text": f"{count} ({share:.0%})" if total else str(count)}


def _interval(row, key="mean"):
    return row[key], row["low"], row["high"]
