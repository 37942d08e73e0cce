"""Renders the page: one HTML file that needs nothing but itself."""

import base64
import re
from collections.abc import Sequence

import jinja2
from markupsafe import Markup

from gzjax.evaluation.report import galaxies, sections
from gzjax.evaluation.report.pictures import CSS_SCALE
from gzjax.evaluation.report.runs import RunReport


def make_page(
    runs: Sequence[RunReport], label: str, study: dict | None, with_maps: bool
) -> str:
    """Returns the page as text, a function of its arguments alone.

    Each section is a template of its name, and the data that a function returns for it.
    The study is what :func:`gzjax.evaluation.robustness.robustness` returns. All runs
    have one decision tree.
    """
    parts = [
        ("summary", "Summary", sections.summary(runs)),
        ("questions", "Questions", sections.questions(runs)),
        ("reliability", "Reliability", sections.reliability(runs)),
        ("classification", "First question", sections.classification(runs)),
        ("learning", "Learning curves", sections.learning(runs)),
        ("robustness", "Robustness", study and sections.robustness(study)),
        ("galaxies", "Galaxies", galaxies.worst_and_best(runs)),
        ("maps", "Activation maps", with_maps and galaxies.activation_maps(runs)),
        ("provenance", "Provenance", sections.provenance(runs)),
    ]
    names, shown = [run.name for run in runs], [part for part in parts if part[2]]
    page = environment().get_template("page.html")
    return page.render(names=names, label=label, sections=shown)


def environment() -> jinja2.Environment:
    """Returns the templates, which escape everything that they are given."""
    result = jinja2.Environment(
        loader=jinja2.PackageLoader("gzjax.evaluation.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    filters = (show, breakable, data_uri, css_width)
    result.filters |= {function.__name__: function for function in filters}
    return result


def show(value, form: str = "") -> str:
    """Returns a cell's text: a number in this format, an interval, or "–" for None."""
    if value is None:
        return "–"
    if isinstance(value, tuple):
        mean, low, high = (format(x, form) for x in value)
        return f"{mean} ({low} – {high})"
    return value if isinstance(value, str) else format(value, form)


def breakable(name: str) -> Markup:
    """Returns a name that may be broken behind its underscores, points and slashes."""
    return Markup("<wbr/>").join(re.split(r"(?<=[_./])(?=\w)", name))


def data_uri(image: bytes) -> str:
    """Returns the address of a PNG or JPEG that is in the page itself."""
    kind = "png" if image.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(image).decode()}"


def css_width(png: bytes) -> int:
    """Returns how many CSS pixels wide a picture is shown."""
    return round(int.from_bytes(png[16:20]) * CSS_SCALE)
