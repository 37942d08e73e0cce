"""The point groups p4 (quarter turns) and p4m (quarter turns and mirror images).

With the trivial group p1, networks over a group are ordinary ones.

Element ``i = 4 m + r`` acts on an array as: mirror left-right if ``m``, then ``r``
quarter turns counter-clockwise. No table is typed in: all are read off this action.
"""

import dataclasses
import functools

import numpy as np


def act(x, element: int, axes: tuple[int, int] = (1, 2)):
    """Returns the pixels of ``x`` (NumPy or JAX) moved by the element, exactly.

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
    """A point group of :data:`GROUPS`: elements ``0 .. order - 1``."""

    name: str
    order: int

    @functools.cached_property
    def cayley(self) -> np.ndarray:
        """Returns int ``[order order]``: ``cayley[s, t]`` is s·t (t acts first)."""
        probe, elements = np.arange(9).reshape(3, 3), range(self.order)
        moved = [act(probe, i, (0, 1)) for i in elements]
        # No two elements move an asymmetric grid alike.
        of_image = {image.tobytes(): i for i, image in enumerate(moved)}
        return np.array(
            [
                [of_image[act(moved[t], s, (0, 1)).tobytes()] for t in elements]
                for s in elements
            ]
        )

    @functools.cached_property
    def inverse(self) -> np.ndarray:
        """Returns int ``[order]``: ``cayley[s, inverse[s]] == 0``, the identity."""
        return np.argmin(self.cayley, axis=1)


GROUPS = {g.name: g for g in (Group("p1", 1), Group("p4", 4), Group("p4m", 8))}


def act_on_features(x, element: int, group: Group):
    """Returns feature maps ``[b h w g c]`` moved: ``(gF)[s] = act_g(F[g⁻¹ s])``."""
    if not 0 <= element < group.order:
        raise ValueError(f"{group.name} has elements 0 .. {group.order - 1}: {element}")
    source = group.cayley[group.inverse[element]]
    return act(x, element)[..., source, :]
