"""A prepared data set as a source: made once by ``prepare``, opened in no time."""

from pathlib import Path

import numpy as np

from gzjax.data.images.challenge_files import IMAGE_FOLDERS
from gzjax.data.images.decode_jpeg import decode
from gzjax.data.prepared.files import GALAXIES, JPEG, PIXELS, JpegShards, PixelRows
from gzjax.data.prepared.manifest import (
    WHAT_TO_DO,
    Manifest,
    find_damage,
    read_galaxies,
    read_manifest,
)
from gzjax.data.sources.base import Source
from gzjax.data.sources.challenge import check_scales, fingerprint
from gzjax.errors import READ_ERRORS, Problems, UserError, reason
from gzjax.trees import Tree


class PreparedSource(Source):
    """Galaxies of a prepared data set, as a :class:`gzjax.data.sources.base.Source`.

    Pickles without an open file, and is safe in threads and in processes that were
    forked or spawned; made by :func:`open_prepared`.

    Attributes:
        ids: int64 [n], ascending, unique.
        targets: float32 [n a], absolute vote fractions in [0, 1].
        pixel_scale: pixels of the original 424 px frame per decoded pixel.
        fingerprint: that of the download that was prepared, at this decode scale.
        num_unlabelled: how many images have no row; they are not part of the source.
        sizes: int64 [n], bytes of the original JPEGs.
    """

    def __init__(
        self, files: JpegShards | PixelRows, galaxies: np.ndarray, pixel_scale: float,
        num_unlabelled: int,
    ):  # fmt: skip
        self._files = files
        self._rows = np.ascontiguousarray(galaxies["row"])
        self.ids = np.ascontiguousarray(galaxies["id"], np.int64)
        self.targets = np.ascontiguousarray(galaxies["votes"], np.float32)
        self.sizes = np.ascontiguousarray(galaxies["jpeg_bytes"], np.int64)
        self.pixel_scale = pixel_scale
        self.num_unlabelled = num_unlabelled
        self.fingerprint = fingerprint(self.ids, self.targets, pixel_scale, self.sizes)

    def _read(self, index: int):
        row = int(self._rows[index])
        try:
            return self._files.read(row)
        except READ_ERRORS as error:
            raise UserError(
                f"{self._files.path_of(row)}: the image of galaxy {self.ids[index]} "
                f"cannot be read: {reason(error)}\n{WHAT_TO_DO}"
            ) from error


class PreparedJpegs(PreparedSource):
    """JPEGs, decoded when they are asked for."""

    def __init__(self, files, galaxies, pixel_scale, num_unlabelled, decode_scale):
        super().__init__(files, galaxies, pixel_scale * decode_scale, num_unlabelled)
        self._decode_scale = decode_scale

    def read(self, index: int) -> bytes:
        """The JPEG of ``ids[index]``, as it was; safe in threads.

        Raises:
            IndexError: there is no such position.
            UserError: the set is damaged, or was moved since it was opened.
        """
        return self._read(index)

    def decode(self, index: int) -> np.ndarray:
        """uint8 RGB ``[h w 3]``, the image of ``ids[index]``; safe in threads."""
        return decode(self.read(index), self.ids[index], self._decode_scale)


class PreparedPixels(PreparedSource):
    """Pixels, decoded when the set was prepared."""

    def decode(self, index: int) -> np.ndarray:
        """uint8 RGB ``[h w 3]``, read-only, of ``ids[index]``; safe in threads.

        Raises:
            IndexError: there is no such position.
            UserError: the set is damaged, or was moved since it was opened.
        """
        return self._read(index)


def open_prepared(
    folder: str | Path,
    tree: Tree | None = None,
    pixel_scale: float = 1.0,
    decode_scale: int | None = None,
) -> PreparedJpegs | PreparedPixels:
    """Opens what ``gzjax.main prepare`` made, wherever it lies now.

    The lengths of the files and the checksum of the votes are looked at; the checksums
    of the images by ``prepare``, when it is called again.

    Args:
        folder: holds the manifest.
        tree: must be that of the votes; None: it is.
        pixel_scale: must be that of the set.
        decode_scale: of the JPEGs; of pixels it must be the set's. None: 1, or it is.

    Raises:
        UserError: the set is damaged, of a newer format, or of other scales or votes.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    _check_config(folder, manifest, tree, pixel_scale, decode_scale)
    problems = Problems()
    galaxies = np.zeros(0)
    find_damage(folder, manifest, problems)
    try:
        galaxies = read_galaxies(folder, manifest)
    except (KeyError, TypeError, *READ_ERRORS) as error:
        problems.add_failure(f"{GALAXIES} cannot be read: {reason(error)}")
    problems.raise_if_any(f"{folder}: the prepared data set is damaged", WHAT_TO_DO)
    unlabelled = manifest.num_unlabelled
    if manifest.kind == JPEG:
        counts = [part.rows for part in manifest.parts]
        files = JpegShards([folder / part.name for part in manifest.parts], counts)
        return PreparedJpegs(
            files, galaxies, pixel_scale, unlabelled, decode_scale or 1
        )
    files = PixelRows(folder / PIXELS, (manifest.num_rows, *manifest.size_px, 3))
    scale = pixel_scale * manifest.decode_scale
    return PreparedPixels(files, galaxies, scale, unlabelled)


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
    if tree is not None and _questions(tree.to_dict()) != _questions(manifest.tree):
        raise UserError(
            f"{folder} has votes on the questions of '{manifest.tree.get('name')}', "
            f"other than those of '{tree.name}'\nWhat to do: give the --config.tree "
            "that it was prepared with, or prepare the data with this --tree"
        )


def _questions(tree: dict):
    questions = [[q["name"], [*q["answers"]], [*q["asked_after"]]]
                 for q in tree["questions"]]  # fmt: skip
    return questions, [*tree["columns"]]


class PreparedImages:
    """The images of a prepared data set by galaxy id, like those of a folder.

    Attributes:
        path: where the download had them, so that both go by one name.
    """

    def __init__(self, folder: str | Path, pixel_scale: float = 1.0):
        self.source = open_prepared(folder, None, pixel_scale)
        self.path = Path(folder) / IMAGE_FOLDERS[0]
        self._index = {galaxy: i for i, galaxy in enumerate(self.source.ids.tolist())}

    def sizes(self) -> dict[int, int]:
        """Bytes of every original image by galaxy id."""
        return dict(zip(self._index, self.source.sizes.tolist(), strict=True))

    def decode(self, galaxy: int) -> np.ndarray:
        """uint8 RGB ``[h w 3]``; raises UserError."""
        return self.source.decode(self._index[galaxy])
