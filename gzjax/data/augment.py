"""Random placements and colours, drawn for a batch at once and keyed by position.

The deterministic verbs are :func:`gzjax.data.geometry.place` and
:func:`colour_matrices`; what is here decides their arguments.
"""

import numpy as np

from gzjax.data.draws import normals, uniforms
from gzjax.data.geometry import place

# Streams of random numbers.
_PLACEMENTS, _COLOURS, _COLOUR_SHIFTS, _SECOND_TURNS = range(4)
# Along which the colours of the challenge's pixels vary most, by Dieleman; the idea is
# that of Krizhevsky, Sutskever & Hinton (2012).
PRINCIPAL_COLOUR = np.array([-0.0148366, -0.01253134, -0.01040762])
GREY = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601 luma, as torchvision
UNCHANGED_COLOUR = np.array([1.0, 1.0, 1.0, 0.0])  # of random_colours


def random_placements(
    augment, seed: int, positions: np.ndarray, turned_anew: bool = False
) -> np.ndarray:
    """Returns float64 ``[n 2 3]``: rotation, mirror, zoom, shear, shift; all uniform.

    Args:
        augment: ``config.augment``: ``rotation_deg`` r and ``rotation_from_deg`` f: an
            angle in [f, f + r), f plus a multiple of ``rotation_step_deg`` if that is
            above 0; ``mirror_rate``: share of galaxies mirrored; ``zoom`` z:
            log-uniform in 1/z .. z; ``shear_deg`` s: in ±s; ``shift_px`` p: x and y in
            ±p original px.
        positions: int ``[n]``, the places of the examples in the endless stream.
        turned_anew: draw another rotation and mirror, and keep all else.
    """
    u = uniforms(seed, _PLACEMENTS, positions, 6)
    if turned_anew:
        u[:, :2] = uniforms(seed, _SECOND_TURNS, positions, 2)
    angle, step = u[:, 0] * augment.rotation_deg, augment.rotation_step_deg
    if step > 0:
        angle = step * np.floor(angle / step)
    return place(
        angle_deg=augment.rotation_from_deg + angle,
        mirror=u[:, 1] < augment.mirror_rate,
        zoom=augment.zoom ** _signed(u[:, 2]),
        shear_deg=_signed(u[:, 3]) * augment.shear_deg,
        shift_px=_signed(u[:, 4:6]) * augment.shift_px,
    )


def random_colours(augment, seed: int, positions: np.ndarray) -> np.ndarray:
    """Returns float64 ``[n 4]``: brightness, contrast, saturation; hue in turns.

    Uniform in 1 ± ``augment.brightness``, ``contrast``, ``saturation`` and in ±
    ``augment.hue``, as in torchvision's ColorJitter.
    """
    u = _signed(uniforms(seed, _COLOURS, positions, 4))
    spread = [augment.brightness, augment.contrast, augment.saturation, augment.hue]
    return UNCHANGED_COLOUR + u * np.array(spread)


def random_colour_shifts(augment, seed: int, positions: np.ndarray) -> np.ndarray:
    """Returns float64 ``[n 3]``, to be added to R, G, B in [0, 1].

    ``a · PRINCIPAL_COLOUR`` with ``a`` normal, of standard deviation
    ``augment.principal_colour``; the winner's was 0.5.
    """
    amounts = augment.principal_colour * normals(seed, _COLOUR_SHIFTS, positions)
    return amounts[:, None] * PRINCIPAL_COLOUR


def colour_matrices(
    colours: np.ndarray, mean_rgb: np.ndarray, shifts: np.ndarray | float = 0.0
) -> np.ndarray:
    """Returns M, float32 ``[n 3 4]``: ``rgb' = M[:, :3] rgb + M[:, 3]`` in [0, 1].

    Brightness scales; contrast moves towards the image's mean grey; saturation towards
    each pixel's grey; hue is a rotation about the grey axis; the shift is added last.
    In this order, and clipped once at the end, where torchvision clips after every
    step, in random order, and turns the hue in HSV.

    ``colours [n 4]`` are those of :func:`random_colours`, ``shifts [n 3]`` those of
    :func:`random_colour_shifts`, and ``mean_rgb [n 3]`` is the images' mean in [0, 1].
    """
    brightness, contrast, saturation, hue = np.moveaxis(colours, -1, 0)[..., None, None]
    to_grey = np.ones((3, 1)) * GREY
    desaturated = saturation * np.eye(3) + (1 - saturation) * to_grey
    linear = hue_rotation(hue) @ desaturated * (brightness * contrast)
    mean_grey = (mean_rgb @ GREY)[:, None, None]
    offset = (1 - contrast) * brightness * mean_grey * np.ones((3, 1))
    offset = offset[..., 0] + shifts
    return np.concatenate([linear, offset[..., None]], axis=-1).astype(np.float32)


def hue_rotation(turns: np.ndarray) -> np.ndarray:
    """Returns ``[... 3 3]``: rotation about (1, 1, 1) by Rodrigues' formula."""
    angle = 2 * np.pi * turns
    axis = np.full(3, 3**-0.5)
    cross = np.cross(np.eye(3), axis)
    return (
        np.cos(angle) * np.eye(3)
        + np.sin(angle) * cross
        + (1 - np.cos(angle)) * np.outer(axis, axis)
    )


def _signed(u: np.ndarray) -> np.ndarray:
    return 2 * u - 1
