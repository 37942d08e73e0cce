"""What every data set has: ids, votes, pixels by position; and checks of its images."""

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from gzjax.data.geometry import FRAME_PX
from gzjax.errors import Problems

_NUM_THREADS = 8  # that read files at a time
_CHUNK = 64  # images a thread takes at a time


class Source:
    """A catalogue of images in random access, cheap to pickle.

    Attributes:
        ids: int64 [n], ascending, unique.
        targets: float32 [n a], absolute vote fractions in [0, 1]; [n 0] if unknown.
        pixel_scale: how many pixels of the original 424 px frame one pixel of what
            :meth:`decode` returns spans: 1 for the challenge's own images, 2 for a
            half-size copy; None: the longer side of each image spans that frame.
        fingerprint: hexadecimal digest of ids, targets, pixel scale and placements.
        names: n, in the order of ``ids``; None: the ids are the names.
        threshold: the detection threshold by which galaxies are centred and rescaled;
            None: they are taken as they are in their images.
        num_unlabelled: how many images have no row; they are not part of the source.
    """

    ids: np.ndarray
    targets: np.ndarray
    pixel_scale: float | None
    fingerprint: str
    names: Sequence[str] | None = None
    threshold: float | None = None
    num_unlabelled: int = 0

    def __len__(self) -> int:
        return len(self.ids)

    def decode(self, index: int) -> np.ndarray:
        """Returns the image of ``ids[index]``, uint8 RGB ``[h w 3]``; safe in threads.

        Raises:
            BadImageError: :class:`gzjax.data.images.decode_jpeg.BadImageError`.
        """
        raise NotImplementedError

    def placement(self, index: int, image: np.ndarray) -> np.ndarray | None:
        """Returns a galaxy's placement, float64 ``[2 3]``, in its ``image [h w 3]``.

        It is applied nearest to the image (:func:`gzjax.data.geometry.compose`). None:
        the galaxy is at the image's centre and scale.
        """
        return None


def pixel_scale_of(source: Source, image: np.ndarray) -> float:
    """Returns the original px per px of ``image [h w 3]``."""
    if source.pixel_scale is None:
        return FRAME_PX / max(image.shape[:2])
    return source.pixel_scale


class CentredSource(Source):
    """A source whose galaxies are centred and rescaled by a table of detections.

    The last two arguments are those that
    :func:`gzjax.data.detections.table.read_placements` returns.
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


def check_each(
    check: Callable[[int], str | None],
    keys: Sequence[int],
    problems: Problems,
    unit: str,
    name: Callable[[int], object] = int,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Checks many images once, in threads, and notes the bad ones kind by kind.

    Args:
        check: returns what is wrong with the image of a key, or None.
        keys: ids or positions.
        unit: what ``name`` returns, for the messages.
        name: returns what a message calls the image of a key.
        progress: called now and then with (images checked, images in all).
    """
    chunks = [keys[i : i + _CHUNK] for i in range(0, len(keys), _CHUNK)]
    done = 0
    with ThreadPoolExecutor(_NUM_THREADS) as pool:
        results = pool.map(lambda chunk: list(map(check, chunk)), chunks)
        for chunk, found in zip(chunks, results, strict=True):
            for key, problem in zip(chunk, found, strict=True):
                if problem:
                    problems.add(f"images: {problem}", unit, [name(key)])
            done += len(chunk)
            if progress is not None:
                progress(done, len(keys))
