"""Pictures of scores, small enough for a phone; as PNG in memory."""

import io
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from gzjax.evaluation.report.pictures import COLOURS, make_figure, style
from gzjax.evaluation.report.run_report import Curve, RunReport

WIDTH = 4.8  # inches; text of 9 pt is still read when a phone shrinks that to 350 px
PANEL = 2.4
CSS_PX = 96  # in an inch
_DPI = 150
_SMALL = 9
_NAME = 44  # characters of a run's name in a legend
_BAR = 0.11  # inches
_HATCHES = ("", "///", "...", "xxx")
_SMOOTH_FROM = 200  # points of a curve; beyond, noise would hide it
_WINDOWS = 50  # along a curve that is smoothed


def png(figure: Figure) -> bytes:
    """The figure as a file; the same figure gives the same bytes."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=_DPI)
    return file.getvalue()


def draw_questions(runs: Sequence[RunReport], conditional: bool) -> bytes:
    """RMSE per question, a bar for the training mean and one for each run.

    Args:
        runs: at least one, of one tree; the training mean is the first one's.
        conditional: of the shares among those asked, instead of the fractions.
    """
    scores = [
        run.scores["conditional"]["model"] if conditional else run.scores
        for run in runs
    ]
    first = runs[0].scores
    mean = (first["conditional"] if conditional else first)["training_mean"]
    names = [question.name for question in runs[0].tree.questions]
    height = (len(runs) + 2.2) * _BAR
    legend = 0.2 * (len(runs) + 1)
    figure = make_figure(WIDTH, len(names) * height + legend + 0.6)
    axes = figure.subplots()
    places = np.arange(len(names))
    kinds = [{"color": "#9a9a9a"}, *map(_bar_style, range(len(runs)))]
    for i, (values, kind) in enumerate(zip([mean, *scores], kinds, strict=True)):
        # None: the question matters for no galaxy.
        lengths = [values["questions"][name] or 0.0 for name in names]
        offset = (i - len(runs) / 2) * _BAR / height
        axes.barh(places + offset, lengths, _BAR / height, **kind)
    shares = first["conditional"]["shares"]
    labels = [f"{q}\n{shares[q]:.0%} of galaxies" if conditional else q for q in names]
    axes.set_yticks(places, labels, fontsize=_SMALL)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlabel("RMSE of shares of those asked" if conditional else
                    "RMSE of vote fractions", fontsize=_SMALL)  # fmt: skip
    axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)
    _legend(figure, axes.containers, ["training mean", *(run.name for run in runs)])
    return png(figure)


def draw_reliability(curves: Sequence[dict | None], title: str, names=()) -> bytes:
    """Mean observed over mean predicted share: one curve for each run.

    Args:
        curves: of :func:`gzjax.metrics.reliability.reliability_curve`.
        title: of the panel.
        names: of the runs, for a legend; (): a small panel without.
    """
    size = WIDTH * 0.8 if names else PANEL
    figure = make_figure(WIDTH if names else PANEL, size + 0.2 * len(names))
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="#9a9a9a", lw=1)
    lines = []
    for i, curve in enumerate(curves):
        known = [k for k, count in enumerate(curve["count"]) if count]
        x, y = ([curve[key][k] for k in known] for key in ("predicted", "observed"))
        error = [curve["standard_error"][k] or 0.0 for k in known]
        lines.append(axes.errorbar(x, y, error, **style(i), marker=".", lw=1.2))
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axes.set_xticks([0, 0.5, 1])
    axes.set_yticks([0, 0.5, 1])
    axes.tick_params(labelsize=_SMALL)
    axes.grid(alpha=0.3)
    axes.set_title(title, fontsize=_SMALL + 1)
    axes.set_xlabel("predicted", fontsize=_SMALL)
    axes.set_ylabel("observed", fontsize=_SMALL)
    if names:
        _legend(figure, lines, names)
    return png(figure)


def draw_learning(curves: Sequence[Curve], names: Sequence[str], title: str) -> bytes:
    """One number over the steps of training; noisy curves smoothed, too.

    Args:
        curves: of the runs that have it.
        names: of these runs.
        title: what the number is.
    """
    figure = make_figure(WIDTH, 2.8 + 0.2 * len(names))
    axes = figure.subplots()
    lines = []
    for i, curve in enumerate(curves):
        step, value = np.array(curve, np.float64).T
        noisy = len(step) > _SMOOTH_FROM
        if noisy:
            axes.plot(step, value, color=style(i)["color"], lw=0.6, alpha=0.25)
            step, value = _smoothed(step, value)
        marker = "" if len(step) > 20 else "."
        lines += axes.plot(step, value, **style(i), lw=1.4, marker=marker)
    axes.set_title(title, fontsize=_SMALL + 1)
    axes.set_xlabel("step", fontsize=_SMALL)
    axes.tick_params(labelsize=_SMALL)
    axes.grid(alpha=0.3)
    _legend(figure, lines, names)
    return png(figure)


def _smoothed(step, value):
    """Means over windows of the curve; a short window at its end is left out."""
    size = len(step) // _WINDOWS
    end = len(step) // size * size
    return (x[:end].reshape(-1, size).mean(axis=1) for x in (step, value))


def _bar_style(i):
    hatch = _HATCHES[i // len(COLOURS) % len(_HATCHES)]
    return {"color": style(i)["color"], "hatch": hatch, "edgecolor": "white", "lw": 0}


def _legend(figure, handles, names):
    figure.legend(
        handles, [_plain(name) for name in names], loc="outside upper left",
        frameon=False, fontsize=_SMALL,
    )  # fmt: skip


def _plain(name):
    """A name that Matplotlib shows as it is: no formula, no glyph that it lacks."""
    text = "".join(c if c.isascii() and c.isprintable() else "?" for c in name)
    if len(text) > _NAME:
        text = text[: _NAME // 2] + "..." + text[3 - _NAME // 2 :]
    # Matplotlib leaves out a label that begins with an underscore.
    return (" " + text if text.startswith("_") else text).replace("$", r"\$")
