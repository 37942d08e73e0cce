"""A source whose galaxies are centred and rescaled by a table of detections."""

import hashlib

import numpy as np

from gzjax.data.sources.base import Source


class CentredSource(Source):
    """A source whose galaxies are centred and rescaled.

    Args:
        source: the images and votes.
        placements: float64 ``[n 2 3]``, from
            :func:`gzjax.data.detections.table.read_placements`.
        threshold: the detection threshold.
    """

    def __init__(self, source: Source, placements: np.ndarray, threshold: float):
        self.source, self.placements, self.threshold = source, placements, threshold
        self.ids, self.targets = source.ids, source.targets
        self.pixel_scale = source.pixel_scale
        self.names, self.num_unlabelled = source.names, source.num_unlabelled
        digest = hashlib.sha256(source.fingerprint.encode())
        digest.update(np.ascontiguousarray(placements, "<f8"))
        self.fingerprint = digest.hexdigest()

    def decode(self, index: int) -> np.ndarray:
        return self.source.decode(index)

    def placement(self, index: int, image: np.ndarray) -> np.ndarray:
        return self.placements[index]
