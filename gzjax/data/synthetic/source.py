"""Synthetic galaxies whose votes follow exactly from what the picture shows.

They stand in for the challenge's data in the demonstration and in the tests. Galaxy i
is a function of (seed, i) alone.
"""

import dataclasses
import functools
import hashlib

import cv2
import numpy as np

from gzjax.data.geometry import FRAME_PX
from gzjax.data.images.decode_jpeg import decode
from gzjax.data.sources.base import Source
from gzjax.data.synthetic.galaxy import draw_parameters
from gzjax.data.synthetic.painter import render
from gzjax.data.synthetic.votes import vote_fractions
from gzjax.errors import UserError
from gzjax.trees.base import Tree
from gzjax.trees.gz2 import GZ2

# Part of the fingerprint: raise it with every change of the pictures.
_RECIPE = 1
_FIRST_ID = 100_001
_CACHED_PIXELS = 2**29  # about 100 MB of JPEG in each process


@dataclasses.dataclass(frozen=True)
class SyntheticSource(Source):
    """A source that draws its galaxies when asked.

    The tree is that of the votes, and asks any of the questions of Galaxy Zoo 2.

    Raises:
        UserError: a field is out of range, or the tree asks something else.
    """

    num_galaxies: int
    seed: int = 0
    size_px: int = FRAME_PX  # side of the pictures, which cover the whole 424 px frame
    quality: int = 90  # of the JPEG
    tree: Tree = dataclasses.field(default=GZ2, repr=False)  # the votes tell it
    _pictures: dict = dataclasses.field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __post_init__(self):
        limits = {
            "num_galaxies": (1, 899_999),  # six digits, like the challenge's ids
            "seed": (0, 2**63 - 1),
            "size_px": (32, 4096),
            "quality": (1, 100),
        }
        for name, (low, high) in limits.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise UserError(
                    f"synthetic galaxies: {name} is {value}; choose {low} to {high}"
                )
        vote_fractions(draw_parameters(self._rng(0)), self.tree)

    def __reduce__(self):
        fields = self.num_galaxies, self.seed, self.size_px, self.quality
        return type(self), fields if self.tree == GZ2 else (*fields, self.tree)

    @functools.cached_property
    def ids(self) -> np.ndarray:
        return np.arange(_FIRST_ID, _FIRST_ID + self.num_galaxies, dtype=np.int64)

    @functools.cached_property
    def targets(self) -> np.ndarray:
        galaxies = (draw_parameters(self._rng(i)) for i in range(self.num_galaxies))
        return np.stack([vote_fractions(galaxy, self.tree) for galaxy in galaxies])

    @property
    def pixel_scale(self) -> float:
        return FRAME_PX / self.size_px

    @functools.cached_property
    def fingerprint(self) -> str:
        digest = hashlib.sha256(repr((self, _RECIPE)).encode())
        digest.update(self.ids.tobytes())
        digest.update(self.targets.tobytes())
        return digest.hexdigest()

    def read(self, index: int) -> bytes:
        """Returns the JPEG of ``ids[index]``, always the same bytes."""
        if not 0 <= index < self.num_galaxies:
            raise IndexError(f"galaxy {index} of {self.num_galaxies}")
        picture = self._pictures.get(index)
        if picture is None:
            picture = self._paint(index)
            if len(self._pictures) * self.size_px**2 < _CACHED_PIXELS:
                self._pictures[index] = picture
        return picture

    def decode(self, index: int) -> np.ndarray:
        return decode(self.read(index), self.ids[index])

    def _rng(self, index: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, index])

    def _paint(self, index: int) -> bytes:
        rng = self._rng(index)
        rgb = render(draw_parameters(rng), rng, self.size_px)
        bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
        _, jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, self.quality])
        return jpeg.tobytes()
