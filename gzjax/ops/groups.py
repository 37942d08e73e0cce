"""The point groups: turns by 360° / N (c8, ...), and with mirror images (d8, ...).

The names p4 and p4m stand for c4 and d4. With the trivial group p1, networks over a
group are ordinary ones.
"""

import dataclasses
import functools

import numpy as np


def act(x, element: int, axes: tuple[int, int] = (1, 2)):
    """Returns the pixels of ``x`` (NumPy or JAX) moved by an element of p4m, exactly.

    Element ``4 m + r`` mirrors left-right if m is 1, and then turns r quarters
    counter-clockwise.

    Args:
        x: any array.
        element: ``0 .. 7``, else a ValueError.
        axes: of the rows and the columns of ``x``.
    """
    if not 0 <= element < 8:
        raise ValueError(f"element {element} is not in 0 .. 7")
    rows, columns = axes
    mirror, turns = divmod(element, 4)

    def flip(y, axis):
        index = [slice(None)] * y.ndim
        index[axis] = slice(None, None, -1)
        return y[tuple(index)]

    if mirror:
        x = flip(x, columns)
    if turns % 2:  # a quarter turn is a transposition, then the rows upside down
        x = flip(x.swapaxes(rows, columns), rows)
    return flip(flip(x, rows), columns) if turns >= 2 else x


@dataclasses.dataclass(frozen=True)
class Group:
    """A point group of the plane: turns by 360° / ``turns``, and mirror images.

    Element ``m * turns + r`` mirrors left-right if m is 1, and then turns r times
    counter-clockwise. ``act`` moves pixels by eight of them at most: by quarter turns
    and mirror images. Between those, only steerable filters turn.
    """

    name: str
    turns: int
    mirrors: bool = False

    @property
    def order(self) -> int:
        """Returns the number of elements."""
        return self.turns * (1 + self.mirrors)

    @functools.cached_property
    def cayley(self) -> np.ndarray:
        """Returns int ``[order order]``: ``cayley[s, t]`` is s·t (t acts first)."""
        mirror, turn = np.divmod(np.arange(self.order), self.turns)
        # A turn before a mirror image is the opposite turn after it.
        turn_after = np.where(mirror[:, None], -turn, turn)
        turn = (turn[:, None] + turn_after) % self.turns
        return (mirror[:, None] ^ mirror) * self.turns + turn

    @functools.cached_property
    def inverse(self) -> np.ndarray:
        """Returns int ``[order]``: ``cayley[s, inverse[s]] == 0``, the identity."""
        return np.argmin(self.cayley, axis=1)

    @functools.cached_property
    def exact_elements(self) -> np.ndarray:
        """Returns int ``[n]``: entry i is the element by which ``act(x, i)`` moves x.

        There are 4, or 8 with mirror images; only the identity if ``turns`` is not a
        multiple of 4.
        """
        if self.turns % 4:
            return np.arange(1)
        return np.arange(4 * (1 + self.mirrors)) * (self.turns // 4)


def _groups():
    yield Group("p1", 1)
    yield Group("p4", 4)
    yield Group("p4m", 4, True)
    for turns in (4, 8, 12, 16):
        yield Group(f"c{turns}", turns)
        yield Group(f"d{turns}", turns, True)


GROUPS = {group.name: group for group in _groups()}
# All of whose elements permute pixels, so that any filter can be moved by them.
PIXEL_GROUPS = tuple(
    name for name, g in GROUPS.items() if len(g.exact_elements) == g.order
)


def act_on_features(x, element: int, group: Group):
    """Returns feature maps ``[b h w g c]`` moved: ``(gF)[s] = act_g(F[g⁻¹ s])``.

    Args:
        element: one of ``act``, which must be in the group, else a ValueError.
    """
    if not 0 <= element < len(group.exact_elements):
        last = len(group.exact_elements) - 1
        raise ValueError(f"{group.name} has elements 0 .. {last} of act: {element}")
    source = group.cayley[group.inverse[group.exact_elements[element]]]
    return act(x, element)[..., source, :]
