"""Makes the parts of a prepared data set, one at a time, in any process."""

import dataclasses
import hashlib
import os
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from array_record.python.array_record_module import ArrayRecordWriter

from gzjax.data.images.challenge_files import Images, read_jpeg
from gzjax.data.images.decode_jpeg import decode
from gzjax.data.prepared.files import JPEG, PIXELS, npy_header, shard_name
from gzjax.data.prepared.manifest import Part, part_sha256
from gzjax.errors import UserError, reason
from gzjax.files import aside_of

_JPEGS_A_PART = 512
_PIXEL_BYTES_A_PART = 1 << 25
_WRITE_OPTIONS = "group_size:1,uncompressed"  # JPEGs do not become smaller
PARTIAL = PIXELS + ".partial"


def images_per_part(kind: str, size_px: tuple[int, ...]) -> int:
    """How many images are made at a time; ``size_px``: (height, width) of pixels."""
    if kind == JPEG:
        return _JPEGS_A_PART
    return max(1, _PIXEL_BYTES_A_PART // (3 * int(np.prod(size_px))))


class Task(NamedTuple):
    """One part to make.

    Attributes:
        number: of the part.
        first: the first one's position among all galaxies.
        galaxies: ids, ascending.
        sizes: of their images in bytes.
    """

    number: int
    first: int
    galaxies: list[int]
    sizes: list[int]


@dataclasses.dataclass(frozen=True)
class PartMaker:
    """Makes parts; cheap to pickle.

    Attributes:
        images: of the download.
        folder: to write to.
        kind: ``jpeg`` or ``pixels``.
        decode_scale: of ``pixels``.
        size_px: (height, width) of ``pixels``; (): of JPEGs.
        count: galaxies in all.
        per_part: images in a part; see :func:`images_per_part`.
    """

    images: Images
    folder: Path
    kind: str
    decode_scale: int
    size_px: tuple[int, ...]
    count: int
    per_part: int

    def tasks(self, galaxies: list[int], sizes: list[int]) -> list[Task]:
        """All parts of ``galaxies``, ascending, in order."""
        return [
            Task(
                number, i, galaxies[i : i + self.per_part], sizes[i : i + self.per_part]
            )
            for number, i in enumerate(range(0, len(galaxies), self.per_part))
        ]

    def make(self, task: Task) -> dict:
        """Makes a part, and waits until it is on the disk.

        Returns:
            JSON-ready: the fields of :class:`gzjax.data.prepared.manifest.Part`, and
            ``left_out``, pairs of an id and why.

        Raises:
            UserError: an image cannot be read, or is not what it was when the work
                began.
            OSError: the part cannot be written.
        """
        return self._shard(task) if self.kind == JPEG else self._pixels(task)

    def _shard(self, task: Task) -> dict:
        path = self.folder / shard_name(task.number, -(-self.count // self.per_part))
        aside, left_out = aside_of(path), []
        writer = ArrayRecordWriter(str(aside), _WRITE_OPTIONS)
        try:
            for galaxy, size in zip(task.galaxies, task.sizes, strict=True):
                data, _, problem = self._image(galaxy, size)
                if problem is None:
                    writer.write(data)
                else:
                    left_out.append([galaxy, problem])
            writer.close()
            with open(aside, "rb") as file:
                os.fsync(file.fileno())
            os.replace(aside, path)
        except RuntimeError as error:  # of the library, with the system's words
            raise OSError(str(error)) from error
        finally:
            aside.unlink(missing_ok=True)
        rows, size = len(task.galaxies) - len(left_out), path.stat().st_size
        part = Part(path.name, 0, size, rows, "")
        part = part._replace(sha256=part_sha256(self.folder, part))
        return {**part._asdict(), "left_out": left_out}

    def _pixels(self, task: Task) -> dict:
        pixels, left_out = np.zeros((len(task.galaxies), *self.size_px, 3), "u1"), []
        for row, galaxy, size in zip(pixels, task.galaxies, task.sizes, strict=True):
            _, image, problem = self._image(galaxy, size)
            if problem is None and image.shape != row.shape:
                problem = (
                    f"it has {image.shape[1]} x {image.shape[0]} px, unlike others"
                )
            if problem is None:
                row[:] = image
            else:
                left_out.append([galaxy, problem])
        header = npy_header((self.count, *self.size_px, 3))
        start = len(header) + task.first * pixels[0].size
        pieces = [memoryview(pixels).cast("B")]
        if not task.first:  # the file's header belongs to its first part
            start, pieces = 0, [header, *pieces]
        digest = hashlib.sha256()
        with open(self.folder / PARTIAL, "r+b") as file:
            file.seek(start)
            for piece in pieces:
                file.write(piece)
                digest.update(piece)
            file.flush()
            os.fsync(file.fileno())
        size = sum(map(len, pieces))
        part = Part(PIXELS, start, size, len(pixels), digest.hexdigest())
        return {**part._asdict(), "left_out": left_out}

    def _image(self, galaxy: int, size: int) -> tuple[bytes, np.ndarray, str | None]:
        """Bytes, pixels, and what is wrong if anything is."""
        try:
            data, problem = read_jpeg(self.images, galaxy)
        except OSError as error:  # of a disk that is gone, perhaps: no bad image
            raise UserError(
                f"{self.images.path}: {galaxy}.jpg cannot be read: {reason(error)}\n"
                "What to do: see that the disk is there; the same command goes on "
                "where this one stopped. If it is this image alone, replace it, or "
                "remove it: its galaxy is left out then"
            ) from error
        if data and len(data) != size:
            raise UserError(
                f"{self.images.path}: {galaxy}.jpg has {len(data):,} bytes, and had "
                f"{size:,} when the work began: was it replaced?\n"
                "What to do: give the same command again"
            )
        if problem is not None:
            return data, np.zeros(0), problem
        try:
            return data, decode(data, galaxy, self.decode_scale), None
        except (UserError, cv2.error):
            return data, np.zeros(0), "unreadable: it cannot be decoded"
