"""A source whose galaxies are centred and rescaled by a table of detections."""

import dataclasses
import functools
import hashlib

import numpy as np

from gzjax.data.sources.base import Source


@dataclasses.dataclass(frozen=True, eq=False)
class CentredSource:
    """A :class:`gzjax.data.sources.base.Source` whose galaxies are centred and
    rescaled.

    Attributes:
        source: the images and votes.
        placements: float64 ``[n 2 3]``, from
            :func:`gzjax.data.detections.table.read_placements`.
        threshold: of the detections.
    """

    source: Source
    placements: np.ndarray
    threshold: float

    @property
    def ids(self) -> np.ndarray:
        """int64 [n], ascending, unique."""
        return self.source.ids

    @property
    def targets(self) -> np.ndarray:
        """float32 [n a], absolute vote fractions in [0, 1]."""
        return self.source.targets

    @property
    def pixel_scale(self) -> float:
        """Pixels of the original 424 px frame per stored pixel."""
        return self.source.pixel_scale

    @property
    def num_unlabelled(self) -> int:
        """How many images have no row; they are not part of the source."""
        return getattr(self.source, "num_unlabelled", 0)

    @functools.cached_property
    def fingerprint(self) -> str:
        """Hexadecimal SHA-256 of the source's fingerprint and the placements."""
        digest = hashlib.sha256(self.source.fingerprint.encode())
        digest.update(np.ascontiguousarray(self.placements, "<f8"))
        return digest.hexdigest()

    def __len__(self) -> int:
        return len(self.ids)

    def decode(self, index: int) -> np.ndarray:
        """uint8 RGB ``[h w 3]``, the image of ``ids[index]``; safe in threads."""
        return self.source.decode(index)

    def placement(self, index: int, image: np.ndarray) -> np.ndarray:
        """``placements[index]``."""
        del image
        return self.placements[index]
