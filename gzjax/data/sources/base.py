"""What the pipeline needs to know of a data set: ids, votes, and pixels by position."""

from collections.abc import Sequence

import numpy as np

from gzjax.data.geometry import FRAME_PX


class Source:
    """A catalogue of images in random access, cheap to pickle.

    Attributes:
        ids: int64 [n], ascending, unique.
        targets: float32 [n a], absolute vote fractions in [0, 1]; [n 0] if unknown.
        pixel_scale: how many pixels of the original 424 px frame one pixel of what
            :meth:`decode` returns spans: 1 for the challenge's own images, 2 for a
            half-size copy; None: the longer side of each image spans that frame.
        fingerprint: hexadecimal digest of ids, targets, pixel scale and placements.
        names: n, in the order of ``ids``; None: the ids are the names.
        threshold: the detection threshold by which galaxies are centred and rescaled;
            None: they are taken as they are in their images.
        num_unlabelled: how many images have no row; they are not part of the source.
    """

    ids: np.ndarray
    targets: np.ndarray
    pixel_scale: float | None
    fingerprint: str
    names: Sequence[str] | None = None
    threshold: float | None = None
    num_unlabelled: int = 0

    def __len__(self) -> int:
        return len(self.ids)

    def decode(self, index: int) -> np.ndarray:
        """Returns the image of ``ids[index]``, uint8 RGB ``[h w 3]``; safe in threads.

        Raises:
            BadImageError: :class:`gzjax.data.images.decode_jpeg.BadImageError`.
        """
        raise NotImplementedError

    def placement(self, index: int, image: np.ndarray) -> np.ndarray | None:
        """Returns the placement of a galaxy in its image ``[h w 3]``.

        It is applied nearest to the image (:func:`gzjax.data.geometry.compose`).

        Returns:
            float64 ``[2 3]``; None: the galaxy is at the image's centre and scale.
        """
        return None


def pixel_scale_of(source: Source, image: np.ndarray) -> float:
    """Returns the original px per px of ``image [h w 3]``."""
    if source.pixel_scale is None:
        return FRAME_PX / max(image.shape[:2])
    return source.pixel_scale
