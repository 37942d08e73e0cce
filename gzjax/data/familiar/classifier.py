"""A small classifier that tells training galaxies from wrong images, without JAX."""

import dataclasses
import itertools
from typing import NamedTuple

import numpy as np

from gzjax.data.familiar.statistics import NAMES, statistics
from gzjax.data.familiar.wrong_kinds import UNKNOWN

THRESHOLD = 0.5  # of ``unlike``: more is flagged
_CLIP = 8.0  # standard deviations of a statistic that the classifier sees
_SHARPNESS = 4.0  # powers of the distance beside the odds of the classifier


class Familiarity(NamedTuple):
    """What is said of n images.

    Attributes:
        unlike: float32 ``[n]`` in [0, 1], how unlike the training galaxies; more than
            ``THRESHOLD`` is flagged.
        kind: int ``[n]``, positions in ``KINDS``: what a flagged image resembles; 0 if
            it is not flagged.
    """

    unlike: np.ndarray
    kind: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Reference:
    """The training galaxies, as a classifier of :func:`statistics` knows them.

    Class 0 is the galaxies, class i is ``KINDS[i]``. Beside the classifier, the
    distance to the galaxies' mean catches what is of no kind.

    Attributes:
        mean: ``[s]``, of the galaxies' statistics; ``deviation`` ``[s]`` of them.
        whitening: ``[s s]``, which makes the standardised statistics uncorrelated.
        far: the distance from the mean that is flagged.
        offset: the log-odds of being wrong that are flagged.
        kernels: the layers' ``[f g]``; ``biases`` are their ``[g]``.
    """

    mean: np.ndarray
    deviation: np.ndarray
    whitening: np.ndarray
    far: np.ndarray
    offset: np.ndarray
    kernels: tuple[np.ndarray, ...]
    biases: tuple[np.ndarray, ...]

    def judge(self, crops: np.ndarray) -> Familiarity:
        """Judges n images by their crops, uint8 ``[n h w 3]``."""
        return self.judge_statistics(statistics(crops))

    def judge_statistics(self, values: np.ndarray) -> Familiarity:
        """Judges n images by their statistics ``[n s]``."""
        logits = self.logits(values)
        odds = log_odds(logits) - self.offset
        distance = _SHARPNESS * np.log(self.distance(values) / self.far)
        unlike = 1 / (1 + np.exp(-np.clip(np.maximum(odds, distance), -30, 30)))
        kind = np.where(odds > 0, 1 + logits[:, 1:].argmax(axis=1), UNKNOWN)
        kind = np.where(unlike > THRESHOLD, kind, 0)
        return Familiarity(np.float32(unlike), kind)

    def logits(self, values: np.ndarray) -> np.ndarray:
        """Returns ``[n k]``, one for the galaxies and one for each kind."""
        x = self.clipped(values)
        for kernel, bias in zip(self.kernels[:-1], self.biases[:-1], strict=True):
            x = np.maximum(x @ kernel + bias, 0)
        return x @ self.kernels[-1] + self.biases[-1]

    def clipped(self, values: np.ndarray) -> np.ndarray:
        """Returns the statistics as the classifier sees them."""
        return np.clip(self.standardise(values), -_CLIP, _CLIP)

    def distance(self, values: np.ndarray) -> np.ndarray:
        """Returns ``[n]``, the Mahalanobis distance from the mean galaxy."""
        white = self.standardise(values) @ self.whitening
        return np.sqrt((white**2).mean(axis=1)) + 1e-9

    def standardise(self, values: np.ndarray) -> np.ndarray:
        """Returns ``[n s]`` of mean 0 and deviation 1 for the galaxies."""
        return (values - self.mean) / self.deviation

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Returns float32 arrays by name."""
        arrays = {name: getattr(self, name) for name in _SINGLE}
        for i, (kernel, bias) in enumerate(zip(self.kernels, self.biases, strict=True)):
            arrays |= {f"kernel{i}": kernel, f"bias{i}": bias}
        return {
            k: np.array(array, np.float32, order="C") for k, array in arrays.items()
        }

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> "Reference":
        """Returns the reference of :meth:`to_arrays`.

        Raises:
            ValueError: a shape is wrong, or a number is not finite.
            KeyError: an array is missing.
        """
        single = {name: arrays[name] for name in _SINGLE}
        depth = sum(name.startswith("kernel") for name in arrays)
        layers = [(arrays[f"kernel{i}"], arrays[f"bias{i}"]) for i in range(depth)]
        size = len(NAMES)
        shapes = [array.shape for array in single.values()]
        wanted = [(size,), (size,), (size, size), (), ()]
        widths = [size, *(len(bias) for _, bias in layers)]
        shapes += [kernel.shape for kernel, _ in layers]
        wanted += list(itertools.pairwise(widths))
        if not depth or shapes != wanted or widths[-1] != UNKNOWN:
            raise ValueError("its arrays are not those of a reference")
        if not all(np.isfinite(array).all() for array in arrays.values()):
            raise ValueError("it has numbers that are not finite")
        kernels, biases = zip(*layers, strict=True)
        return cls(**single, kernels=kernels, biases=biases)


_SINGLE = ("mean", "deviation", "whitening", "far", "offset")


def log_odds(logits: np.ndarray) -> np.ndarray:
    """Returns ``[n]``: log P(wrong) / P(galaxy) of logits ``[n k]``."""
    return np.logaddexp.reduce(logits[:, 1:], axis=1) - logits[:, 0]
