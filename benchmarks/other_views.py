"""The same views as others make them: scikit-image, Pillow in a PyTorch DataLoader.

All take the matrices of gzjax, so that they draw the same placements.
"""

import io

import cv2
import numpy as np
from PIL import Image

from gzjax.data.geometry import pixel_matrix, view_matrix, warp

try:
    from skimage.io import imread
    from skimage.transform._warps_cy import _warp_fast
except ImportError:
    imread = None
try:
    import torch
except ImportError:
    torch = None


def scikit_image(data: bytes, matrices: np.ndarray, size_px: int) -> np.ndarray:
    """float32 ``[v h w 3]`` in [0, 1], as the winner's ``load_data.fast_warp``.

    Read as float32, then each channel warped on its own by scikit-image's compiled
    function, bilinear, "reflect".

    Args:
        data: a JPEG.
        matrices: ``[v 2 3]``.
        size_px: of the views.
    """
    image = imread(io.BytesIO(data)).astype(np.float32) / 255
    views = np.empty((len(matrices), size_px, size_px, 3), np.float32)
    for matrix, view in zip(matrices, views, strict=True):
        homography = np.vstack([matrix, [0, 0, 1]]).astype(np.float32)
        for channel in range(3):
            view[..., channel] = _warp_fast(
                image[..., channel], homography, (size_px, size_px), 1, "reflect"
            )
    return views


def pillow(data: bytes, matrices: np.ndarray, size_px: int) -> np.ndarray:
    """uint8 ``[v h w 3]``: what torchvision's ``affine`` and ``crop`` call, merged.

    Pillow's coordinates are of pixels' corners, not centres.
    """
    image = Image.open(io.BytesIO(data)).convert("RGB")
    shift = matrices[..., :2].sum(-1) / 2
    matrices = matrices.copy()
    matrices[..., 2] += 0.5 - shift
    views = [
        image.transform(
            (size_px, size_px),
            Image.Transform.AFFINE,
            matrix.ravel().tolist(),
            Image.Resampling.BILINEAR,
        )
        for matrix in matrices
    ]
    return np.stack([np.asarray(view) for view in views])


def area_average(image: np.ndarray, matrices: np.ndarray, size_px: int) -> np.ndarray:
    """float64 ``[v h w 3]``: the mean of 16 x 16 bilinear samples of every pixel.

    What a view would be if each of its pixels gathered light from its whole area.

    Args:
        image: uint8 ``[h w 3]`` at full size.
        matrices: ``[v 2 3]``, of the views.
        size_px: of the views.
    """
    n = 16
    fine = matrices.copy()
    fine[..., :2] /= n
    fine[..., 2] -= fine[..., :2].sum(-1) * ((n - 1) / 2)
    views = warp(image.astype(np.float32), fine, size_px * n)
    shape = (len(views), size_px, n, size_px, n, 3)
    return views.reshape(shape).mean((2, 4), dtype=np.float64)


class PillowViews(torch.utils.data.Dataset if torch else object):
    """A PyTorch data set of :func:`pillow`'s views, as float32 channels first.

    Args:
        source: a gzjax source with ``read``.
        placements: ``[n v 2 3]``, of the examples in their order.
        indices: int ``[n]``, their positions in the source.
        size_px: of the views.
        scale: original px per view px.
        stored_size: (height, width) of the images.
    """

    def __init__(self, source, placements, indices, size_px, scale, stored_size):
        matrices = view_matrix(placements, size_px, scale)
        self._matrices = pixel_matrix(matrices, source.pixel_scale, stored_size)
        self._source, self._indices, self._size_px = source, indices, size_px

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, n: int):
        """Views ``[v 3 h w]`` in [0, 1] and the votes, as ToTensor makes them."""
        index = int(self._indices[n])
        views = pillow(self._source.read(index), self._matrices[n], self._size_px)
        tensor = torch.from_numpy(views).permute(0, 3, 1, 2).contiguous()
        return tensor.float().div_(255), torch.from_numpy(self._source.targets[index])


def ready_torch_worker(worker: int) -> None:
    """A loader process's share is one core."""
    del worker
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
