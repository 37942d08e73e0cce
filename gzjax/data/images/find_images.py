"""Images without labels as people have them: a folder, a zip, or a CSV of paths."""

import errno
import functools
import hashlib
import itertools
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from gzjax.data.images.files import (
    MISSING_SIZE,
    FolderFiles,
    ZippedFiles,
    scan,
    size_of,
)
from gzjax.data.images.path_list import PATH_COLUMNS, read_cutout_list
from gzjax.data.images.zip_archive import ZipArchive
from gzjax.errors import READ_ERRORS, UserError, first_few, reason
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


class Cutouts:
    """Images in random access by position; made by :func:`find_cutouts`.

    Pickles without an open file. Whether the files are images is not known before
    they are read.

    Attributes:
        path: the folder, zip or CSV that they are in.
        names: n unique names, one per file: its path below the deepest folder that
            holds all of them, or what the CSV calls it.
        stems: n unique names for tables: ``names`` without the suffixes of images
            (``12.jpg`` → ``12``), if all of them stay unique so; names that the CSV
            gives in a column of their own stay as they are.
        sizes: int64 [n], in bytes; -1: there is no such file.
        fingerprint: hexadecimal SHA-256 of ``names`` and ``sizes``, in this order; the
            same for a folder and for its zip.
    """

    def __init__(
        self,
        path: Path,
        store: FolderFiles | ZippedFiles,
        files: Sequence[str],
        sizes: Sequence[int],
        names: Sequence[str] | None = None,
    ):
        self.path = path
        self._store = store
        self._files = tuple(files)
        self.names = self._files if names is None else tuple(names)
        self.stems = _stems(self.names) if names is None else self.names
        self.sizes = np.array(sizes, np.int64)
        self.fingerprint = _fingerprint(self.names, self.sizes)

    def __len__(self) -> int:
        return len(self.names)

    @functools.cached_property
    def version(self) -> str:
        """Hexadecimal SHA-256 of which files these are, and of their contents.

        Of files in a folder it is the time of writing that stands for the content; for
        those in a zip, their checksums.
        """
        stamps = [self._store.stamp(file) for file in self._files]
        return _fingerprint(self._files, np.array(stamps, np.int64))

    def take(self, indices: Sequence[int]) -> "Cutouts":
        """Those at these positions, in this order."""
        files, names = (
            [texts[i] for i in indices] for texts in (self._files, self.names)
        )
        return Cutouts(self.path, self._store, files, self.sizes[indices], names)

    def read(self, index: int) -> bytes:
        """The file's bytes, ``MAX_BYTES + 1`` of them at most; safe in threads.

        Raises:
            FileNotFoundError: there is no such file.
            READ_ERRORS: some of :data:`gzjax.errors.READ_ERRORS`; it cannot be
                read.
        """
        file = self._files[index]
        if self.sizes[index] == MISSING_SIZE:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), file)
        return self._store.read(file)


def find_cutouts(path: str | os.PathLike) -> Cutouts:
    """Finds the images; lists files, and reads none of them.

    * A folder: every file in it and in its subfolders. If it holds the challenge's
      ``images_test_rev1`` (a folder or a zip), that alone, and a line says so.
    * A ``.zip``: every file in it.
    * A ``.csv``: the files that it lists, see
      :func:`gzjax.data.images.path_list.read_cutout_list`; paths are relative to the
      CSV's folder. A file that is not there is an image of size -1.

    Files that are no images are listed too. Left out of folders and zips are hidden
    files and folders, ``__MACOSX``, and Windows' ``Thumbs.db`` and ``desktop.ini``;
    links to folders are not followed.

    Order: as in the CSV; otherwise files whose stem is a whole number come first,
    ascending, and then the others by their characters.

    Raises:
        UserError: there is no such thing, it cannot be read, it holds no files, or a
            name is there twice.
    """
    try:
        path = Path(path).expanduser()
        return _find(_challenge_images(path) or path)
    except READ_ERRORS as error:
        raise UserError(
            f"{path}: cannot be read: {reason(error)}\n{_WHAT_TO_DO}"
        ) from error


def without_suffix(name: str) -> str:
    """``sub/12.jpg`` → ``sub/12``: without the suffix of an image's format."""
    return _SUFFIX.sub("", name)


def _find(path: Path) -> Cutouts:
    suffix = path.suffix.lower()
    if path.is_dir():
        return _in_order(path, FolderFiles(path), list(scan(path)))
    if path.is_file() and suffix == ".zip":
        store = ZippedFiles(ZipArchive(path))
        return _in_order(path, store, store.sizes())
    if path.is_file() and suffix == ".csv":
        files, names = read_cutout_list(path)
        sizes = [size_of(path.parent / file) for file in files]
        return Cutouts(path, FolderFiles(path.parent), files, sizes, names)
    problem = "no folder, .zip or .csv" if path.exists() else "there is no such path"
    raise UserError(f"{path}: {problem}\n{_WHAT_TO_DO}")


def _challenge_images(folder: Path) -> Path | None:
    """The challenge's test images; an empty folder, left by a failed unzip, is not."""
    for path in (folder / TEST_IMAGES, folder / f"{TEST_IMAGES}.zip"):
        if path.is_file() or (path.is_dir() and any(path.iterdir())):
            say(
                f"{folder}: the challenge's folder; the images are those of {path.name}"
            )
            return path
    return None


def _in_order(
    path: Path, store: FolderFiles | ZippedFiles, sizes: list[tuple[str, int]]
) -> Cutouts:
    if not sizes:
        raise UserError(f"{path}: there are no files in it\n{_WHAT_TO_DO}")
    of_file = dict(sizes)
    if len(of_file) < len(sizes):
        names = sorted(name for name, _ in sizes)
        twice = [a for a, b in itertools.pairwise(names) if a == b]
        raise UserError(
            f"{path}: files of the same name: {first_few(twice)}\n"
            "What to do: make the zip again"
        )
    prefix = _common_folder(of_file)
    names = sorted((file.removeprefix(prefix) for file in of_file), key=_rank)
    in_order = [of_file[prefix + name] for name in names]
    return Cutouts(path, store.below(prefix), names, in_order)


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
