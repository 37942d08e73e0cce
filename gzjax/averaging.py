"""Averaging sets: the fixed placements over which predictions are averaged.

Each is float64 ``[m 2 3]`` (:func:`gzjax.data.geometry.place`), one warp per map.
"""

import numpy as np

from gzjax.data.geometry import place

_ANGLES = 90.0 * np.arange(4)
QUARTER_TURNS = place(_ANGLES)

# What ``--averaging`` names.
AVERAGING_SETS: dict[str, np.ndarray] = {
    "none": place()[None],
    "c4": QUARTER_TURNS,
    "d4": np.concatenate([QUARTER_TURNS, place(_ANGLES, mirror=True)]),
}
