"""What there is to know of a drawn galaxy: its picture and its votes follow from it.

Lengths are pixels of the original 424 px frame, angles radians.
"""

import dataclasses
import math


@dataclasses.dataclass(frozen=True)
class Galaxy:
    """What a picture and its votes are made from; strengths and shares are in [0, 1].

    Attributes:
        star: how much of the galaxy a bright star in front of it drowns.
        disk: share of the disk; the rest is a smooth spheroid.
        radius: visible radius [px].
        axis_ratio: minor to major axis; of a disk, small means edge-on.
        angle: position angle [rad].
        sense: 1 or -1, the mirror image.
        bulge: prominence of the bulge of the disk.
        boxy: how far that bulge, seen from the edge, is a box.
        bar: strength.
        arms: number of spiral arms, 0 for none.
        arm_contrast: share of the disk's light that the arms concentrate.
        pitch: angle between an arm and a circle [degrees]; small is tightly wound.
        oddity: an answer of the question ``odd_feature``, or empty.
        odd_strength: of ``oddity``; 0 without one.
        brightness: of the galaxy, 1 typical.
        warmth: 0 blue to 1 red.
        background: mean display level of the sky, of 1.
        noise: standard deviation of the display level in a pixel of the 424 px frame.
        seeing: standard deviation of the blur [px].
    """

    star: float
    disk: float
    radius: float
    axis_ratio: float
    angle: float
    sense: int
    bulge: float
    boxy: float
    bar: float
    arms: int
    arm_contrast: float
    pitch: float
    oddity: str
    odd_strength: float
    brightness: float
    warmth: float
    background: float
    noise: float
    seeing: float

    @property
    def edge_on(self) -> float:
        """How far a disk shows its edge, in [0, 1]."""
        return 1 / (1 + math.exp(30 * (self.axis_ratio - 0.27)))

    def odd(self, feature: str) -> float:
        """The strength of one odd feature, 0 if it is not there."""
        return self.odd_strength if feature == self.oddity else 0.0
