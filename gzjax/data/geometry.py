"""Affine geometry: one matrix and one warp from a stored image to a network's view.

Coordinates are (x, y) = (column, row) with pixel centres at integers. All matrices are
inverse maps, from where a pixel goes to where it is taken from, and work on *offsets
from the centre*, so that no formula knows the size of an image. A placement
``[... 2 3]`` maps offsets in the view to offsets in the original 424 px frame, both in
pixels of that frame: ``(A | t)`` with ``A = mirror · turn(angle) · shear / zoom``.
"""

import cv2
import numpy as np

FRAME_PX = 424  # height and width of the challenge's original images
_LINEAR = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP


def frame_px(image: np.ndarray, pixel_scale: float) -> int:
    """Returns how many original pixels the longer side of ``image [h w c]`` spans."""
    return round(max(image.shape[:2]) * pixel_scale)


def turn(angle_deg: np.ndarray | float) -> np.ndarray:
    """Returns ``[... 2 2]``, a counter-clockwise turn; exact at quarter turns."""
    # sin and cos of multiples of 90° are wrong in the last bit, so turn by the
    # remainder and multiply by whole quarter turns.
    quarters = np.round(np.asarray(angle_deg, np.float64) / 90)
    rest = np.deg2rad(angle_deg - 90 * quarters)
    cos, sin = np.cos(rest), np.sin(rest)
    for_quarters = np.array([[1, 0], [0, 1], [-1, 0], [0, -1]], np.float64)
    c, s = np.moveaxis(for_quarters[quarters.astype(int) % 4], -1, 0)
    cos, sin = c * cos - s * sin, s * cos + c * sin
    return np.stack([np.stack([cos, -sin], -1), np.stack([sin, cos], -1)], -2)


def place(
    angle_deg: np.ndarray | float = 0.0,
    mirror: np.ndarray | bool = False,
    zoom: np.ndarray | float = 1.0,
    shear_deg: np.ndarray | float = 0.0,
    shift_px: np.ndarray | tuple[float, float] = (0.0, 0.0),
) -> np.ndarray:
    """Returns float64 ``[... 2 3]``: mirror left-right, turn, enlarge, shear, shift.

    The turn is counter-clockwise, a zoom > 1 enlarges, the shear is of the columns.
    ``shift_px [... 2]`` is the (x, y) in the frame that is seen at the view's centre.
    """
    shape = np.broadcast_shapes(
        *map(np.shape, (angle_deg, mirror, zoom, shear_deg)), np.shape(shift_px)[:-1]
    )
    sheared = np.zeros((*shape, 2, 2))
    sheared[..., 0, 0] = sheared[..., 1, 1] = 1
    sheared[..., 0, 1] = np.tan(np.deg2rad(shear_deg))
    linear = turn(angle_deg) @ sheared
    linear[..., 0, :] *= np.where(mirror, -1.0, 1.0)[..., None]
    linear /= np.asarray(zoom, np.float64)[..., None, None]
    shift = np.broadcast_to(shift_px, (*shape, 2))
    return np.concatenate([linear, shift[..., None]], axis=-1)


def compose(outer: np.ndarray, inner: np.ndarray) -> np.ndarray:
    """Returns ``[... 2 3]``: ``inner``, then ``outer``, which is nearer the image."""
    linear = outer[..., :2] @ inner[..., :2]
    shift = np.einsum("...ij,...j->...i", outer[..., :2], inner[..., 2])
    return np.concatenate([linear, (shift + outer[..., 2])[..., None]], axis=-1)


def with_views(placements: np.ndarray, angles_deg: tuple[float, ...]) -> np.ndarray:
    """Returns ``[... v 2 3]``: each placement once for each view's own turn."""
    return compose(placements[..., None, :, :], place(np.array(angles_deg)))


def view_matrix(placement: np.ndarray, size_px: int, scale: float) -> np.ndarray:
    """Returns float64 ``[... 2 3]``: from pixels of the view to offsets in the frame.

    ``size_px`` is the square view's, ``scale`` the original pixels between two of its
    pixels.
    """
    linear = placement[..., :2] * scale
    corner = linear.sum(-1) * ((size_px - 1) / 2)  # of the view, as an offset
    return np.concatenate([linear, (placement[..., 2] - corner)[..., None]], axis=-1)


def pixel_matrix(
    matrix: np.ndarray, pixel_scale: float, stored_size: tuple[int, int]
) -> np.ndarray:
    """Returns float64 ``[... 2 3]``: from pixels of the view to those of the image.

    ``matrix`` is that of :func:`view_matrix`, ``pixel_scale`` the original pixels
    between two pixels of the stored image, ``stored_size`` its (height, width).
    """
    matrix = matrix / pixel_scale
    height, width = stored_size
    matrix[..., 0, 2] += (width - 1) / 2
    matrix[..., 1, 2] += (height - 1) / 2
    return matrix


def warp(
    image: np.ndarray,
    matrices: np.ndarray,
    size_px: int,
    samples: int = 1,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Returns a sample of ``image`` for each matrix: bilinear, border mirrored.

    At a scale that is a small binary fraction this commutes bit for bit with quarter
    turns and mirror images of ``image``. Values of uint8 are rounded to the nearest,
    and with several samples once more in their mean.

    Args:
        image: ``[h w c]``, uint8 or float32.
        matrices: ``[m 2 3]`` from :func:`pixel_matrix`, for views of ``size_px *
            samples`` at ``scale / samples``.
        size_px: the square views'.
        samples: how many along each axis are averaged to one pixel: more than one is
            anti-aliasing where a view's pixels are larger than the image's.
        out: ``[m size_px size_px c]`` of the image's type, contiguous, to return.
    """
    if out is None:
        out = np.empty((len(matrices), size_px, size_px, image.shape[2]), image.dtype)
    fine = (size_px * samples, size_px * samples)
    for matrix, view in zip(matrices, out, strict=True):
        to = view if samples == 1 else None
        drawn = cv2.warpAffine(image, matrix, fine, to, _LINEAR, cv2.BORDER_REFLECT_101)
        if samples > 1:
            cv2.resize(drawn, (size_px, size_px), view, interpolation=cv2.INTER_AREA)
    return out
