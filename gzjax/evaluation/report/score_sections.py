"""The parts of a page that say how good runs are: tables of ``evaluate``'s numbers."""

from collections.abc import Sequence

from gzjax.evaluation.report.html import Html, element, image, join, section, table
from gzjax.evaluation.report.run_report import RunReport
from gzjax.evaluation.report.score_pictures import CSS_PX, WIDTH, draw_questions

MEANINGS = {
    "RMSE": "the challenge's score: the root of the mean squared error over all vote "
    "fractions of all galaxies; smaller is better.",
    "training mean": "the RMSE of always answering the mean of the training galaxies, "
    "which takes no look at the image.",
    "ratio": "RMSE divided by that of the training mean: 1 is nothing learnt, 0 would "
    "be perfect.",
    "R": "how far the answers move, as RMSE, when the raw image is turned by 90, 180 "
    "and 270°; 0 is exact invariance.",
    "accuracy": "the share of galaxies whose most frequent answer to the first "
    "question is the one predicted.",
    "galaxies": "those that were scored. None of the split valid or test was trained "
    "on, if the data are those of the training (see their fingerprints below).",
    "step": "updates of the network before this checkpoint.",
    "parameters": "numbers that training adjusts.",
}


def summary(runs: Sequence[RunReport], note: str) -> Html:
    """One row for each run, and what the columns mean.

    Args:
        runs: at least one.
        note: what to mind when they are compared; "": nothing.
    """
    header = ["run", "RMSE", "training mean", "ratio", "R at quarter turns", "accuracy",
              "galaxies", "step", "parameters", "network", "maps averaged"]  # fmt: skip
    meanings = [
        join([element("dt", name), element("dd", text)])
        for name, text in MEANINGS.items()
    ]
    return section(
        "summary",
        "Summary",
        table("Scores of each run", header, map(_summary_row, runs)),
        element("p", note, class_="note") if note else "",
        element(
            "details",
            element("summary", "What the numbers mean"),
            element("dl", *meanings),
        ),
    )


def questions(runs: Sequence[RunReport]) -> Html:
    """RMSE per question, drawn and as tables; then of each answer."""
    first = runs[0].scores
    threshold = first["conditional"]["threshold"]
    names = [question.name for question in runs[0].tree.questions]
    header = ["", "training mean", *(run.name for run in runs)]
    absolute = [
        _score_row(name, first["training_mean"], [run.scores for run in runs],
                   "questions")
        for name in names
    ]  # fmt: skip
    shares = [
        [name, f"{first['conditional']['shares'][name]:.1%}",
         *_score_row(name, first["conditional"]["training_mean"],
                     [run.scores["conditional"]["model"] for run in runs],
                     "questions")[1:]]
        for name in names
    ]  # fmt: skip
    return section(
        "questions",
        "Questions",
        element(
            "p",
            "A vote fraction is the share of all volunteers who gave an answer; it is "
            "small, and easy to predict, where the question was hardly asked. The "
            "share among those who were asked says how well a question is answered "
            f"where it matters: for the galaxies of which at least {threshold:.0%} of "
            "the volunteers were asked.",
        ),
        element("div", *(_bars(runs, kind) for kind in (False, True)), class_="plots"),
        element(
            "details",
            element("summary", "The same as tables"),
            table("RMSE of the vote fractions, per question", header, absolute),
            table(
                "RMSE of the shares among those asked, per question; and the share of "
                "galaxies for which it matters",
                ["", "matters for", *header[1:]],
                shares,
            ),
        ),
        element(
            "details",
            element(
                "summary", f"RMSE of each of the {runs[0].tree.num_answers} answers"
            ),
            _answers(runs),
        ),
    )


def _bars(runs, conditional):
    what = "shares among those asked" if conditional else "vote fractions"
    return image(
        draw_questions(runs, conditional),
        f"Bars: RMSE of the {what}, per question, of the training mean and of each "
        "run; the numbers are in the tables below",
        round(WIDTH * CSS_PX),
    )


def _answers(runs):
    first = runs[0].scores
    rows = [
        _score_row(
            name, first["training_mean"], [run.scores for run in runs], "answers"
        )
        + _score_row(
            name,
            first["conditional"]["training_mean"],
            [run.scores["conditional"]["model"] for run in runs],
            "answers",
        )[1:]
        for name in runs[0].tree.answer_names
    ]
    who = ["training mean", *(run.name for run in runs)]
    header = [f"{name}: {kind}" for kind in ("fractions", "shares") for name in who]
    return table(
        "RMSE of each answer's vote fraction, and of its share among those asked",
        ["answer", *header],
        rows,
    )


def _score_row(name, mean, scores, kind):
    values = [mean[kind][name], *(score[kind][name] for score in scores)]
    return [name, *map(_number, values)]


def _number(value):
    return "–" if value is None else f"{value:.4f}"


def _summary_row(run):
    scores = run.scores
    mean = scores["training_mean"]["rmse"]
    report = scores["classification"]["report"]
    network = run.run["config"]["model"]["name"] if run.run else "–"
    return [
        run.name,
        f"{scores['rmse']:.5f}",
        f"{mean:.5f}",
        f"{scores['rmse'] / mean:.3f}" if mean else "–",
        f"{scores['rotation_robustness']:.2e}",
        f"{report['accuracy']:.3f}" if report else "–",
        f"{scores['galaxies']:,}",
        f"{scores['step']:,}",
        "–" if run.num_params is None else f"{run.num_params:,}",
        network,
        f"{scores['maps']} ({scores['averaging']})",
    ]
