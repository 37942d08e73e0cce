"""Averaging sets: the fixed placements over which predictions are averaged.

Each is float64 ``[m 2 3]`` (:func:`gzjax.data.geometry.place`), one warp per map and
view.
"""

import numpy as np

from gzjax.data.geometry import place

_ANGLES = 90.0 * np.arange(4)
QUARTER_TURNS = place(_ANGLES)


def product_set(
    zooms: np.ndarray, angles_deg: np.ndarray, mirrors: np.ndarray
) -> np.ndarray:
    """``[m 2 3]``: every combination, the zoom outermost, the mirror innermost."""
    zoom, angle, mirror = np.meshgrid(zooms, angles_deg, mirrors, indexing="ij")
    return place(angle.ravel(), mirror.ravel(), zoom.ravel())


# What ``--averaging`` names.
AVERAGING_SETS: dict[str, np.ndarray] = {
    "none": place()[None],
    "c4": QUARTER_TURNS,
    "d4": np.concatenate([QUARTER_TURNS, place(_ANGLES, mirror=True)]),
    # The winner's 60 maps; the 21st is the image as it lies.
    "dieleman60": product_set([1 / 1.2, 1, 1.2], 36.0 * np.arange(10), [False, True]),
}
