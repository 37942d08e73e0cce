"""Finds the image that a row of a table means by a name, a file name or a path."""

import unicodedata
from collections.abc import Sequence

from gzjax.data.images.cutouts import without_suffix

MISSING = -1  # no image of that name
AMBIGUOUS = -2  # several
_MAX_FOLDERS = 64


class NameMatch:
    """Looks images up by name. The first of these rules that finds one counts.

    1. The image's own name, ``sub/12.jpg``; then that without its suffix, ``sub/12``.
    2. The end of its path, from a folder on: ``12.jpg`` or ``12`` for ``sub/12.jpg``.
    3. A longer path that ends with the image's own: ``old/place/12.jpg`` for
       ``12.jpg``, but not for ``sub/12.jpg``.

    Rules 2 and 3 ignore suffixes: another copy of a galaxy may be of another format.
    They also ignore how Unicode writes an accent: macOS turns ``é`` into two
    characters. Only the last 64 folders of a path count.

    Args:
        names: those of :class:`gzjax.data.images.cutouts.Cutouts`.
    """

    def __init__(self, names: Sequence[str]):
        self._names = {name: i for i, name in enumerate(names)}
        self._stems: dict[str, int] = {}
        self._ends: dict[str, int] = {}
        for i, name in enumerate(names):
            stem = without_suffix(_composed(name))
            _add(self._stems, stem, i)
            for end in _ends(stem):
                _add(self._ends, end, i)

    def find(self, name: str) -> int:
        """Returns the image's position, or ``MISSING`` or ``AMBIGUOUS``."""
        if name in self._names:
            return self._names[name]
        composed, stems = _composed(name), self._stems
        stem = without_suffix(composed)
        tries = [(stems, composed), (stems, stem), (self._ends, stem)]
        tries += [(stems, end) for end in _ends(stem)]
        return next((table[key] for table, key in tries if key in table), MISSING)


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _add(table: dict[str, int], key: str, position: int) -> None:
    table[key] = AMBIGUOUS if key in table else position


def _ends(path: str) -> list[str]:
    """Returns the path without its first folder, without its first two, and so on."""
    parts = path.split("/")
    # A path of 30,000 folders would have a gigabyte of ends.
    first = max(1, len(parts) - _MAX_FOLDERS)
    return ["/".join(parts[i:]) for i in range(first, len(parts))]
