"""What there is to know of a drawn galaxy: its picture and its votes follow from it.

Lengths are pixels of the original 424 px frame, angles radians.
"""

import dataclasses
import math

import numpy as np

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
class Galaxy:
    """What a picture and its votes are made from; strengths are in [0, 1]."""

    star: float  # how much of the galaxy a bright star in front of it drowns
    disk: float  # share of the disk; the rest is a smooth spheroid
    radius: float  # visible radius [px]
    axis_ratio: float  # minor to major axis; of a disk, small means edge-on
    angle: float  # position angle [rad]
    sense: int  # 1 or -1, the mirror image
    bulge: float  # prominence of the bulge of the disk
    boxy: float  # how far that bulge, seen from the edge, is a box
    bar: float  # strength
    arms: int  # number of spiral arms, 0 for none
    arm_contrast: float  # share of the disk's light that the arms concentrate
    pitch: float  # angle between an arm and a circle [degrees]; small is tightly wound
    oddity: str  # an answer of the question ``odd_feature``, or empty
    odd_strength: float  # of ``oddity``; 0 without one
    brightness: float  # of the galaxy, 1 typical
    warmth: float  # 0 blue to 1 red
    background: float  # mean display level of the sky, of 1
    noise: float  # standard deviation of the display level in a px of the 424 px frame
    seeing: float  # standard deviation of the blur [px]

    @property
    def edge_on(self) -> float:
        """Returns how far a disk shows its edge, in [0, 1]."""
        return 1 / (1 + math.exp(30 * (self.axis_ratio - 0.27)))

    def odd(self, feature: str) -> float:
        """Returns the strength of one odd feature, 0 if it is not there."""
        return self.odd_strength if feature == self.oddity else 0.0


def draw_parameters(rng: np.random.Generator) -> Galaxy:
    """Returns a random galaxy of a population like that of Galaxy Zoo 2."""
    is_disk = rng.random() < 0.58
    oddity = str(rng.choice(list(_ODDITIES), p=list(_ODDITIES.values())))
    if rng.random() > 0.27:
        oddity = ""
    is_disk = is_disk or oddity in ("ring", "irregular")
    disk = rng.beta(8, 1.2) if is_disk else rng.beta(1, 9)
    may_have_arms = is_disk and oddity not in ("irregular", "dust_lane")
    has_arms = may_have_arms and rng.random() < 0.72
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
