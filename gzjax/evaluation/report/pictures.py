"""Draws scores and learning curves, small enough for a phone."""

import io
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from gzjax.training.curves import Curve

# Told apart by people who see colours differently (Okabe & Ito), and by line style.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
STYLES = ("-", "--", "-.", ":")
CSS_SCALE = 0.64  # CSS pixels (96 in an inch) for a pixel of a PNG at 150 dpi
WIDTH = 4.8  # inches; text of 9 pt is still read when a phone shrinks that to 350 px
_PANEL = 2.4
_SMALL = 9
_NAME = 44  # characters of a run's name in a legend
_BAR = 0.11  # inches
_HATCHES = ("", "///", "...", "xxx")
_SMOOTH_FROM = 200  # points of a curve; beyond, noise would hide it
_WINDOWS = 50  # along a curve that is smoothed


def make_figure(width: float, height: float) -> Figure:
    """Returns a figure of ``width`` x ``height`` inches whose parts do not overlap."""
    return Figure(figsize=(width, height), layout="constrained")


def style(i: int) -> dict:
    """Returns the colour and line style of the i-th of several lines."""
    return {
        "color": COLOURS[i % len(COLOURS)],
        "linestyle": STYLES[i // len(COLOURS) % len(STYLES)],
    }


def png(figure: Figure, dpi: int = 150) -> bytes:
    """Returns the figure as a PNG; the same figure gives the same bytes."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=dpi)
    return file.getvalue()


def draw_questions(
    rows: Mapping[str, Sequence[float | None]], names: Sequence[str], title: str
) -> bytes:
    """Draws a group of bars for each question: a grey one, then one for each run.

    ``rows`` are {label of the question: as many numbers as ``names``}; None counts as
    0. ``title`` is that of the axis.
    """
    height = (len(names) + 1.2) * _BAR
    figure = make_figure(WIDTH, len(rows) * height + 0.2 * len(names) + 0.6)
    axes = figure.subplots()
    places = np.arange(len(rows))
    lengths = np.array([[x or 0.0 for x in row] for row in rows.values()]).T
    for i, bars in enumerate(lengths):
        look = _bar_style(i - 1) if i else {"color": "#9a9a9a"}
        offset = (i - (len(names) - 1) / 2) * _BAR / height
        axes.barh(places + offset, bars, _BAR / height, **look)
    axes.set_yticks(places, list(rows), fontsize=_SMALL)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel(title, fontsize=_SMALL)
    axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)
    _legend(figure, axes.containers, names)
    return png(figure)


def draw_reliability(curves: Sequence[dict | None], title: str, names=()) -> bytes:
    """Draws the mean observed over the mean predicted share, a curve for each run.

    ``curves`` are those of :func:`gzjax.metrics.reliability.reliability_curve`. Without
    ``names`` the panel is small, and has no legend.
    """
    size = WIDTH * 0.8 if names else _PANEL
    figure = make_figure(WIDTH if names else _PANEL, size + 0.2 * len(names))
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="#9a9a9a", lw=1)
    lines = []
    for i, curve in enumerate(curves):
        known = [k for k, count in enumerate(curve["count"]) if count]
        x, y = ([curve[key][k] for k in known] for key in ("predicted", "observed"))
        error = [curve["standard_error"][k] or 0.0 for k in known]
        lines.append(axes.errorbar(x, y, error, **style(i), marker=".", lw=1.2))
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axes.set(xticks=[0, 0.5, 1], yticks=[0, 0.5, 1])
    axes.tick_params(labelsize=_SMALL)
    axes.grid(alpha=0.3)
    axes.set_title(title, fontsize=_SMALL + 1)
    axes.set_xlabel("predicted", fontsize=_SMALL)
    axes.set_ylabel("observed", fontsize=_SMALL)
    if names:
        _legend(figure, lines, names)
    return png(figure)


def draw_learning(curves: Sequence[Curve], names: Sequence[str], title: str) -> bytes:
    """Draws one number over the steps of training, a curve for each of ``names``.

    ``title`` says what it is. A noisy curve is drawn faint, and smoothed on top.
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
    """Returns means over windows of the curve, without a short one at its end."""
    size = len(step) // _WINDOWS
    end = len(step) // size * size
    return (x[:end].reshape(-1, size).mean(axis=1) for x in (step, value))


def _bar_style(i):
    hatch = _HATCHES[i // len(COLOURS) % len(_HATCHES)]
    return {"color": style(i)["color"], "hatch": hatch, "edgecolor": "white", "lw": 0}


def _legend(figure, handles, names):
    labels = [_plain(name) for name in names]
    place = {"loc": "outside upper left", "frameon": False, "fontsize": _SMALL}
    figure.legend(handles, labels, **place)


def _plain(name):
    """Returns a name that Matplotlib shows: no formula, no glyph that it lacks."""
    text = "".join(c if c.isascii() and c.isprintable() else "?" for c in name)
    if len(text) > _NAME:
        text = text[: _NAME // 2] + "..." + text[3 - _NAME // 2 :]
    # Matplotlib leaves out a label that begins with an underscore.
    return (" " + text if text.startswith("_") else text).replace("$", r"\$")
