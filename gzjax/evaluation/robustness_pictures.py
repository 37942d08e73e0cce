"""Draws the rotation-robustness study."""

import numpy as np
from matplotlib.ticker import MaxNLocator

from gzjax.evaluation.report.pictures import make_figure, png, style


def averaged_words(study: dict) -> str:
    """Returns what to add to a sentence on a study, "" if nothing was averaged."""
    averaging = study.get("averaging", "none")  # an older study has none
    return "" if averaging == "none" else f"; answers are averaged over {averaging}"


def draw_curves(study: dict) -> bytes:
    """Draws R over the angle, and under mirror images and zoom, a line for each run.

    ``study`` is what :func:`gzjax.evaluation.robustness.robustness` returns.
    """
    figure = make_figure(11, 4)
    over_angle, over_zoom = figure.subplots(1, 2, width_ratios=(3, 1), sharey=True)
    for i, model in enumerate(study["models"]):
        color = style(i)["color"]
        ends = [dict(angle_deg=x, mean=0.0, low=0.0, high=0.0) for x in (0.0, 360.0)]
        rows = [ends[0], *model["angles"], ends[1]]
        angle, mean, low, high = (
            [row[key] for row in rows] for key in ("angle_deg", "mean", "low", "high")
        )
        over_angle.fill_between(angle, low, high, color=color, alpha=0.2)
        over_angle.plot(angle, mean, **style(i), label=model["name"])
        over_angle.plot(
            [row["angle_deg"] for row in model["mirrored"]],
            [row["mean"] for row in model["mirrored"]],
            "^",
            color=color,
            markerfacecolor="none",
        )
        points = [(row["zoom"], row["mean"]) for row in model["zooms"]]
        over_zoom.plot(*zip(*sorted([*points, (1.0, 0.0)]), strict=True), **style(i))
    over_angle.set(
        xlabel="turned by (°); △ mirrored, then turned",
        ylabel="R: mean change of the answers (RMS)",
        xticks=range(0, 361, 45),
    )
    over_zoom.set(xlabel="enlarged by")
    for axes in (over_angle, over_zoom):
        axes.grid(alpha=0.3)
        axes.set_ylim(bottom=0)
    title = f"{study['galaxies']} galaxies ({study['split']})"
    figure.suptitle(title + averaged_words(study))
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    return png(figure, dpi=120)


def draw_polar(study: dict) -> bytes:
    """Draws Cao & Chen's figure 6, read literally, a panel for each run.

    Each galaxy of a sample is a quadrangle: at 0, 90, 180 and 270° its radius is the
    mean of all answers for the image turned so. Equal answers make a square.
    """
    models = study["models"]
    columns = min(3, len(models))
    rows = -(-len(models) // columns)
    figure = make_figure(4 * columns, 4.3 * rows)
    panels = figure.subplots(
        rows, columns, subplot_kw={"projection": "polar"}, squeeze=False
    ).ravel()
    theta = np.deg2rad(90 * np.arange(5))
    largest = max(np.max(model["polar"]) for model in models)
    for i, (axes, model) in enumerate(zip(panels, models, strict=False)):
        look = {"color": style(i)["color"], "lw": 0.4, "alpha": 0.5}
        for radii in np.array(model["polar"]):
            axes.plot(theta, [*radii, radii[0]], **look)
        axes.set_title(f"{model['name']}\nR = {model['robustness']['mean']:.2g}")
        axes.set_xticks(theta[:4])
        axes.set_rlim(0, largest * 1.05)
        axes.yaxis.set_major_locator(MaxNLocator(4))
        axes.set_rlabel_position(45)
        axes.tick_params(labelsize=8)
    for axes in panels[len(models) :]:
        axes.remove()
    return png(figure, dpi=120)
