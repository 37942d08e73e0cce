"""The parts of a page that are mostly curves: reliability, learning, robustness."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from gzjax.evaluation.report.html import Html, element, figure, image, section, table
from gzjax.evaluation.report.robustness_pictures import draw_curves, draw_polar
from gzjax.evaluation.report.run_report import RunReport
from gzjax.evaluation.report.score_pictures import (
    CSS_PX,
    PANEL,
    WIDTH,
    draw_learning,
    draw_reliability,
)

LEARNING = {
    "train/loss": "training loss",
    "valid/rmse": "RMSE on the validation split",
    "img_per_sec": "training images per second",
}


def reliability(runs: Sequence[RunReport]) -> Html:
    """Reliability curves, pooled and per question, with their gaps."""
    found = [run.scores["reliability"] for run in runs]
    names = [run.name for run in runs]
    panels = [
        image(
            draw_reliability([x["conditional"][q.name] for x in found], q.name),
            f"Reliability curves of {q.name}: observed over predicted share",
            round(PANEL * CSS_PX),
        )
        for q in runs[0].tree.questions
    ]
    rows = [["all fractions", *(_gap(x["absolute"]) for x in found)]]
    rows += [
        [q.name, *(_gap(x["conditional"][q.name]) for x in found)]
        for q in runs[0].tree.questions
    ]
    pooled = image(
        draw_reliability([x["absolute"] for x in found], "all vote fractions", names),
        "Reliability curves of all vote fractions: observed over predicted",
        round(WIDTH * CSS_PX),
    )
    return section(
        "reliability",
        "Reliability",
        element(
            "p",
            "Do galaxies predicted a share of 0.3 have 0.3 on average? Then the curve "
            "lies on the grey diagonal; above it, predictions are too small. Bars are "
            "standard errors. The gap is the mean distance from the diagonal, weighted "
            "with the numbers of each bin.",
        ),
        element("div", pooled, class_="plots"),
        element("h3", "Shares among those asked, per question"),
        element("div", *panels, class_="panels"),
        table("Gap between predicted and observed", ["", *names], rows),
    )


def learning(runs: Sequence[RunReport]) -> Html:
    """What the runs wrote while they were trained."""
    pictures = []
    for key, title in LEARNING.items():
        having = [run for run in runs if run.curves.get(key)]
        if having:
            names = [run.name for run in having]
            curves = [run.curves[key] for run in having]
            picture = draw_learning(curves, names, title)
            pictures.append(
                image(picture, f"Curves: {title} over the step of training",
                      round(WIDTH * CSS_PX))
            )  # fmt: skip
    content = (
        element("div", *pictures, class_="plots")
        if pictures
        else element("p", "The runs hold no metrics.jsonl with learning curves.")
    )
    return section(
        "learning",
        "Learning curves",
        element("p", "Long curves are drawn faint, and their running means on top."),
        content,
    )


def robustness(study: dict) -> Html:
    """The rotation-robustness study.

    Args:
        study: of :func:`gzjax.evaluation.robustness.robustness`.
    """
    rows = [
        [model["name"], f"{model['step']:,}", _interval(model["robustness"], ".2e"),
         _interval(model["any_angle"], ".2e")]
        for model in study["models"]
    ]  # fmt: skip
    return section(
        "robustness",
        "Robustness to rotation",
        element(
            "p",
            f"Of {study['galaxies']:,} galaxies ({study['split']}) the raw image was "
            "turned, mirrored and enlarged before it was cropped; nothing was "
            "averaged. Intervals are 95 % bootstrap intervals over galaxies.",
        ),
        table(
            "R: root mean square change of the answers",
            ["run", "step", "at quarter turns", "over all angles"],
            rows,
        ),
        *_above(study),
        *_pictures(study),
    )


def _above(study):
    """Table 4 of Cao & Chen, where there is a run beside the reference."""
    compared = [model for model in study["models"] if "above_reference" in model]
    if not compared:
        return []
    rows = [
        [f"{model['name']}, {kind.replace('_', ' ')}",
         *(_interval(row, ".1%", "share") for row in shares)]
        for model in compared
        for kind, shares in model["above_reference"].items()
    ]  # fmt: skip
    thresholds = next(iter(compared[0]["above_reference"].values()))
    return [
        table(
            "Share of galaxies whose answers move more than those of "
            f"{study['reference']}, by at least so much",
            ["run", *(f"≥ {row['threshold']:g}" for row in thresholds)],
            rows,
        )
    ]


def _pictures(study):
    drawn = (
        (draw_curves, 11, "Change of the answers over the angle by which the image is "
         "turned (triangles: mirrored, then turned), and over its enlargement."),
        (draw_polar, 4 * min(3, len(study["models"])), "Each quadrangle is a galaxy: "
         "at 0, 90, 180 and 270° its radius is the mean of all answers for the image "
         "turned so. Equal answers make a square."),
    )  # fmt: skip
    for draw, inches, caption in drawn:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "picture.png")
            draw(study, path)
            picture = image(path.read_bytes(), caption, round(inches * CSS_PX * 0.8))
        box = element("div", picture, class_="scroll", tabindex=0, role="region",
                      aria_label=caption)  # fmt: skip
        yield figure(box, caption)


def _interval(row, form, key="mean"):
    return f"{row[key]:{form}} ({row['low']:{form}} – {row['high']:{form}})"


def _gap(curve):
    return "–" if curve["gap"] is None else f"{curve['gap']:.4f}"
