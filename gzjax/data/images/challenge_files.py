"""The challenge's images: the files ``<GalaxyID>.jpg`` of a folder or a zip."""

import contextlib
import functools
import os
import re
from collections.abc import Iterator
from pathlib import Path

from gzjax.data.images.cutouts import Cutouts, in_order, open_store
from gzjax.data.images.decode_jpeg import jpeg_problem
from gzjax.data.images.store import MAX_BYTES, MISSING_SIZE
from gzjax.errors import READ_ERRORS

# The second is a common misspelling.
IMAGE_FOLDERS = ("images_training_rev1", "images_train_rev1")
_NAME = re.compile(r"(0|[1-9][0-9]{0,17})\.jpg")


class Images:
    """The challenge's images by galaxy id; made by :func:`find_images`."""

    def __init__(self, path: Path):
        self.path = path

    @functools.cached_property
    def files(self) -> Cutouts:
        """Returns the images by ascending id; raises some of READ_ERRORS."""
        store = open_store(self.path)
        sizes = {file: size for file, size in store.sizes() if _is_ours(file)}
        for file in [file for file, size in sizes.items() if size == MISSING_SIZE]:
            # A galaxy must not be left out because the disk fails for a moment.
            with contextlib.suppress(FileNotFoundError):
                os.stat(self.path / file)
            del sizes[file]
        # Those of one folder only: the first of the outermost.
        first = min(sizes, key=lambda file: file.count("/"), default="")
        folder = first[: first.rfind("/") + 1]
        ours = {f: n for f, n in sizes.items() if f[: f.rfind("/") + 1] == folder}
        return in_order(self.path, store, ours, folder)

    @functools.cached_property
    def _rows(self) -> dict[int, int]:
        return {int(stem): row for row, stem in enumerate(self.files.stems)}

    def sizes(self) -> dict[int, int]:
        """Returns the bytes of every image by galaxy id; raises some of READ_ERRORS."""
        return dict(zip(self._rows, self.files.sizes.tolist(), strict=True))

    def take(self, ids: list[int]) -> Cutouts:
        """Returns the images of these galaxies, in this order."""
        return self.files.take([self._rows[galaxy] for galaxy in ids])

    def read(self, galaxy: int) -> bytes:
        """Returns one image's bytes; raises some of READ_ERRORS."""
        return self.files.read(self._rows[galaxy])


def _is_ours(file: str) -> bool:
    *_, folder, name = ["", *file.split("/")]
    return folder in ("", *IMAGE_FOLDERS) and _NAME.fullmatch(name) is not None


def find_images(folder: Path) -> Iterator[Images]:
    """Yields what may hold the images: not the empty folder of a failed unzip."""
    for path in (folder / name for name in IMAGE_FOLDERS):
        if path.is_dir() and any(map(_NAME.fullmatch, os.listdir(path))):
            yield Images(path)
    for path in (folder / f"{name}.zip" for name in IMAGE_FOLDERS):
        if path.is_file():
            yield Images(path)


def read_jpeg(images: Images, galaxy: int) -> tuple[bytes, str | None]:
    """Returns an image's bytes, and what is wrong with them or None.

    Raises:
        OSError: the fault is the disk's or its owner's, not the image's.
    """
    try:
        data = images.read(galaxy)
    except OSError:
        raise
    except READ_ERRORS:  # these texts name the file: they would be a kind each
        return (
            b"",
            "unreadable: damaged in the zip (checksum, compression or encryption)",
        )
    if len(data) > MAX_BYTES:
        return b"", f"unreadable: larger than {MAX_BYTES >> 20} MiB"
    return data, jpeg_problem(data)
