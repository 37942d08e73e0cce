"""Synthetic galaxies whose votes follow exactly from what the picture shows.

They stand in for the challenge's data in the demonstration and in the tests. Galaxy i
is a function of (seed, i) alone.
"""

import dataclasses
import functools
import hashlib
import math

import cv2
import numpy as np

from gzjax.data.geometry import FRAME_PX
from gzjax.data.images.decode_jpeg import decode
from gzjax.data.sources.base import Source
from gzjax.data.synthetic.galaxy import Galaxy
from gzjax.data.synthetic.painter import render
from gzjax.data.synthetic.votes import vote_fractions
from gzjax.errors import UserError
from gzjax.trees.base import Tree
from gzjax.trees.gz2 import GZ2

# Part of the fingerprint: raise it with every change of the pictures.
_RECIPE = 1
_FIRST_ID = 100_001
_CACHED_PIXELS = 2**29  # about 100 MB of JPEG in each process
# How frequent they are among the odd galaxies; another order draws other galaxies.
_ODDITIES = {
    "ring": 0.22,
    "lens_or_arc": 0.08,
    "disturbed": 0.15,
    "irregular": 0.15,
    "other": 0.1,
    "merger": 0.2,
    "dust_lane": 0.1,
}


@dataclasses.dataclass(frozen=True)
class SyntheticSource(Source):
    """A source that draws its galaxies when asked.

    Attributes:
        num_galaxies: at least 1.
        seed: 0 or more.
        size_px: side of the stored pictures; they cover the whole 424 px frame.
        quality: of the JPEG, 1 to 100.
        tree: of the votes; asks any of the questions of Galaxy Zoo 2.

    Raises:
        UserError: a field is out of range, or the tree asks something else.
    """

    num_galaxies: int
    seed: int = 0
    size_px: int = FRAME_PX
    quality: int = 90
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


def draw_parameters(rng: np.random.Generator) -> Galaxy:
    """Returns a random galaxy of a population like that of Galaxy Zoo 2."""
    is_disk = rng.random() < 0.58
    oddity = str(rng.choice(list(_ODDITIES), p=list(_ODDITIES.values())))
    if rng.random() > 0.27:
        oddity = ""
    if oddity in ("ring", "irregular"):
        is_disk = True
    disk = rng.beta(8, 1.2) if is_disk else rng.beta(1, 9)
    has_arms = (
        is_disk and oddity not in ("irregular", "dust_lane") and rng.random() < 0.72
    )
    has_bulge = oddity != "irregular" and rng.random() < 0.85
    return Galaxy(
        star=rng.uniform(0.5, 1) if rng.random() < 0.02 else 0.0,
        disk=disk,
        radius=math.exp(rng.uniform(math.log(48), math.log(95))),
        axis_ratio=_draw_axis_ratio(rng, is_disk, oddity),
        angle=rng.uniform(0, 2 * math.pi),
        sense=int(rng.choice((-1, 1))),
        bulge=rng.beta(1.1, 1.7) if has_bulge else 0.0,
        boxy=rng.uniform(0.5, 1) if rng.random() < 0.25 else 0.0,
        bar=rng.uniform(0.2, 1) if has_arms and rng.random() < 0.4 else 0.0,
        arms=int(rng.choice(6, p=(0.08, 0.5, 0.18, 0.12, 0.06, 0.06)) + 1)
        * int(has_arms),
        arm_contrast=rng.uniform(0.2, 1),
        pitch=rng.uniform(8, 40),
        oddity=oddity,
        odd_strength=rng.uniform(0.35, 1) if oddity else 0.0,
        brightness=math.exp(rng.uniform(math.log(0.5), math.log(1.6))),
        warmth=float(np.clip(rng.normal(0.9 - 0.55 * disk, 0.15), 0, 1)),
        background=rng.uniform(0.02, 0.06),
        noise=rng.uniform(0.015, 0.05),
        seeing=rng.uniform(1.2, 3.2),
    )


def _draw_axis_ratio(rng, is_disk: bool, oddity: str) -> float:
    cosine, thickness = rng.random(), rng.uniform(0.1, 0.16)
    low = 0.5 if oddity in ("ring", "irregular", "lens_or_arc") else 0.0
    if is_disk:
        # A disk in a random direction: the cosine of its inclination is uniform.
        return math.hypot(low + (1 - low) * cosine, thickness) / math.hypot(1, 0.16)
    return 1 - (1 - max(low, 0.25)) * (1 - cosine) ** 1.4
