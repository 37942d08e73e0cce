"""The pictures of the rotation-robustness study."""

from pathlib import Path

import numpy as np
from matplotlib.ticker import MaxNLocator

from gzjax.evaluation.report.pictures import make_figure, save_figure, style


def draw_curves(report: dict, path: Path) -> None:
    """R over the angle, and under mirror images and zoom; a line per run.

    Args:
        report: of :func:`gzjax.evaluation.robustness.robustness`.
        path: of the PNG.
    """
    figure = make_figure(11, 4)
    over_angle, over_zoom = figure.subplots(1, 2, width_ratios=(3, 1), sharey=True)
    for i, model in enumerate(report["models"]):
        unmoved = {"mean": 0.0, "low": 0.0, "high": 0.0}
        rows = [{"angle_deg": 0.0} | unmoved, *model["angles"],
                {"angle_deg": 360.0} | unmoved]  # fmt: skip
        angle = [row["angle_deg"] for row in rows]
        over_angle.fill_between(
            angle,
            [row["low"] for row in rows],
            [row["high"] for row in rows],
            color=style(i)["color"],
            alpha=0.2,
        )
        over_angle.plot(
            angle, [row["mean"] for row in rows], **style(i), label=model["name"]
        )
        over_angle.plot(
            [row["angle_deg"] for row in model["mirrored"]],
            [row["mean"] for row in model["mirrored"]],
            "^",
            color=style(i)["color"],
            markerfacecolor="none",
        )
        rows = [*model["zooms"], {"zoom": 1.0, "mean": 0.0}]
        rows.sort(key=lambda row: row["zoom"])
        over_zoom.plot(
            [row["zoom"] for row in rows], [row["mean"] for row in rows], **style(i)
        )
    over_angle.set(
        xlabel="turned by (°); △ mirrored, then turned",
        ylabel="R: mean change of the answers (RMS)",
        xticks=range(0, 361, 45),
    )
    over_zoom.set(xlabel="enlarged by")
    for axes in (over_angle, over_zoom):
        axes.grid(alpha=0.3)
        axes.set_ylim(bottom=0)
    figure.suptitle(f"{report['galaxies']} galaxies ({report['split']})")
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    save_figure(figure, path)


def draw_polar(report: dict, path: Path) -> None:
    """Cao & Chen's figure 6, read literally; a panel per run.

    Each galaxy of a sample is a quadrangle: at 0, 90, 180 and 270° its radius is the
    mean of all answers for the image turned so. Were the answers the same, it would be
    a square.

    Args:
        report: of :func:`gzjax.evaluation.robustness.robustness`.
        path: of the PNG.
    """
    models = report["models"]
    columns = min(3, len(models))
    rows = -(-len(models) // columns)
    figure = make_figure(4 * columns, 4.3 * rows)
    panels = figure.subplots(
        rows, columns, subplot_kw={"projection": "polar"}, squeeze=False
    ).ravel()
    theta = np.deg2rad(90 * np.arange(5))
    for i, (axes, model) in enumerate(zip(panels, models, strict=False)):
        polar = np.array(model["polar"])
        for radii in polar:
            axes.plot(theta, [*radii, radii[0]], color=style(i)["color"], lw=0.4,
                      alpha=0.5)  # fmt: skip
        axes.set_title(f"{model['name']}\nR = {model['robustness']['mean']:.2g}")
        axes.set_xticks(theta[:4])
        axes.set_rlim(0, max(np.max(m["polar"]) for m in models) * 1.05)
        axes.yaxis.set_major_locator(MaxNLocator(4))
        axes.set_rlabel_position(45)
        axes.tick_params(labelsize=8)
    for axes in panels[len(models) :]:
        axes.remove()
    save_figure(figure, path)
