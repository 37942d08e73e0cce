"""Elements of a page as text; whatever is no element yet is escaped."""

import base64
import html
import re
from collections.abc import Iterable, Sequence

VOID = ("img", "meta", "wbr")


class Html(str):
    """Text that is HTML already, and must not be escaped again."""

    __slots__ = ()


def element(tag: str, *content: object, **attributes: object) -> Html:
    """``<tag attributes>content</tag>``.

    Args:
        tag: a name.
        content: :class:`Html` as it is; anything else escaped.
        attributes: escaped. ``class_`` is ``class``, ``aria_label`` is ``aria-label``;
            those that are None are left out.
    """
    given = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{html.escape(str(value))}"'
        for name, value in attributes.items()
        if value is not None
    )
    if tag in VOID:
        return Html(f"<{tag}{given}>")
    return Html(f"<{tag}{given}>{join(content)}</{tag}>")


def join(parts: Iterable[object]) -> Html:
    """The parts one after the other, escaped unless they are :class:`Html`."""
    return Html(
        "".join(x if isinstance(x, Html) else html.escape(str(x)) for x in parts)
    )


def table(
    caption: str, header: Sequence[object], rows: Iterable[Sequence], class_=None
) -> Html:
    """A table that scrolls sideways in a box of its own where it is too wide.

    Args:
        caption: says what the numbers are.
        header: of the columns.
        rows: of cells, of which the first is the row's header.
        class_: of the table; "facts": of text rather than numbers.
    """
    head = [element("th", _breakable(cell), scope="col") for cell in header]
    body = [
        element(
            "tr",
            element("th", _breakable(first), scope="row"),
            *(element("td", cell) for cell in cells),
        )
        for first, *cells in rows
    ]
    # What scrolls must be reached by keyboard, too.
    return element(
        "div",
        element(
            "table",
            element("caption", caption),
            element("thead", element("tr", *head)),
            element("tbody", *body),
            class_=class_,
        ),
        class_="scroll",
        tabindex=0,
        role="region",
        aria_label=caption,
    )


def code(text: str) -> Html:
    """Lines as they are; the long ones scroll in a box of their own."""
    return element("pre", element("code", text), tabindex=0)


def _breakable(name: object) -> Html:
    """A name that may be broken behind its underscores, points and slashes."""
    parts = re.split(r"(?<=[_./])(?=\w)", str(name))
    return Html(element("wbr").join(join([part]) for part in parts))


def image(data: bytes, alt: str, width: int | None = None, **attributes) -> Html:
    """An image that is in the page itself.

    Args:
        data: of a PNG or a JPEG.
        alt: what it shows, in words.
        width: in CSS pixels; None: as the style says.
        attributes: see :func:`element`.
    """
    kind = "png" if data.startswith(b"\x89PNG") else "jpeg"
    uri = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
    return element("img", src=uri, alt=alt, width=width, **attributes)


def figure(picture: Html, caption: object, **attributes) -> Html:
    """An image with what is said of it below."""
    return element("figure", picture, element("figcaption", caption), **attributes)


def section(anchor: str, title: str, *content: object) -> Html:
    """A part of the page, with its heading (of the second level)."""
    return element(
        "section",
        element("h2", title, id=f"{anchor}-title"),
        *content,
        id=anchor,
        aria_labelledby=f"{anchor}-title",
    )
