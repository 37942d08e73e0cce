"""The window rule: when strided windows commute with quarter turns and mirrors.

A window of size k, stride s and padding p on both sides of n pixels covers the image
symmetrically if and only if ``(n + 2p - k) mod s == 0``. Otherwise the last pixels of
one side are left out, and turning the image changes which.
"""

import dataclasses
from collections.abc import Sequence


@dataclasses.dataclass(frozen=True)
class Window:
    """A sliding window: the name of its convolution or pool, k, s and p in pixels.

    Raises:
        ValueError: k or s is below 1, or p not in 0 .. k - 1.
    """

    name: str
    size: int
    stride: int = 1
    padding: int = 0

    def __post_init__(self):
        if self.size < 1 or self.stride < 1 or not 0 <= self.padding < self.size:
            raise ValueError(
                f"{self.name} has window {self.size}, stride {self.stride}, padding "
                f"{self.padding}: give a window and a stride of at least 1, and a "
                "padding below the window"
            )

    def output_size(self, n: int) -> int:
        """Returns the number of positions on n pixels; the remainder is left out."""
        return (n + 2 * self.padding - self.size) // self.stride + 1

    def remainder(self, n: int) -> int:
        """Returns 0 if the window obeys the rule on n pixels."""
        return (n + 2 * self.padding - self.size) % self.stride


def output_size(input_size: int, windows: Sequence[Window]) -> int:
    """Returns the size of the last feature map.

    Raises:
        ValueError: a feature map is smaller than its window; names the layer.
    """
    n = input_size
    for window in windows:
        if n + 2 * window.padding < window.size:
            raise ValueError(
                f"{input_size} px are too few: {window.name} has a window of "
                f"{window.size} px on a feature map of {n}"
            )
        n = window.output_size(n)
    return n


def is_exact(input_size: int, windows: Sequence[Window]) -> bool:
    """Tells whether every window obeys the rule at this input size."""
    n = input_size
    for window in windows:
        if n + 2 * window.padding < window.size or window.remainder(n):
            return False
        n = window.output_size(n)
    return True


def check_exact(input_size: int, windows: Sequence[Window]) -> None:
    """Checks the rule for a whole network.

    Raises:
        ValueError: names the first layer that breaks it, with its numbers, and the
            nearest input sizes at which all layers obey.
    """
    output_size(input_size, windows)
    n = input_size
    for window in windows:
        if window.remainder(n):
            sizes = [m for m in range(2, 2 * input_size + 64) if is_exact(m, windows)]
            near = sorted(sorted(sizes, key=lambda m: abs(m - input_size))[:4])
            works = ", ".join(map(str, near)) or "none, with these windows"
            raise ValueError(
                f"{input_size} px break the equivariance: {window.name} has window "
                f"{window.size}, stride {window.stride}, padding {window.padding} on a "
                f"feature map of {n}, and ({n} + 2*{window.padding} - {window.size}) "
                f"mod {window.stride} = {window.remainder(n)}, not 0. "
                f"Sizes that work: {works}"
            )
        n = window.output_size(n)
