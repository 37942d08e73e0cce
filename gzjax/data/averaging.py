"""Averaging sets: the fixed placements over which predictions are averaged.

Each is float64 ``[m 2 3]`` (:func:`gzjax.data.geometry.place`). What is averaged are
the answers, after the head.
"""

import re

import numpy as np

from gzjax.data.geometry import place
from gzjax.errors import UserError

_ANGLES = 90.0 * np.arange(4)
QUARTER_TURNS = place(_ANGLES)


def product_set(
    zooms: np.ndarray, angles_deg: np.ndarray, mirrors: np.ndarray
) -> np.ndarray:
    """Returns all combinations ``[m 2 3]``: zoom outermost, mirror innermost."""
    zoom, angle, mirror = np.meshgrid(zooms, angles_deg, mirrors, indexing="ij")
    return place(angle.ravel(), mirror.ravel(), zoom.ravel())


def _turns(num_angles: int) -> np.ndarray:
    return 360.0 / num_angles * np.arange(num_angles)


# What ``--averaging`` names.
AVERAGING_SETS: dict[str, np.ndarray] = {
    "none": place()[None],
    "c4": QUARTER_TURNS,
    "d4": np.concatenate([QUARTER_TURNS, place(_ANGLES, mirror=True)]),
    "rot16x2": product_set([1], _turns(16), [False, True]),
    # The winner's 60 placements; the 21st is the image unchanged.
    "dieleman60": product_set([1 / 1.2, 1, 1.2], _turns(10), [False, True]),
    # Half-way and in thirds between the quarter turns, at which networks are exact:
    # what the square grid of pixels does to an answer repeats after 90°.
    "half2": place(np.array([0.0, 45.0])),
    "third3": place(np.array([0.0, 30.0, 60.0])),
}
AVERAGING_HELP = (
    ", ".join(AVERAGING_SETS)
    + " or rotAxM[xZOOM,...]: A angles, unmirrored (M = 1) or mirrored too (2), zooms"
)
_PRODUCT = re.compile(r"rot([1-9]\d{0,3})x([12])(?:x([\d.,]+))?")


def averaging_set(name: str) -> np.ndarray:
    """Returns the placements ``[m 2 3]`` that ``name`` stands for, or raises UserError.

    ``name`` is a key of ``AVERAGING_SETS``, or any product as ``rot12x2x0.9,1,1.1``: 12
    angles, each as the galaxy lies and mirrored, at three zooms.
    """
    if name in AVERAGING_SETS:
        return AVERAGING_SETS[name]
    try:
        angles, mirrors, zooms = _PRODUCT.fullmatch(name).groups()
        zooms = [float(zoom) for zoom in (zooms or "1").split(",")]
        if min(zooms) <= 0 or len(set(zooms)) < len(zooms):
            raise ValueError("a zoom that is not above 0, or is there twice")
    except (AttributeError, ValueError) as error:
        known = f"there are: {AVERAGING_HELP}"
        raise UserError(f"no averaging set '{name}'; {known}") from error
    return product_set(zooms, _turns(int(angles)), [False, True][: int(mirrors)])
