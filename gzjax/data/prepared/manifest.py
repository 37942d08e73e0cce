"""The files of a prepared data set, and the manifest that describes them.

* ``manifest.json``, written last: a folder without it is not a prepared data set;
* ``galaxies.npy``: ids, votes, sizes, and where each image is (:func:`galaxies_dtype`);
* ``images-00003-of-00016.array_record``: shard files of JPEGs, in ascending order of
  ids; or ``pixels.npy``: uint8 RGB ``[rows h w 3]``;
* ``left_out.csv``: ids and reasons, if images were left out.
"""

import dataclasses
import functools
import hashlib
import io
import json
import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gzjax.data.csv_rows import LABEL_FILES
from gzjax.errors import UserError
from gzjax.files import MAX_TABLE_BYTES, read_bytes, read_json
from gzjax.trees import Tree

MANIFEST, GALAXIES, PIXELS = "manifest.json", "galaxies.npy", "pixels.npy"
LEFT_OUT = "left_out.csv"
LEDGER = "progress.jsonl"  # while the set is made
FORMAT = 2  # of all these files together
KINDS = JPEG, PIXEL = ("jpeg", "pixels")
MISSING = "missing from the download"
MEND = (
    "copy the set again from where it is whole, or run the command that made it again, "
    "gzjax.main prepare --data=DOWNLOAD --output=DIR with its other flags: it mends "
    "what is damaged (prepare --output=DIR --verify finds all of it)"
)


class DamagedManifestError(UserError):
    """The manifest is damaged or missing."""


class Shard(NamedTuple):
    """Images that are written at a time: a shard file, or a block of ``pixels.npy``."""

    name: str  # of the file
    start: int  # where the shard begins in the file, in bytes
    bytes: int
    rows: int  # how many images are in it
    sha256: str
    left_out: Sequence[Sequence]  # an id and a reason for each unusable image


@dataclasses.dataclass(frozen=True)
class Manifest:
    """The contents of ``manifest.json``."""

    kind: str
    pixel_scale: float  # original px per pixel of the JPEGs
    decode_scale: int  # how many times smaller ``pixels`` were decoded; 1 for ``jpeg``
    size_px: Sequence[int]  # (height, width) of ``pixels``; () for ``jpeg``
    tree: dict  # from :meth:`gzjax.trees.Tree.to_dict`
    count: int  # of the galaxies
    num_unlabelled: int  # images of the download without a row in its labels
    missing: list[int]  # ids with a row and without an image
    fingerprint: str  # see :func:`gzjax.data.sources.challenge.fingerprint`
    download: str  # digest of the ids, votes and image sizes in the download
    galaxies_sha256: str
    shards: Sequence[Shard]  # in the order of their rows
    versions: dict[str, str]  # of the packages that made it

    @property
    def num_rows(self) -> int:
        """Returns the rows of all shards together."""
        return sum(shard.rows for shard in self.shards)

    def to_dict(self) -> dict:
        """Returns the contents of the file, among them their checksum."""
        content = {"format": FORMAT, **dataclasses.asdict(self)}
        return content | {"sha256": _digest(content)}


def left_out(missing: Iterable[int], shards: Iterable[Shard]) -> dict[int, str]:
    """Returns reasons by id, ascending, of galaxies without a usable image."""
    bad = [pair for shard in shards for pair in shard.left_out]
    return dict(sorted([*((galaxy, MISSING) for galaxy in missing), *map(tuple, bad)]))


def galaxies_dtype(num_answers: int) -> np.dtype:
    """Returns the type of a row of ``galaxies.npy``, little-endian.

    ``id``; ``votes`` [a], absolute fractions; ``jpeg_bytes``, of the original file;
    ``row``: the image's position among all records of the shards, or in ``pixels.npy``.
    """
    votes = ("votes", "<f4", (num_answers,))
    return np.dtype([("id", "<i8"), votes, ("jpeg_bytes", "<i8"), ("row", "<i8")])


