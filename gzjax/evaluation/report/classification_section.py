"""The part of a page that takes the first question for a classification."""

from collections.abc import Sequence

from gzjax.evaluation.report.html import Html, element, section, table
from gzjax.evaluation.report.run_report import RunReport


def first_question(runs: Sequence[RunReport]) -> Html:
    """Confusion matrix and classification report of each run."""
    parts = []
    for run in runs:
        found = run.scores["classification"]
        parts += [element("h3", run.name), _classification(found)]
    name = runs[0].scores["classification"]["question"]
    return section(
        "classification",
        f"The first question as a classification: {name}",
        element("p", "The class of a galaxy is its most frequent answer."),
        *parts,
    )


def _classification(found):
    classes = found["classes"]
    if found["report"] is None:
        return element("p", "No galaxy was asked this question.")
    matrix = [
        [name, *(_shaded(count, sum(row)) for count in row)]
        for name, row in zip(classes, found["confusion"], strict=True)
    ]
    report = found["report"]
    rates = ("precision", "recall", "f1-score")
    rows = [
        [name, *(f"{report[name][rate]:.3f}" for rate in rates),
         report[name]["support"]]
        for name in (*classes, "macro avg", "weighted avg")
    ]  # fmt: skip
    return element(
        "div",
        table(
            "Confusion matrix: observed class (rows) and predicted class (columns); "
            "galaxies, and their share of the row",
            ["observed", *classes],
            matrix,
        ),
        table(
            f"Classification report; accuracy {report['accuracy']:.3f}",
            ["class", "precision", "recall", "F1", "support"],
            rows,
        ),
        class_="tables",
    )


def _shaded(count, total):
    share = count / total if total else 0.0
    style = f"background:rgba(var(--heat),{share / 2:.3f})"
    text = f"{count} ({share:.0%})" if total else count
    return element("span", text, class_="share", style=style)
