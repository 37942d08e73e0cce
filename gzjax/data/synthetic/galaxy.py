"""What there is to know of a drawn galaxy: its picture and its votes follow from it.

Lengths are pixels of the original 424 px frame, angles radians.
"""

import dataclasses
import math


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
        """How far a disk shows its edge, in [0, 1]."""
        return 1 / (1 + math.exp(30 * (self.axis_ratio - 0.27)))

    def odd(self, feature: str) -> float:
        """Returns the strength of one odd feature, 0 if it is not there."""
        return self.odd_strength if feature == self.oddity else 0.0
