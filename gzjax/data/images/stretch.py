"""Turns measured brightness, of any range, into the 0 to 255 that pictures have."""

import dataclasses
import math

import numpy as np

from gzjax.errors import UserError

KINDS = ("asinh", "linear", "log")
LEVELS = ("percentile", "value")
DEFAULT_STRETCH = "asinh"


@dataclasses.dataclass(frozen=True)
class Stretch:
    """How brightness x becomes a pixel value y.

    With the levels a and b, the softening s, and t = (x - a) / (b - a) clipped to
    [0, 1]::

        linear:  f = t
        asinh:   f = asinh(t / s) / asinh(1 / s)
        log:     f = log(1 + t / s) / log(1 + 1 / s)
        y = floor(255 f + 1/2)

    The levels are one pair for all the planes of an image, so that colours are kept.
    NaN becomes 0. If a = b, what is above a becomes 255, and the rest 0.

    Attributes:
        kind: one of ``KINDS``.
        low: gives a; less than ``high``.
        high: gives b.
        softening: s > 0; the lower, the more the faint is raised. "linear" has none.
        levels: "percentile": ``low`` and ``high`` are percentiles in [0, 100] of the
            image's own finite values (of all planes together, interpolated linearly);
            "value": they are a and b themselves, the same for every image.

    Raises:
        ValueError: an attribute is out of its range.
    """

    kind: str = "asinh"
    low: float = 0.5
    high: float = 99.5
    softening: float = 0.1
    levels: str = "percentile"

    def __post_init__(self):
        low, high = self.low, self.high
        if self.kind not in KINDS:
            raise ValueError(f"the kind '{self.kind}' is not one of {', '.join(KINDS)}")
        if self.levels not in LEVELS:
            raise ValueError(f"'{self.levels}' is not one of {', '.join(LEVELS)}")
        if not (math.isfinite(high - low) and low < high):
            raise ValueError(f"low ({low}) must be below high ({high}), both finite")
        if self.levels == "percentile" and not (low >= 0 and high <= 100):
            raise ValueError(f"percentiles are in 0 to 100, not {low} to {high}")
        if not (0 < self.softening < math.inf and 1 / self.softening < math.inf):
            raise ValueError(f"softening must be positive, not {self.softening}")

    def __call__(self, planes: np.ndarray) -> np.ndarray:
        """Returns uint8 RGB [h w 3] of ``planes``, [1 h w] grey or [3 h w] RGB.

        Raises:
            ValueError: no value is finite.
        """
        # Infinities are clipped, and differences that overflow give some.
        with np.errstate(over="ignore", invalid="ignore"):
            planes = np.asarray(planes, np.float64)
            low, high = self._levels(planes)
            width = max(high - low, np.finfo(np.float64).tiny)
            t = np.nan_to_num(np.clip((planes - low) / width, 0.0, 1.0), nan=0.0)
        values = np.floor(255 * self._curve(t) + 0.5).astype(np.uint8)
        rgb = np.repeat(values, 3 // len(values), axis=0)
        return np.ascontiguousarray(np.moveaxis(rgb, 0, -1))

    def _levels(self, planes: np.ndarray) -> tuple[float, float]:
        finite = planes[np.isfinite(planes)]
        if not finite.size:
            raise ValueError("no pixel has a finite value")
        if self.levels == "value":
            return self.low, self.high
        return tuple(np.percentile(finite, [self.low, self.high]))

    def _curve(self, t: np.ndarray) -> np.ndarray:
        if self.kind == "linear":
            return t
        bend = np.arcsinh if self.kind == "asinh" else np.log1p
        return bend(t / self.softening) / bend(1 / self.softening)


def parse_stretch(text: str) -> Stretch:
    """Reads ``KIND[:LOW:HIGH[:SOFTENING]][:percentile|:value]``.

    For example ``asinh``, ``asinh:0.5:99.5:0.1`` (the same), ``linear:0:12.5:value``.

    Raises:
        UserError: the text is invalid; says what is valid.
    """
    kind, *rest = text.strip().split(":")
    fields: dict = {"kind": kind}
    if rest and rest[-1] in LEVELS:
        fields["levels"] = rest.pop()
    try:
        if len(rest) not in (0, 2, 3) or (kind == "linear" and len(rest) == 3):
            raise ValueError(f"{len(rest)} numbers after '{kind}'")
        numbers = zip(("low", "high", "softening"), map(float, rest), strict=False)
        return Stretch(**fields, **dict(numbers))
    except ValueError as error:
        raise UserError(
            f"the stretch '{text}' is not one: {error}\n"
            "What to do: give KIND:LOW:HIGH:SOFTENING, for example asinh:0.5:99.5:0.1. "
            f"KIND is {', '.join(KINDS)}; linear has no SOFTENING. LOW and HIGH are "
            "percentiles of each image, or pixel values, as in linear:0:12.5:value"
        ) from error
