"""Draws the errors over the layers."""

import numpy as np

from gzjax.evaluation.equivariance.measure import OTHER
from gzjax.evaluation.report.pictures import make_figure, png, style

_INCHES = 0.22  # for a layer
_LEAST = 1e-7


def draw_layers(study: dict) -> bytes:
    """Draws every layer's error, a line for each change; what loses most is marked.

    ``study`` is what :func:`gzjax.evaluation.equivariance.equivariance.equivariance`
    returns.
    """
    layers = [row["layer"] for row in study["layers"]]
    figure = make_figure(max(6.4, 1.5 + _INCHES * len(layers)), 4.8)
    axes = figure.subplots()
    places = np.arange(len(layers))
    for i, change in enumerate(study["changes"]):
        errors = [row["error"][change["name"]] for row in study["layers"]]
        look = {**style(i), "marker": ".", "lw": 1.2, "label": change["name"]}
        if change["kind"] == OTHER:
            look |= {"linestyle": ":", "marker": ""}
        axes.plot(places, np.maximum(errors, _LEAST), **look)
    found = {
        v["layer"]: kind for kind, v in study["verdict"].items() if v and v["layer"]
    }
    for layer in found:
        axes.axvspan(*(layers.index(layer) + np.array([-0.5, 0.5])), color="#f3d9c5")
    axes.set_yscale("log")
    axes.set_ylabel("change / spread over galaxies (RMS)")
    axes.set_xticks(places, layers, rotation=90, fontsize=8)
    axes.grid(alpha=0.3)
    axes.set_xlim(-0.5, len(layers) - 0.5)
    galaxies = f"{study['galaxies']} galaxies ({study['split']})"
    axes.set_title(f"{study['network']}: {galaxies}; shaded: loses most", fontsize=10)
    figure.legend(loc="outside right upper", frameon=False, fontsize=9)
    return png(figure, dpi=120)
