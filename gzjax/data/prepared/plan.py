"""What is to be prepared, found out before anything is written."""

import dataclasses
import functools
import hashlib
import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from gzjax.data.images.challenge_files import Images, read_jpeg
from gzjax.data.images.jpeg_check import jpeg_size
from gzjax.data.prepared.files import JPEG, KINDS, PIXEL
from gzjax.data.sources.challenge import (
    check_scales,
    fingerprint,
    raise_if_unusable,
    read_download,
)
from gzjax.errors import Problems, UserError, first_few
from gzjax.progress import Progress
from gzjax.trees import Tree

MISSING = "missing from the download"
_NUM_THREADS = 8


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a prepared data set is made of.

    Attributes:
        kind: ``jpeg`` or ``pixels``.
        pixel_scale: original px per pixel of the JPEGs.
        decode_scale: of ``pixels``; 1 for ``jpeg``.
        size_px: (height, width) of ``pixels``; () for ``jpeg``.
        tree: of the votes.
        images: of the download.
        ids: int64 [n], ascending: galaxies with a row and an image.
        targets: float32 [n a].
        sizes: int64 [n], of the images in bytes.
        missing: ids with a row and without an image.
        num_unlabelled: images without a row.
        decoded_px: ``size_px``, also of what ``pixels`` would be; (0, 0): not known.
    """

    kind: str
    pixel_scale: float
    decode_scale: int
    size_px: tuple[int, ...]
    tree: Tree
    images: Images
    ids: np.ndarray
    targets: np.ndarray
    sizes: np.ndarray
    missing: list[int]
    num_unlabelled: int
    decoded_px: tuple[int, int]

    @property
    def jpeg_bytes(self) -> int:
        """What ``jpeg`` takes, or would take, with ArrayRecord's indices."""
        return int(self.sizes.sum()) + 256 * len(self.ids)

    @property
    def pixel_bytes(self) -> int:
        """What ``pixels`` take, or would take."""
        return 3 * int(np.prod(self.decoded_px)) * len(self.ids)

    @functools.cached_property
    def identity(self) -> dict:
        """JSON-ready: what every set made of this plan says of itself."""
        digest = hashlib.sha256(
            fingerprint(self.ids, self.targets, self.pixel_scale, self.sizes).encode()
        )
        digest.update(repr(self.missing).encode())
        content = {
            "kind": self.kind,
            "pixel_scale": self.pixel_scale,
            "decode_scale": self.decode_scale,
            "size_px": self.size_px,
            "tree": self.tree.to_dict(),
            "num_unlabelled": self.num_unlabelled,
            "download": digest.hexdigest(),
        }
        return json.loads(json.dumps(content))  # as it comes back from a file


def make_plan(
    folder: Path, tree: Tree, kind: str, pixel_scale: float, decode_scale: int | None
) -> Plan:
    """Reads the labels and, for pixels, the header of every image.

    Args:
        folder: as for :func:`gzjax.data.sources.challenge.open_challenge`.
        tree: of the labels.
        kind: ``jpeg`` or ``pixels``.
        pixel_scale: pixels of the original 424 px frame per stored pixel.
        decode_scale: of ``pixels``; None: 2. For ``jpeg`` None.

    Raises:
        UserError: options that cannot be, wrong labels, no images, or images of
            different sizes for ``pixels``.
    """
    if kind not in KINDS:
        raise UserError(f"--kind is '{kind}'; there are: {', '.join(KINDS)}")
    if kind == JPEG and decode_scale is not None:
        raise UserError(
            f"--decode_scale is for --kind={PIXEL}: JPEGs are stored as they are, and "
            "made smaller by config.data.decode_scale when they are decoded"
        )
    scale = 2 if decode_scale is None else decode_scale
    check_scales(pixel_scale, scale)
    problems = Problems()
    images, ids, targets, sizes = read_download(folder, tree, problems)
    raise_if_unusable(folder, problems)
    there = np.isin(ids, np.fromiter(sizes, np.int64, len(sizes)))
    if not there.any():
        raise UserError(f"{folder}: none of the {len(ids):,} galaxies has an image")
    used = np.array([sizes[i] for i in ids[there].tolist()], np.int64)
    galaxies = ids[there].tolist()
    if kind == PIXEL:
        decoded_px = size_px = _size_px(images, galaxies, scale)
    else:
        height, width = _first_size(images, galaxies) or (0, 0)
        size_px, decoded_px = (), (height // scale, width // scale)
    return Plan(
        kind,
        float(pixel_scale),
        scale if kind == PIXEL else 1,
        size_px,
        tree,
        images,
        ids[there],
        targets[there],
        used,
        ids[~there].tolist(),
        len(sizes) - len(used),
        decoded_px,
    )


def _first_size(images: Images, galaxies) -> tuple[int, int] | None:
    """(height, width) of the first good image."""
    each = (_header_size(images, galaxy) for galaxy in galaxies)
    return next((size for size in each if size is not None), None)


def _header_size(images: Images, galaxy: int) -> tuple[int, int] | None:
    try:
        data, problem = read_jpeg(images, galaxy)
    except OSError:  # said when the image is wanted
        return None
    return None if problem else jpeg_size(data)


def _size_px(images, galaxies, scale) -> tuple[int, int]:
    """(height, width) of all images at ``scale``; bad ones have none."""
    found = {}
    look = functools.partial(_header_size, images)
    with (
        ThreadPoolExecutor(_NUM_THREADS) as pool,
        Progress("looking at sizes", len(galaxies)) as bar,
    ):
        looked = zip(galaxies, pool.map(look, galaxies), strict=True)
        for done, (galaxy, size) in enumerate(looked, 1):
            if size is not None:
                found[galaxy] = size
            bar.update(done, "images")
    if not found:
        raise UserError(f"{images.path}: none of the images can be read")
    (height, width), _ = Counter(found.values()).most_common(1)[0]
    others = [f"{galaxy}: {w} x {h}" for galaxy, (h, w) in found.items()
              if (h, w) != (height, width)]  # fmt: skip
    if others:
        raise UserError(
            f"{images.path}: --kind={PIXEL} is for images of one size; most have "
            f"{width} x {height} px, but {len(others):,} have not (ids "
            f"{first_few(others)})\nWhat to do: replace them or remove their rows, or "
            f"take --kind={JPEG}"
        )
    if height % scale or width % scale:
        raise UserError(
            f"{images.path}: images of {width} x {height} px cannot be made {scale} "
            f"times smaller: sides must be multiples of --decode_scale\n"
            "What to do: give --decode_scale=1"
        )
    return height // scale, width // scale
