"""Makes the figures that all pictures start from, and their PNG files in memory."""

import io

from matplotlib.figure import Figure

# Told apart by people who see colours differently (Okabe & Ito), and by line style.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
STYLES = ("-", "--", "-.", ":")
CSS_SCALE = 0.64  # CSS pixels (96 in an inch) for a pixel of a PNG at 150 dpi


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
