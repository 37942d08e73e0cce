"""What all pictures share: a figure without global state, and saving it whole."""

from pathlib import Path

from matplotlib.figure import Figure

from gzjax.files import open_aside

# Told apart by people who see colours differently (Okabe & Ito), and by line style.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
STYLES = ("-", "--", "-.", ":")


def make_figure(width: float, height: float) -> Figure:
    """A figure of ``width`` x ``height`` inches whose parts do not overlap."""
    return Figure(figsize=(width, height), layout="constrained")


def style(i: int) -> dict:
    """Colour and line style of the i-th of several lines."""
    return {
        "color": COLOURS[i % len(COLOURS)],
        "linestyle": STYLES[i // len(COLOURS) % len(STYLES)],
    }


def save_figure(figure: Figure, path: Path) -> None:
    """Writes a PNG whole, or leaves the old one untouched."""
    with open_aside(path, "wb") as file:
        figure.savefig(file, format="png", dpi=120)
