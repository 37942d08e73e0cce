"""Errors meant for people: the exception, the words of its text, and lists of them."""

import difflib
import struct
import zipfile
import zlib
from collections.abc import Collection, Sequence

NUM_SHOWN = 5

# What reading a file, or a file in a zip, raises when it is damaged, encrypted or
# forbidden, or claims to be enormous: zipfile does not wrap the errors of the layers
# below it.
READ_ERRORS = (
    OSError,
    EOFError,
    LookupError,
    MemoryError,
    OverflowError,
    RuntimeError,
    ValueError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)


class UserError(Exception):
    """Bad input or a refused request: what is wrong, where, and what to do.

    ``gzjax.main`` prints the message without a traceback and exits with code 2.
    """


def plain(text: str) -> str:
    """Returns the text without what would steer a terminal, as names of files may.

    Such characters are written as in Python, ``\\x1b``; ends of lines stay.
    """
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)


def reason(error: BaseException) -> str:
    """Returns ``error`` in words, without its number and path where it has them."""
    if isinstance(error, EOFError):
        return "it ends too early"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def first_few(places: Sequence, num_shown: int = NUM_SHOWN) -> str:
    """Returns ``"a, b, c, …"``: at most ``num_shown`` of ``places``."""
    text = ", ".join(str(place)[:80] for place in places[:num_shown])
    return text + (", …" if len(places) > num_shown else "")


def nearest(name: str, known: Collection[str], cutoff: float = 0.6) -> str:
    """Returns ``"nearest: 'x'"``, or all that is ``known`` if nothing is near.

    With ``cutoff`` 0 something always is: for names too many to list.
    """
    near = difflib.get_close_matches(name, known, 1, cutoff)
    return f"nearest: '{near[0]}'" if near else f"there are: {', '.join(known)}"


class Problems:
    """Counts problems kind by kind, and remembers the first few places of each."""

    def __init__(self):
        self._found: dict[tuple[str, str], tuple[int, list]] = {}

    def add(self, kind: str, unit: str, places: Sequence) -> None:
        """Notes that ``kind`` is the matter at ``places``; none of them: no problem.

        Args:
            kind: a plural, for example ``"images missing"``; one line of the message.
            unit: what a place is: ``"line"``, ``"id"``, ``"column"``.
            places: anything with a short ``str``.
        """
        if len(places) == 0:
            return
        count, shown = self._found.get((kind, unit), (0, []))
        # One more than is shown: it stands for the rest.
        room = NUM_SHOWN + 1 - len(shown)
        self._found[kind, unit] = (count + len(places), shown + list(places[:room]))

    def add_failure(self, sentence: str) -> None:
        """Notes one thing that stands for itself, without a count."""
        self._found[sentence, ""] = (1, [])

    def lines(self) -> list[str]:
        """Returns one line per kind: what, how many, and the first few places."""
        return [
            kind
            if not unit
            else f"{kind}: {count:,} ({unit}{'s'[: count > 1]} {first_few(shown)})"
            for (kind, unit), (count, shown) in self._found.items()
        ]

    def raise_if_any(self, where: str, what_to_do: str) -> None:
        """Raises one UserError with a first line, :meth:`lines`, and what to do."""
        if self._found:
            lines = "".join(f"\n  {line}" for line in self.lines())
            raise UserError(f"{where}:{lines}\n{what_to_do}")
