"""Averaging sets: the fixed placements over which predictions are averaged.

Each is float64 ``[m 2 3]`` (:func:`gzjax.data.geometry.place`). What is averaged are
the answers, after the head.
"""

import re
from typing import Any

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
}
# How many angles part the turn from one element of the network's group to the next.
BETWEEN_ELEMENTS = {"half2": 2, "third3": 3}
AVERAGING_HELP = (
    ", ".join([*AVERAGING_SETS, *BETWEEN_ELEMENTS])
    + " or rotAxM[xZOOM,...]: A angles, unmirrored (M = 1) or mirrored too (2), zooms"
)
_PRODUCT = re.compile(r"rot([1-9]\d{0,3})x([12])(?:x([\d.,]+))?")
_GROUP = re.compile(r"[pcd]([1-9]\d{0,2})m?")  # with its number of turns


def averaging_set(name: str, model: Any) -> np.ndarray:
    """Returns the placements ``[m 2 3]`` that ``name`` stands for.

    Args:
        name: a key of ``AVERAGING_SETS``; any product as ``rot12x2x0.9,1,1.1``: 12
            angles, each as the galaxy lies and mirrored, at three zooms; or a key of
            ``BETWEEN_ELEMENTS``: "half2" is 0 and 1/2 of the turn from one element of
            the network's group to the next, "third3" 0, 1/3 and 2/3 of it.
        model: ``config.model``, which names the group.

    Raises:
        UserError: there is no such set, or the network has no group for it.
    """
    if num := BETWEEN_ELEMENTS.get(name):
        return place(_turns(num * _num_turns(name, model))[:num])
    return _named(name)


def num_placements(name: str) -> int:
    """Returns m of :func:`averaging_set`; a UserError if there is no such set."""
    return BETWEEN_ELEMENTS.get(name) or len(_named(name))


def _num_turns(name: str, model) -> int:
    """Returns how many turns the network's group has: 4 for p4m, 12 for d12."""
    networks = (model, model.get("first"), model.get("second"))  # of a pair
    groups = [str(x.get("group")) for x in networks if hasattr(x, "get")]
    turns = {int(match[1]) for match in map(_GROUP.fullmatch, groups) if match} - {1}
    if len(turns) != 1:
        raise UserError(
            f"averaging set '{name}' parts the turn between elements of a network's "
            f"group, and {model.get('name')} has no group, or two: take c4, d4 or "
            "rot16x2 instead"
        )
    return turns.pop()


def _named(name: str) -> np.ndarray:
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
