"""Finds the galaxy in an image: where its centre is, and how large it is.

As the 2014 winner did (Dieleman, Willett & Dambre 2015): Source Extractor, here the
library ``sep``, which is its code, with its defaults, on the green channel; and of the
detections the one of largest ``π·a·b·exp(-distance² / 5000)``.

Our reading: ``sep`` has no Petrosian radius, so it is measured here by its definition
(:func:`_petrosian_factor`). In a smaller copy the background's meshes cover as much of
the sky as in the original; the smallest area of a detection (5) and the filter (3x3)
stay as many pixels of the copy.
"""

import numpy as np

from gzjax.data.detections.table import NO_DETECTION, NO_RADIUS, OK, Detection
from gzjax.errors import UserError

_MESH_PX = 64  # of the background, in original px: Source Extractor's default
_REACH_PX2 = 5000.0  # how soon a detection far from the centre is discounted
_PETRO_RATIO, _PETRO_FACTOR, _PETRO_MIN = 0.2, 2.0, 3.5  # PHOT_PETROPARAMS 2.0, 3.5


def detect_galaxy(
    image: np.ndarray, threshold: float = 2.0, pixel_scale: float = 1.0
) -> Detection:
    """Finds the galaxy that the image was taken for.

    Args:
        image: uint8 ``[h w 3]``, RGB or BGR: the green channel is used.
        threshold: how far a detection must stand out, in standard deviations of the
            background.
        pixel_scale: pixels of the original frame per pixel of ``image``.

    Returns:
        The detection, flagged ``"ok"``; ``"no radius"``, with the centre; or ``"no
        detection"``, also for an image that overflows what sep holds.
    """
    sep = import_sep()
    green = image[..., 1].astype(np.float64, order="C")
    mesh = max(round(_MESH_PX / pixel_scale), 1)
    background = sep.Background(green, bw=mesh, bh=mesh)
    green -= background.back()
    sep.set_extract_pixstack(max(300_000, green.size))
    try:
        objects, owners = sep.extract(
            green, threshold, err=background.globalrms, segmentation_map=True
        )
    except Exception as error:
        if type(error) is not Exception:  # sep's own are bare: deblending overflowed
            raise
        return Detection(0.0, 0.0, np.nan, NO_DETECTION)
    height, width = green.shape
    x = (objects["x"] - (width - 1) / 2) * pixel_scale
    y = (objects["y"] - (height - 1) / 2) * pixel_scale
    area = np.pi * objects["a"] * objects["b"] * pixel_scale**2
    weight = area * np.exp(-(x**2 + y**2) / _REACH_PX2)
    if not weight.max(initial=0.0) > 0:
        return Detection(0.0, 0.0, np.nan, NO_DETECTION)
    best = int(weight.argmax())
    green[(owners != best + 1) & (owners != 0)] = np.nan
    radius = _petrosian_factor(green, objects[best]) * objects["a"][best] * pixel_scale
    flag = OK if np.isfinite(radius) else NO_RADIUS
    return Detection(float(x[best]), float(y[best]), float(radius), flag)


def _petrosian_factor(image: np.ndarray, ellipse: np.void) -> float:
    """Returns Source Extractor's PETRO_RADIUS, in units of the ellipse's major axis a.

    Twice the k at which the surface brightness in the annulus 0.9 k to 1.1 k has
    fallen to 0.2 of the mean inside k, at least 3.5. Our reading: the first such k
    from 1 on; pixels of other objects (NaN) and those outside the image are left out,
    and the search ends with the annulus of which less than half is left. NaN if no k
    is found, or the flux is not positive.
    """
    y, x = np.ogrid[: image.shape[0], : image.shape[1]]
    x, y = x - ellipse["x"], y - ellipse["y"]
    cos, sin = np.cos(ellipse["theta"]), np.sin(ellipse["theta"])
    radius = np.hypot(
        (x * cos + y * sin) / ellipse["a"], (y * cos - x * sin) / ellipse["b"]
    )
    # Flux and area inside k, in steps that are fine beside the annuli.
    step, used = 0.02, np.isfinite(image)
    bins = (radius[used] / step).astype(np.int64)
    flux = np.cumsum(np.bincount(bins, image[used]))
    area = np.cumsum(np.bincount(bins))
    edges = step * np.arange(1, len(flux) + 1)
    k = edges[(edges >= 1) & (1.1 * edges <= edges[-1])]

    def between(total):
        return np.interp(1.1 * k, edges, total) - np.interp(0.9 * k, edges, total)

    whole = np.pi * ellipse["a"] * ellipse["b"] * (1.1**2 - 0.9**2) * k**2
    inside = between(area) > 0.5 * whole
    k = k[: len(k) if inside.all() else inside.argmin()]
    inner_flux, inner_area = np.interp(k, edges, flux), np.interp(k, edges, area)
    # annulus flux / its area <= 0.2 inner flux / its area, without the divisions
    fallen = between(flux) * inner_area <= _PETRO_RATIO * inner_flux * between(area)
    first = fallen.argmax() if fallen.any() else -1
    if first < 0 or not inner_flux[first] > 0:
        return np.nan
    return max(_PETRO_FACTOR * k[first], _PETRO_MIN)


def import_sep():
    """Returns the library sep; raises UserError if it is not installed."""
    try:
        import sep
    except ImportError as error:
        raise UserError(
            "finding galaxies needs the library sep, which is not installed\n"
            "What to do: pip install sep"
        ) from error
    return sep
