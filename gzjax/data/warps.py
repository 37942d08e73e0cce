"""Many placements from few warps: what only flips and turns is left to the device.

A flip or quarter turn of a view is exact, and costs the host nothing if the device does
it: the 60 placements of the winner's two views are 30 warps instead of 120, the 8 of
d4 are one.
"""

from typing import NamedTuple

import numpy as np

from gzjax.data.geometry import place, with_views

# Element 4 m + r of gzjax.ops.groups acts on a view as this inner placement.
_ELEMENTS = place(90.0 * np.arange(8), np.arange(8) >= 4)[:, :, :2]
_TOLERANCE = 1e-9


class SharedWarps(NamedTuple):
    """View v of placement m is warp ``warp[m, v]``, moved by element ``element[m, v]``.

    The elements are those of :func:`gzjax.ops.groups.act`.
    """

    placements: np.ndarray  # float64 [r 2 3], the warps
    warp: np.ndarray  # int32 [m v], in 0 .. r - 1
    element: np.ndarray  # int32 [m v], in 0 .. 7

    def once_each(self) -> tuple["SharedWarps", np.ndarray]:
        """Drops repeated placements; returns also where each of the m is now."""
        rows = np.concatenate([self.warp, self.element], axis=1)
        rows, position = np.unique(rows, axis=0, return_inverse=True)
        warp, element = np.split(rows, 2, axis=1)
        return self._replace(warp=warp, element=element), position.ravel()


def share_warps(
    placements: np.ndarray,
    angles_deg: tuple[float, ...],
    on_device: np.ndarray | bool = True,
) -> SharedWarps:
    """Returns the fewest warps from which the views of all placements can be made.

    ``placements [m 2 3]`` are invertible, ``angles_deg`` those of the v views.
    ``on_device``, ``[m]`` or one for all, says whether flips and quarter turns are left
    to the device. If not, each view is its own warp of the raw image.
    """
    placements = with_views(placements, angles_deg)
    on_device = np.broadcast_to(on_device, len(placements))[:, None]
    element = np.where(on_device, _elements(placements), 0)
    placements = placements.copy()
    placements[..., :2] @= _ELEMENTS[element].swapaxes(-1, -2)
    keys = (placements / _TOLERANCE).round().reshape(-1, 6) + 0.0  # no -0
    _, first, warp = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    return SharedWarps(
        placements.reshape(-1, 2, 3)[first],
        warp.reshape(element.shape).astype(np.int32),
        element.astype(np.int32),
    )


def _elements(placements: np.ndarray) -> np.ndarray:
    """Returns int ``[...]``: the elements that leave a turn by 0° <= angle < 90°."""
    rest = placements[..., None, :, :2] @ _ELEMENTS.swapaxes(-1, -2)  # [... 8 2 2]
    size = np.abs(rest).max(axis=(-2, -1)) * _TOLERANCE
    cos, sin = rest[..., 0, 0], rest[..., 1, 0]
    wanted = (np.linalg.det(rest) > 0) & (cos > size) & (sin >= -size)
    return wanted.argmax(axis=-1)
