"""A prepared data set as a source, opened in no time."""

import dataclasses
import math
import os
import weakref
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from array_record.python.array_record_data_source import ArrayRecordDataSource

from gzjax.data.images.decode_jpeg import decode
from gzjax.data.prepared.manifest import (
    GALAXIES,
    JPEG,
    MEND,
    PIXELS,
    Manifest,
    file_bytes,
    npy_header,
    read_galaxies,
    read_manifest,
)
from gzjax.data.sources.base import Source
from gzjax.data.sources.challenge import check_scales, fingerprint
from gzjax.errors import READ_ERRORS, Problems, UserError, reason
from gzjax.trees import Tree


class PreparedSource(Source):
    """Galaxies of a prepared data set; made by :func:`open_prepared`.

    Pickles without an open file, and is safe in threads and in processes that were
    forked or spawned. The fingerprint is the download's at this decode scale.

    Attributes:
        sizes: int64 [n], bytes of the original JPEGs.
    """

    def __init__(
        self, folder: Path, manifest: Manifest, galaxies: np.ndarray, decode_scale: int
    ):
        self._folder, self._manifest = folder, manifest
        self._records, self._process = None, 0
        self._decode_scale = decode_scale
        self._rows = np.ascontiguousarray(galaxies["row"])
        self.ids = np.ascontiguousarray(galaxies["id"], np.int64)
        self.targets = np.ascontiguousarray(galaxies["votes"], np.float32)
        self.sizes = np.ascontiguousarray(galaxies["jpeg_bytes"], np.int64)
        self.pixel_scale = manifest.pixel_scale * decode_scale
        self.num_unlabelled = manifest.num_unlabelled
        self.fingerprint = fingerprint(
            self.ids, self.targets, self.pixel_scale, self.sizes
        )

    def __getstate__(self):
        return self.__dict__ | {"_records": None, "_process": 0}

    def read(self, index: int) -> bytes | np.ndarray:
        """Reads the image of ``ids[index]``: its original JPEG, or its pixels.

        Raises:
            IndexError: there is no such position.
            UserError: the set is damaged, or was moved since it was opened.
        """
        row = int(self._rows[index])
        try:
            if self._process != os.getpid():  # each process opens the files for itself
                self._records = _open_images(self._folder, self._manifest)
                self._process = os.getpid()
            return self._records[row]
        except READ_ERRORS as error:
            ends = np.cumsum([shard.rows for shard in self._manifest.shards])
            shard = self._manifest.shards[np.searchsorted(ends, row, side="right")]
            raise UserError(
                f"{self._folder / shard.name}: the image of galaxy {self.ids[index]} "
                f"cannot be read: {reason(error)}\nWhat to do: {MEND}"
            ) from error

    def decode(self, index: int) -> np.ndarray:
        """Returns uint8 RGB ``[h w 3]``, perhaps read-only; raises as :meth:`read`."""
        image = self.read(index)
        if isinstance(image, bytes):
            return decode(image, self.ids[index], self._decode_scale)
        return image


def _open_images(folder: Path, manifest: Manifest):
    """Returns all records of the shard files, or rows of pixels, by position."""
    if manifest.kind == JPEG:
        paths = [f"{folder / shard.name}[0:{shard.rows}]" for shard in manifest.shards]
        # Records are read one by one, in random order, by threads that are there.
        return ArrayRecordDataSource(paths, {"max_parallelism": "0"})
    return _PixelRows(folder / PIXELS, (manifest.num_rows, *manifest.size_px, 3))


class _PixelRows:
    """The rows of ``pixels.npy``, which has the shape (rows, h, w, 3).

    Rows are read, not mapped into memory: as fast, a lost disk is an error and not the
    end of the process, and a thread that waits for the disk lets the others run.
    """

    def __init__(self, path: Path, shape: Sequence[int]):
        self._start, self._shape = len(npy_header(shape)), shape[1:]
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        weakref.finalize(self, os.close, self._file)

    def __getitem__(self, row: int) -> np.ndarray:
        size = math.prod(self._shape)
        data = os.pread(self._file, size, self._start + row * size)
        if len(data) < size:
            raise EOFError
        return np.frombuffer(data, np.uint8).reshape(self._shape)


def open_prepared(
    folder: str | Path,
    tree: Tree | None = None,
    pixel_scale: float = 1.0,
    decode_scale: int | None = None,
) -> PreparedSource:
    """Opens what ``gzjax.main prepare`` made, even if it was moved since.

    Checks the lengths of the files and the checksum of the votes; ``prepare`` checks
    those of the images when it is called again.

    Args:
        folder: holds the manifest.
        tree: must be the tree of the votes, or None.
        pixel_scale: must be the set's.
        decode_scale: for pixels the set's, or None; for JPEGs any (None stands for 1).

    Raises:
        UserError: the set is damaged, or of another format, scale or tree.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    _check_config(folder, manifest, tree, pixel_scale, decode_scale)
    problems = Problems()
    for name, size in file_bytes(manifest.shards).items():
        path = folder / name
        if not path.is_file():
            problems.add("files missing", "file", [name])
        elif (there := path.stat().st_size) != size:
            at = f"{name}: {there:,} bytes for {size:,}"
            problems.add("files of another length", "file", [at])
    try:
        galaxies = read_galaxies(folder, manifest)
    except (KeyError, TypeError, *READ_ERRORS) as error:
        problems.add_failure(f"{GALAXIES} cannot be read: {reason(error)}")
    problems.raise_if_any(
        f"{folder}: the prepared data set is damaged", f"What to do: {MEND}"
    )
    scale = (decode_scale or 1) if manifest.kind == JPEG else manifest.decode_scale
    return PreparedSource(folder, manifest, galaxies, scale)


def _check_config(folder, manifest: Manifest, tree, pixel_scale, decode_scale) -> None:
    check_scales(pixel_scale, 1 if decode_scale is None else decode_scale)
    if pixel_scale != manifest.pixel_scale:
        raise UserError(
            f"{folder} was prepared with --pixel_scale={manifest.pixel_scale:g}, and "
            f"config.data.pixel_scale is {pixel_scale:g}\nWhat to do: give "
            f"--config.data.pixel_scale={manifest.pixel_scale:g} (compare, detect, "
            f"evaluate, report, robustness: --pixel_scale={manifest.pixel_scale:g})"
        )
    made = manifest.decode_scale
    if manifest.kind != JPEG and decode_scale not in (None, made):
        raise UserError(
            f"{folder} holds pixels that were decoded with --decode_scale={made}, and "
            f"config.data.decode_scale is {decode_scale}\n"
            f"What to do: train with --config.data.decode_scale={made}; "
            f"for a run of decode_scale {decode_scale}, prepare the data with "
            f"--decode_scale={decode_scale} or --kind=jpeg, in another folder"
        )
    stored = Tree.from_dict(manifest.tree)
    if tree is not None and tree != dataclasses.replace(stored, name=tree.name):
        raise UserError(
            f"{folder} has votes on the questions of '{stored.name}', other than those "
            f"of '{tree.name}'\nWhat to do: give the --config.tree that it was "
            "prepared with, or prepare the data with this --tree"
        )
