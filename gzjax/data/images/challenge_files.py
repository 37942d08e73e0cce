"""The challenge's images as they lie on disks: a folder or a zip of JPEG files."""

import concurrent.futures
import functools
import os
import pathlib
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator

from gzjax.data.images.jpeg_check import jpeg_problem
from gzjax.data.images.zip_archive import ZipArchive
from gzjax.errors import READ_ERRORS, Problems, reason
from gzjax.files import read_bytes

# The second is a common misspelling.
IMAGE_FOLDERS = ("images_training_rev1", "images_train_rev1")

_IMAGE_NAME = re.compile(r"(0|[1-9][0-9]{0,17})\.jpg")
_MAX_IMAGE_BYTES = 1 << 26
_TOO_LARGE = f"larger than {_MAX_IMAGE_BYTES >> 20} MiB"
_NUM_THREADS = 8
_CHUNK = 256


class FolderImages:
    """Images as files in a folder."""

    def __init__(self, path: pathlib.Path):
        self.path = path

    def sizes(self) -> dict[int, int]:
        """Bytes of every image by galaxy id."""
        with os.scandir(self.path) as entries:
            return {
                int(match[1]): entry.stat().st_size
                for entry in entries
                if (match := _IMAGE_NAME.fullmatch(entry.name)) and entry.is_file()
            }

    def read(self, galaxy: int) -> bytes:
        """One image's bytes; raises some of READ_ERRORS."""
        return read_bytes(f"{self.path}/{galaxy}.jpg", _MAX_IMAGE_BYTES)


class ZippedImages:
    """Images in a zip."""

    def __init__(self, path: pathlib.Path):
        self.path = path
        self._archive = ZipArchive(path)
        self._prefix = ""

    def sizes(self) -> dict[int, int]:
        """Bytes of every image by galaxy id; the zip's folder is that of the first."""
        sizes = {}
        for entry in self._archive.entries():
            folder, slash, name = entry.filename.rpartition("/")
            if not (match := _IMAGE_NAME.fullmatch(name)) or not _is_ours(folder):
                continue
            if not sizes:
                self._prefix = folder + slash
            if folder + slash == self._prefix:
                if int(match[1]) in sizes:
                    raise zipfile.BadZipFile(f"it has two entries {entry.filename}")
                sizes[int(match[1])] = entry.file_size
        return sizes

    def read(self, galaxy: int) -> bytes:
        """One image's bytes; raises some of READ_ERRORS."""
        data = self._archive.read(f"{self._prefix}{galaxy}.jpg", _MAX_IMAGE_BYTES + 1)
        if len(data) > _MAX_IMAGE_BYTES:
            raise ValueError(_TOO_LARGE)
        return data


def _is_ours(folder: str) -> bool:
    parts = folder.split("/")
    return "__MACOSX" not in parts and parts[-1] in ("", *IMAGE_FOLDERS)


Images = FolderImages | ZippedImages


def find_images(folder: pathlib.Path) -> Iterator[Images]:
    """What may hold the images; an empty folder, left by a failed unzip, does not."""
    for path in (folder / name for name in IMAGE_FOLDERS):
        if path.is_dir():
            with os.scandir(path) as entries:
                if any(_IMAGE_NAME.fullmatch(entry.name) for entry in entries):
                    yield FolderImages(path)
    for path in (folder / f"{name}.zip" for name in IMAGE_FOLDERS):
        if path.is_file():
            yield ZippedImages(path)


def check_image_files(
    images: Images,
    sizes: dict[int, int],
    galaxies: list[int],
    problems: Problems,
    progress: Callable[[int, int], None] | None,
) -> None:
    """Reads every image once and notes the bad ones, kind by kind."""
    chunks = [galaxies[i : i + _CHUNK] for i in range(0, len(galaxies), _CHUNK)]
    check = functools.partial(_check_chunk, images, sizes)
    done = 0
    with concurrent.futures.ThreadPoolExecutor(_NUM_THREADS) as pool:
        for chunk, found in zip(chunks, pool.map(check, chunks), strict=True):
            for galaxy, problem in found:
                problems.add(f"images: {problem}", "id", [galaxy])
            done += len(chunk)
            if progress is not None:
                progress(done, len(galaxies))


def _check_chunk(
    images: Images, sizes: dict[int, int], chunk: Iterable[int]
) -> list[tuple[int, str]]:
    found = (
        (galaxy, _image_problem(images, sizes[galaxy], galaxy)) for galaxy in chunk
    )
    return [(galaxy, problem) for galaxy, problem in found if problem]


def _image_problem(images: Images, size: int, galaxy: int) -> str | None:
    try:
        return read_image(images, size, galaxy)[1]
    except OSError as error:
        return f"unreadable: {reason(error)}"


def read_image(images: Images, size: int, galaxy: int) -> tuple[bytes, str | None]:
    """The bytes of an image of ``size`` bytes, and what is wrong with them if any.

    Raises:
        OSError: the disk's fault or its owner's, not the image's.
    """
    if size > _MAX_IMAGE_BYTES:
        return b"", f"unreadable: {_TOO_LARGE}"
    try:
        data = images.read(galaxy)
    except OSError:
        raise
    except READ_ERRORS:  # these texts name the file: they would be a kind each
        damage = "damaged in the zip (checksum, compression or encryption)"
        return b"", f"unreadable: {damage}"
    return data, jpeg_problem(data)
