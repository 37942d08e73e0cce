"""Finds out what is to be prepared, before anything is written."""

import dataclasses
import functools
import hashlib
import math
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from gzjax.data.images.challenge_files import Images, read_jpeg
from gzjax.data.images.decode_jpeg import jpeg_size
from gzjax.data.prepared.manifest import (
    GALAXIES,
    JPEG,
    KINDS,
    LEDGER,
    LEFT_OUT,
    MANIFEST,
    PIXEL,
    is_image_file,
    npy_header,
)
from gzjax.data.sources.challenge import (
    check_scales,
    fingerprint,
    raise_if_unusable,
    read_download,
)
from gzjax.errors import Problems, UserError, first_few
from gzjax.progress import Progress
from gzjax.trees import Tree

_NUM_THREADS = 8
_JPEGS_PER_SHARD = 512
_PIXEL_BYTES_PER_SHARD = 1 << 25


@dataclasses.dataclass(frozen=True)
class Preparation:
    """The contents of a data set that is to be prepared."""

    kind: str
    pixel_scale: float
    decode_scale: int  # 1 for ``jpeg``
    tree: Tree
    images: Images
    ids: np.ndarray  # int64 [n], ascending: galaxies with a row and an image
    targets: np.ndarray  # float32 [n a]
    sizes: np.ndarray  # int64 [n], of the images in bytes
    missing: list[int]  # ids with a row and without an image
    num_unlabelled: int  # images without a row
    size_px: tuple[int, ...]  # (height, width) of ``pixels``; () for ``jpeg``
    per_shard: int  # how many images are written at a time

    @property
    def num_shards(self) -> int:
        """Returns the number of shards that the set will have."""
        return math.ceil(len(self.ids) / self.per_shard)

    def rows(self, shard: int) -> range:
        """Returns the positions of the galaxies in a shard."""
        start = shard * self.per_shard
        return range(start, min(start + self.per_shard, len(self.ids)))

    @property
    def num_bytes(self) -> int:
        """Returns the length of ``pixels.npy``, or about that of all shard files."""
        if self.kind == JPEG:
            return int(self.sizes.sum()) + 256 * len(self.ids)
        return len(npy_header(self.shape)) + math.prod(self.shape)

    @property
    def shape(self) -> tuple[int, ...]:
        """Returns the shape of ``pixels.npy``: (rows, h, w, 3)."""
        return (len(self.ids), *self.size_px, 3)

    @functools.cached_property
    def identity(self) -> dict:
        """Fields of a :class:`gzjax.data.prepared.manifest.Manifest`, JSON-ready."""
        download = fingerprint(self.ids, self.targets, 1.0, self.sizes)
        download = hashlib.sha256(f"{download}{self.missing}".encode()).hexdigest()
        keys = ("kind", "pixel_scale", "decode_scale", "size_px", "num_unlabelled")
        same = {key: getattr(self, key) for key in keys}
        return same | {"tree": self.tree.to_dict(), "download": download}


def make_preparation(
    folder: Path, tree: Tree, kind: str, pixel_scale: float, decode_scale: int | None
) -> Preparation:
    """Reads the labels and, for pixels, the header of every image.

    The arguments are those of :func:`gzjax.data.prepared.prepare.prepare`.

    Raises:
        UserError: invalid options, wrong labels, no images, or images of different
            sizes for ``pixels``.
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
    used = ids[there].tolist()
    size_px = _size_px(images, used, scale) if kind == PIXEL else ()
    return Preparation(
        kind=kind,
        pixel_scale=float(pixel_scale),
        decode_scale=scale if kind == PIXEL else 1,
        tree=tree,
        images=images,
        ids=ids[there],
        targets=targets[there],
        sizes=np.array([sizes[galaxy] for galaxy in used], np.int64),
        missing=ids[~there].tolist(),
        num_unlabelled=len(sizes) - len(used),
        size_px=size_px,
        per_shard=images_per_shard(size_px),
    )


def check_output(output: Path) -> None:
    """Raises a UserError if ``output`` holds what ``prepare`` did not make."""
    if not output.exists():
        return
    if not output.is_dir():
        raise UserError(f"{output} is a file: name a folder with --output=DIR")
    there = {path.name for path in output.iterdir()}
    others = sorted(name for name in there if not _is_ours(name))
    if others and not {MANIFEST, LEDGER} & there:
        raise UserError(
            f"{output} holds other things ({first_few(others)})\n"
            "What to do: name a new folder with --output=DIR"
        )


def _is_ours(name: str) -> bool:
    is_aside = name.startswith(".") and name.endswith(".partial")
    return name in (GALAXIES, LEFT_OUT) or is_image_file(name) or is_aside


def images_per_shard(size_px: tuple[int, ...]) -> int:
    """Returns how many images are written at a time: JPEGs, or pixels of this size."""
    if not size_px:
        return _JPEGS_PER_SHARD
    return max(1, _PIXEL_BYTES_PER_SHARD // (3 * math.prod(size_px)))


def _size_px(images: Images, galaxies: list[int], scale: int) -> tuple[int, int]:
    """Returns (height, width) of all good images, decoded at ``scale``."""
    found = _sizes_in_headers(images, galaxies)
    if not found:
        raise UserError(f"{images.path}: none of the images can be read")
    common, _ = Counter(found.values()).most_common(1)[0]
    height, width = common
    others = [f"{id_}: {w} x {h}" for id_, (h, w) in found.items() if (h, w) != common]
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


def _sizes_in_headers(images: Images, galaxies: list[int]) -> dict[int, tuple]:
    """Returns (height, width) of the good images by id."""
    found = {}
    with (
        ThreadPoolExecutor(_NUM_THREADS) as pool,
        Progress("reading sizes", len(galaxies)) as bar,
    ):
        sizes = pool.map(functools.partial(_header_size, images), galaxies)
        for done, (galaxy, size) in enumerate(zip(galaxies, sizes, strict=True), 1):
            if size is not None:
                found[galaxy] = size
            bar.update(done, "images")
    return found


def _header_size(images: Images, galaxy: int) -> tuple[int, int] | None:
    try:
        data, problem = read_jpeg(images, galaxy)
    except OSError:  # said when the image is wanted
        return None
    return None if problem else jpeg_size(data)