def npy_header(shape: Sequence[int]) -> bytes:
    """Returns what a ``.npy`` file of uint8 ``shape`` begins with."""
    stream = io.BytesIO()
    header = {"descr": "|u1", "fortran_order": False, "shape": tuple(shape)}
    np.lib.format.write_array_header_1_0(stream, header)
    return stream.getvalue()


def file_bytes(shards: Iterable[Shard]) -> dict[str, int]:
    """Returns the length of each file; ``shards`` are in order."""
    return {shard.name: shard.start + shard.bytes for shard in shards}


def is_image_file(name: object) -> bool:
    """Checks the name of a file of images: it must not be a path, above all."""
    pattern = r"images-\d{5}-of-\d{5}\.array_record|" + re.escape(PIXELS)
    return isinstance(name, str) and bool(re.fullmatch(pattern, name))


def is_prepared(folder: str | Path) -> bool:
    """Returns whether a folder is a prepared data set, even a damaged or unfinished."""
    if any((Path(folder) / name).is_file() for name in LABEL_FILES):
        return False
    return any((Path(folder) / name).is_file() for name in (MANIFEST, LEDGER, GALAXIES))


def read_manifest(folder: Path) -> Manifest:
    """Reads the manifest of a prepared data set.

    Raises:
        DamagedManifestError: it is damaged or missing.
        UserError: the set is unfinished, or of another format.
    """
    path = folder / MANIFEST
    if not path.is_file() and (folder / LEDGER).is_file():
        raise UserError(
            f"{folder}: the prepared data set is not finished\nWhat to do: give the "
            "command that began it again: it resumes where it stopped"
        )
    parse = functools.partial(_parse, path)
    return read_json(path, MEND, parse, error=DamagedManifestError)


def _parse(path: Path, content: dict) -> Manifest:
    made_as = content.pop("format")
    if isinstance(made_as, int) and made_as != FORMAT:
        raise UserError(
            f"{path} is of format {made_as}, not {FORMAT}: prepare the data again in "
            "another folder, or install the version of gzjax that made it"
        )
    if content.pop("sha256") != _digest({"format": made_as, **content}):
        raise ValueError("its checksum is not that of its contents")
    content["shards"] = [Shard(*shard) for shard in content["shards"]]
    manifest = Manifest(**content)
    if not _is_sound(manifest):
        raise ValueError("its contents contradict each other")
    return manifest


def _digest(content: dict) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _is_sound(manifest: Manifest) -> bool:
    """Checks that the numbers agree and that all files are ones it may name."""
    Tree.from_dict(manifest.tree)  # raises ValueError
    files = file_bytes(manifest.shards)
    fits = manifest.kind in KINDS and 0 < manifest.count <= manifest.num_rows
    fits = fits and all(shard.rows >= 0 for shard in manifest.shards)
    if manifest.kind == PIXEL:
        shape = (manifest.num_rows, *manifest.size_px, 3)
        size = len(npy_header(shape)) + math.prod(shape)
        return fits and files == {PIXELS: size} and len(manifest.size_px) == 2
    return fits and all(map(is_image_file, files)) and PIXELS not in files


def read_galaxies(folder: Path, manifest: Manifest) -> np.ndarray:
    """Reads ``galaxies.npy``, of :func:`galaxies_dtype`; raises some of READ_ERRORS."""
    data = read_bytes(folder / GALAXIES, MAX_TABLE_BYTES)
    if hashlib.sha256(data).hexdigest() != manifest.galaxies_sha256:
        raise ValueError("its checksum is not the manifest's")
    galaxies = np.load(io.BytesIO(data), allow_pickle=False)
    num_answers = len(Tree.from_dict(manifest.tree).columns)
    if (
        galaxies.shape != (manifest.count,)
        or galaxies.dtype != galaxies_dtype(num_answers)
        or not (np.diff(galaxies["id"]) > 0).all()
        or not 0 <= galaxies["row"].min() <= galaxies["row"].max() < manifest.num_rows
    ):
        raise ValueError("it is not what the manifest says")
    return galaxies
