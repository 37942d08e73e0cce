"""Where the cells of a feature map lie in what a network sees.

Axis p: the parts that a network makes of a galaxy, 8 per view for a ViewNet, else 1.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from gzjax.models.network import Network
from gzjax.models.view_net import ViewNet
from gzjax.ops.views import PARTS_PER_VIEW, extract_parts
from gzjax.ops.windows import Window


def num_parts(model: nn.Module, images: jax.Array) -> int:
    """Returns p; a network's feature maps are ``[b·p h w ...]``."""
    return PARTS_PER_VIEW * images.shape[1] if isinstance(model, ViewNet) else 1


def cell_centres(num_cells: int, size_px: int, windows: list[Window]) -> np.ndarray:
    """Returns centres ``[num_cells]`` of the cells' receptive fields, in input pixels.

    Pixel centres are whole numbers, from 0. The feature map is that of the first window
    after which it has so many cells (windows that keep the size keep the centres). If
    no window leaves so many, the cells are taken to share the input equally.
    """
    first, step, n = 0.0, 1.0, size_px
    for window in windows:
        if n == num_cells:
            break
        first += step * ((window.size - 1) / 2 - window.padding)
        step *= window.stride
        n = window.output_size(n)
    if n != num_cells:
        step = size_px / num_cells
        first = (step - 1) / 2
    return first + step * np.arange(num_cells)


def lay_over(cells: jax.Array, model: nn.Module, images: jax.Array) -> jax.Array:
    """Returns the cells of a feature map, laid over its images: ``[b H W]``.

    Bilinear between the centres of the cells' receptive fields, and constant beyond the
    outermost, whose fields reach further. Parts are laid back where they were cut from
    (:func:`gzjax.ops.views.extract_parts`, transposed), and averaged where they
    overlap; there a part counts the less, the further a pixel is from its cells.

    Args:
        cells: ``[b p h w]``.
        model: its windows, if it has any, tell the centres.
        images: its input ``[b H W c]``, or ``[b v H W c]`` for a ViewNet (the result is
            ``[b v H W]``); only the shape is used.
    """
    windows = model.windows() if isinstance(model, Network) else []
    if not isinstance(model, ViewNet):
        return _resized(cells, images.shape[1:3], windows)[:, 0]
    part_px = model.part_px
    parts = _resized(cells, (part_px, part_px), windows)[..., None]
    trust = _trust(cells.shape[2], part_px, windows)
    trust = jnp.asarray(np.outer(trust, trust)[..., None], parts.dtype)
    trust = jnp.broadcast_to(trust, parts.shape)
    views = jax.ShapeDtypeStruct((*images.shape[:-1], 1), parts.dtype)
    lay_back = jax.linear_transpose(lambda x: extract_parts(x, part_px), views)
    (total,), (weight,) = lay_back(parts * trust), lay_back(trust)
    return (total / jnp.where(weight > 0, weight, 1))[..., 0]  # small parts leave a gap


def _resized(cells, size, windows):
    rows, columns = (
        jnp.asarray(_interpolation(n, size_px, windows), cells.dtype)
        for n, size_px in zip(cells.shape[2:], size, strict=True)
    )
    return jnp.einsum("bphw,yh,xw->bpyx", cells, rows, columns)


def _interpolation(num_cells, size_px, windows):
    """Returns linear weights ``[size_px num_cells]``."""
    centres = cell_centres(num_cells, size_px, windows)
    pixels = np.arange(size_px)
    return np.stack([np.interp(pixels, centres, e) for e in np.eye(num_cells)], axis=1)


def _trust(num_cells, size_px, windows):
    """Returns ``[size_px]``: 1 between the centres, less the further beyond."""
    centres = cell_centres(num_cells, size_px, windows)
    pixels = np.arange(size_px)
    beyond = np.maximum(np.maximum(centres[0] - pixels, pixels - centres[-1]), 0)
    return (1.0 + beyond) ** -4
