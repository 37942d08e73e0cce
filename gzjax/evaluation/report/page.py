"""The whole page: one HTML file that needs nothing but itself."""

import json
from collections.abc import Sequence

from gzjax.evaluation.report import curve_sections, galaxy_sections, score_sections
from gzjax.evaluation.report.classification_section import first_question
from gzjax.evaluation.report.html import Html, code, element, section, table
from gzjax.evaluation.report.run_report import RunReport
from gzjax.evaluation.report.stylesheet import CSS

TITLE = "Galaxy Zoo networks"


def make_page(
    runs: Sequence[RunReport], label: str, study: dict | None, with_maps: bool
) -> str:
    """The page as text, a function of its arguments alone.

    Args:
        runs: at least one, of one decision tree.
        label: of the evaluations.
        study: of :func:`gzjax.evaluation.robustness.robustness`; None: leave the part
            out.
        with_maps: whether there is a part with activation maps.
    """
    parts = [
        ("summary", "Summary", score_sections.summary(runs, _compared(runs))),
        ("questions", "Questions", score_sections.questions(runs)),
        ("reliability", "Reliability", curve_sections.reliability(runs)),
        ("classification", "First question", first_question(runs)),
        ("learning", "Learning curves", curve_sections.learning(runs)),
        ("robustness", "Robustness", study and curve_sections.robustness(study)),
        ("galaxies", "Galaxies", galaxy_sections.galaxies(runs)),
        ("maps", "Activation maps",
         with_maps and galaxy_sections.activation_maps(runs)),
        ("provenance", "Provenance", _provenance(runs)),
    ]  # fmt: skip
    parts = [part for part in parts if part[2]]
    anchors = [
        element("li", element("a", name, href=f"#{anchor}"))
        for anchor, name, _ in parts
    ]
    names = ", ".join(run.name for run in runs)
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", f"{TITLE}: {names}"),
        element("style", Html(CSS)),
    )
    body = element(
        "body",
        element(
            "header",
            element("h1", TITLE),
            element("p", f"Evaluation {label} of {names}"),
            element("nav", element("ul", *anchors), aria_label="Contents"),
        ),
        element("main", *(part for *_, part in parts)),
    )
    return "<!DOCTYPE html>\n" + element("html", head, body, lang="en") + "\n"


def _compared(runs):
    """What to mind when these runs are compared."""
    same = [run.targets.ids.tolist() == runs[0].targets.ids.tolist() for run in runs]
    if not all(same):
        return (
            "These runs were not scored on the same galaxies: compare the ratios, and "
            "with care. The training mean beside several runs is that of the first."
        )
    means = {run.scores["training_mean"]["rmse"] for run in runs}
    if len(means) > 1:
        return "The training mean beside several runs is that of the first."
    return ""


def _provenance(runs):
    parts = []
    for run in runs:
        scores = run.scores
        rows = [
            ["folder", run.folder],
            ["step", scores["step"]],
            ["split", scores["split"]],
            ["maps averaged", f"{scores['maps']} ({scores['averaging']})"],
            ["data", scores["data"]],
            ["fingerprint of the data", scores["fingerprint"]],
        ]
        known = run.run or {}
        if run.run:
            rows.append(["fingerprint of the training data", known["fingerprint"]])
            rows.append(["trained on", known["backend"]])
            versions = known["versions"].items()
            rows.append(["versions", ", ".join(f"{k} {v}" for k, v in versions)])
        parts += [
            element("h3", run.name),
            table(
                "What was evaluated, and with what it was trained",
                ["what", "value"],
                rows,
                "facts",
            ),
            element("p", "To evaluate it again:"),
            code(run.command),
        ]
        if run.run:
            text = json.dumps(known["config"], indent=2, sort_keys=True)
            parts.append(
                element(
                    "details",
                    element("summary", "Config"),
                    code(text),
                )
            )
    return section("provenance", "Provenance", *parts)
