"""The one store of image files: found in a folder or a zip, or listed in a CSV."""

import dataclasses
import errno
import functools
import hashlib
import itertools
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from gzjax.data.images.path_list import PATH_COLUMNS, read_cutout_list
from gzjax.data.images.store import MISSING_SIZE, FolderFiles, ZipFiles, size_of
from gzjax.errors import READ_ERRORS, UserError, reason
from gzjax.progress import say

TEST_IMAGES = "images_test_rev1"  # the challenge's

_SUFFIX = re.compile(
    r"(?<=[^/])\.(avif|bmp|fits|fit|fts|gif|j2k|jp2|jpeg|jpg|pgm|png|ppm|tif|tiff|webp)"
    r"(\.[fg]z)?$",
    re.IGNORECASE,
)
_WHOLE_NUMBER = re.compile(r"[0-9]{1,30}")
_WHAT_TO_DO = (
    "What to do: give a folder of images, a .zip of one, or a .csv with a header and a "
    f"column of paths ({', '.join(PATH_COLUMNS[:3])}, ...)"
)


@dataclasses.dataclass(eq=False)
class Cutouts:
    """Image files in random access by position; made by :func:`find_cutouts`.

    Pickles without an open file. Whether the files are images is not known before
    they are read.

    Attributes:
        path: the folder, zip or CSV that lists them.
        files: n paths in the store, below ``folder``.
        sizes: int64 [n], in bytes; ``MISSING_SIZE`` where there is no such file.
        given_names: n unique names that a CSV gives, if it does.
        folder: the deepest that holds all files; ends with a slash, or is "".
    """

    path: Path
    store: FolderFiles | ZipFiles
    files: tuple[str, ...]
    sizes: np.ndarray
    given_names: tuple[str, ...] | None = None
    folder: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """Returns n unique names: ``given_names``, or else ``files``."""
        return self.files if self.given_names is None else self.given_names

    def __len__(self) -> int:
        return len(self.files)

    @functools.cached_property
    def stems(self) -> tuple[str, ...]:
        """Returns n unique names for tables: ``given_names``, or ``files`` without the
        suffixes of images (``12`` for ``12.jpg``), if they stay unique so.
        """
        return self.given_names or _stems(self.files)

    @functools.cached_property
    def fingerprint(self) -> str:
        """Returns the SHA-256 of ``names`` and ``sizes``; a zip's is its folder's."""
        return _fingerprint(self.names, self.sizes)

    @functools.cached_property
    def version(self) -> str:
        """Returns the SHA-256 of which files these are, and of their contents.

        These are known by the time of writing in a folder, and by checksum in a zip.
        """
        stamps = [self.store.stamp(self.folder + file) for file in self.files]
        return _fingerprint(self.files, np.array(stamps, np.int64))

    def take(self, indices: Sequence[int]) -> "Cutouts":
        """Returns the files at these positions, in this order."""
        files, names = self.files, self.given_names
        return dataclasses.replace(
            self,
            files=tuple(files[i] for i in indices),
            sizes=self.sizes[indices],
            given_names=names and tuple(names[i] for i in indices),
        )

    def read(self, index: int) -> bytes:
        """Returns at most ``MAX_BYTES + 1`` bytes of a file; safe in threads.

        Raises:
            READ_ERRORS: FileNotFoundError if there is no such file.
        """
        file = self.files[index]
        if self.sizes[index] == MISSING_SIZE:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), file)
        return self.store.read(self.folder + file)


def find_cutouts(path: str | os.PathLike) -> Cutouts:
    """Finds image files; lists them, and reads none of them.

    * A folder: every file in it and in its subfolders. If it holds the challenge's
      ``images_test_rev1`` (a folder or a zip), that alone, and a line says so.
    * A ``.zip``: every file in it.
    * A ``.csv``: the files that it lists, relative to its own folder; see
      :func:`gzjax.data.images.path_list.read_cutout_list`.

    Files that are not images are listed too. Stray files are left out
    (:func:`gzjax.data.images.store.is_stray`). Links to folders are not followed.

    Order: as in the CSV; otherwise files whose stem is a whole number come first,
    ascending, and then the others by their characters.

    Raises:
        UserError: the path is missing, cannot be read or holds no files, or a name is
            there twice.
    """
    try:
        path = Path(path).expanduser()
        return _find(_challenge_images(path) or path)
    except READ_ERRORS as error:
        raise UserError(
            f"{path}: cannot be read: {reason(error)}\n{_WHAT_TO_DO}"
        ) from error


def without_suffix(name: str) -> str:
    """Returns a name without the suffix of an image's format: ``sub/12``."""
    return _SUFFIX.sub("", name)


def open_store(path: Path) -> FolderFiles | ZipFiles:
    """Returns what lists and reads the files of a folder or of a ``.zip``."""
    return FolderFiles(path) if path.is_dir() else ZipFiles(path)


def _find(path: Path) -> Cutouts:
    suffix = path.suffix.lower()
    if path.is_file() and suffix == ".csv":
        files, names = read_cutout_list(path)
        sizes = np.array([size_of(path.parent / file) for file in files])
        return Cutouts(path, FolderFiles(path.parent), files, sizes, names)
    if path.is_dir() or (path.is_file() and suffix == ".zip"):
        store = open_store(path)
        if sizes := dict(store.sizes()):
            return in_order(path, store, sizes, _common_folder(sizes))
        problem = "there are no files in it"
    elif path.exists():
        problem = "no folder, .zip or .csv"
    else:
        problem = "there is no such path"
    raise UserError(f"{path}: {problem}\n{_WHAT_TO_DO}")


def _challenge_images(folder: Path) -> Path | None:
    """Returns where the challenge's test images are in its folder."""
    # A failed unzip leaves an empty folder.
    for path in (folder / TEST_IMAGES, folder / f"{TEST_IMAGES}.zip"):
        if path.is_file() or (path.is_dir() and any(path.iterdir())):
            say(
                f"{folder}: the challenge's folder; the images are those of {path.name}"
            )
            return path
    return None


def in_order(
    path: Path, store: FolderFiles | ZipFiles, sizes: dict[str, int], folder: str
) -> Cutouts:
    """Returns files, all in ``folder``, in the order of :func:`find_cutouts`."""
    files = tuple(sorted((file.removeprefix(folder) for file in sizes), key=_rank))
    ordered = np.array([sizes[folder + file] for file in files], np.int64)
    return Cutouts(path, store, files, ordered, folder=folder)


def _common_folder(files: Iterable[str]) -> str:
    folders = [file.split("/")[:-1] for file in files]
    # What the first and the last in order share, all between them share.
    pairs = zip(min(folders), max(folders), strict=False)
    shared = itertools.takewhile(lambda pair: pair[0] == pair[1], pairs)
    return "".join(f"{part}/" for part, _ in shared)


def _rank(name: str) -> tuple[bool, int, str]:
    stem = without_suffix(name)
    is_number = _WHOLE_NUMBER.fullmatch(stem) is not None
    return not is_number, int(stem) if is_number else 0, name


def _stems(names: tuple[str, ...]) -> tuple[str, ...]:
    # Names that are not text, which file systems allow, could not be written.
    text = [name.encode("utf-8", "backslashreplace").decode() for name in names]
    stems = list(map(without_suffix, text))
    return tuple(stems if len(set(stems)) == len(stems) else text)


def _fingerprint(names: Sequence[str], sizes: np.ndarray) -> str:
    digest = hashlib.sha256()
    for name, size in zip(names, sizes.tolist(), strict=True):
        digest.update(f"{name}\0{size}\n".encode("utf-8", "surrogatepass"))
    return digest.hexdigest()
