"""What a prepared data set says of itself: read, and its files looked at."""

import dataclasses
import hashlib
import io
import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gzjax.data.labels.csv_rows import LABEL_FILES
from gzjax.data.prepared.files import (
    FORMAT,
    GALAXIES,
    JOURNAL,
    KINDS,
    MANIFEST,
    PIXEL,
    PIXELS,
    galaxies_dtype,
    is_part_name,
    npy_header,
)
from gzjax.errors import READ_ERRORS, Problems, UserError, reason
from gzjax.files import MAX_TABLE_BYTES, read_bytes, read_text
from gzjax.trees import Tree

WHAT_TO_DO = (
    "What to do: copy it again from where it is whole, or run the command that made "
    "it again, gzjax.main prepare --data=DOWNLOAD --output=DIR with its other flags: "
    "it mends what is damaged (prepare --output=DIR --verify finds all of it)"
)
_BLOCK = 1 << 20


class DamagedManifestError(UserError):
    """It cannot be read as a manifest of any format."""


class Part(NamedTuple):
    """A run of images in one file, made at a time.

    Attributes:
        name: of the file.
        start: where it begins in the file, in bytes.
        bytes: its length.
        rows: of images.
        sha256: hexadecimal, of the bytes.
    """

    name: str
    start: int
    bytes: int
    rows: int
    sha256: str


def file_bytes(parts: Iterable[Part]) -> dict[str, int]:
    """How long each file of ``parts``, in order, is."""
    return {part.name: part.start + part.bytes for part in parts}


@dataclasses.dataclass(frozen=True)
class Manifest:
    """The contents of ``manifest.json``.

    Attributes:
        kind: ``jpeg`` or ``pixels``.
        pixel_scale: original px per pixel of the JPEGs.
        decode_scale: by which ``pixels`` were made smaller as they were decoded; 1 for
            ``jpeg``.
        size_px: (height, width) of ``pixels``; () for ``jpeg``.
        tree: of the votes, as :meth:`gzjax.trees.Tree.to_dict` gives it.
        count: galaxies.
        num_unlabelled: images of the download that have no row in its labels.
        fingerprint: of the set, see :func:`gzjax.data.sources.challenge.fingerprint`.
        download: of all that was to be prepared, the bad images among it.
        galaxies_sha256: of ``galaxies.npy``.
        parts: in order of their rows.
        left_out: id → why.
        versions: of the packages that made it.
    """

    kind: str
    pixel_scale: float
    decode_scale: int
    size_px: tuple[int, ...]
    tree: dict
    count: int
    num_unlabelled: int
    fingerprint: str
    download: str
    galaxies_sha256: str
    parts: tuple[Part, ...]
    left_out: dict[str, str]
    versions: dict[str, str]

    @property
    def num_rows(self) -> int:
        """Of all parts."""
        return sum(part.rows for part in self.parts)

    def to_dict(self) -> dict:
        """As it comes back from a file: lists for tuples; with a checksum of it all."""
        fields = dataclasses.asdict(self)
        parts = [part._asdict() for part in self.parts]
        content = json.loads(json.dumps({"format": FORMAT, **fields, "parts": parts}))
        return content | {"sha256": _digest(content)}


def _digest(content: dict) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def is_prepared(folder: str | Path) -> bool:
    """Whether ``folder`` is a prepared data set, be it damaged or unfinished."""
    there = [name for name in (MANIFEST, JOURNAL, GALAXIES, *LABEL_FILES)
             if (Path(folder) / name).is_file()]  # fmt: skip
    return bool(there) and not set(there) & set(LABEL_FILES)


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a prepared data set.

    Raises:
        DamagedManifestError: what its name says.
        UserError: it is of a newer format.
    """
    path = folder / MANIFEST
    if not path.is_file() and (folder / JOURNAL).is_file():
        raise DamagedManifestError(
            f"{folder}: the prepared data set is not finished\nWhat to do: give the "
            "command that began it again: it goes on where it stopped"
        )
    try:
        fields = json.loads(read_text(path))
        made_as = fields.pop("format")
        if isinstance(made_as, int) and made_as > FORMAT:
            raise UserError(
                f"{path} is of format {made_as}, made by gzjax "
                f"{fields.get('versions', {}).get('gzjax', 'of a newer version')}; "
                f"this version reads format {FORMAT}\nWhat to do: install that version "
                "(pip install --upgrade gzjax), or prepare the data again, in another "
                "folder"
            )
        if fields.pop("sha256") != _digest({"format": made_as, **fields}):
            raise ValueError("its checksum is not that of its contents")
        parts = tuple(Part(**part) for part in fields.pop("parts"))
        size_px = tuple(fields.pop("size_px"))
        manifest = Manifest(parts=parts, size_px=size_px, **fields)
        if made_as != FORMAT or not _is_sound(manifest):
            raise ValueError("its contents contradict each other")
    except (TypeError, AttributeError, KeyError, *READ_ERRORS) as error:
        raise DamagedManifestError(
            f"{path} cannot be read as a manifest: {reason(error)}\n{WHAT_TO_DO}"
        ) from error
    return manifest


def _is_sound(manifest: Manifest) -> bool:
    """Whether its parts fill their files, and its pixels theirs."""
    filled: dict[str, int] = {}
    for part in manifest.parts:
        if part.start != filled.get(part.name, 0) or min(part.bytes, part.rows) < 0:
            return False
        filled[part.name] = part.start + part.bytes
    names = all(map(is_part_name, filled))
    fits = manifest.kind in KINDS and 0 < manifest.count <= manifest.num_rows
    Tree.from_dict(manifest.tree)  # raises ValueError
    if manifest.kind == PIXEL:
        shape = (manifest.num_rows, *manifest.size_px, 3)
        size = len(npy_header(shape)) + math.prod(shape)
        return fits and filled == {PIXELS: size} and len(manifest.size_px) == 2
    return fits and names and PIXELS not in filled


def find_damage(folder: Path, manifest: Manifest, problems: Problems) -> None:
    """Notes files of images that are not there, or not as long as they were."""
    for name, size in file_bytes(manifest.parts).items():
        path = folder / name
        there = path.stat().st_size if path.is_file() else None
        if there is None:
            problems.add("files missing", "file", [name])
        elif there != size:
            at = f"{name}: {there:,} bytes for {size:,}"
            problems.add("files of another length", "file", [at])


def read_galaxies(folder: Path, manifest: Manifest) -> np.ndarray:
    """``galaxies.npy``, of :func:`galaxies_dtype`; raises some of READ_ERRORS."""
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


def part_sha256(folder: Path, part: Part) -> str:
    """Hexadecimal, of a part as it is on the disk; raises OSError."""
    digest, left = hashlib.sha256(), part.bytes
    with open(folder / part.name, "rb") as file:
        file.seek(part.start)
        while left and (block := file.read(min(left, _BLOCK))):
            digest.update(block)
            left -= len(block)
    return digest.hexdigest()
