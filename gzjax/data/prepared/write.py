"""Writes a prepared data set: each shard in any process, then the rest; rereads it."""

import contextlib
import csv
import hashlib
import io
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path

import cv2
import numpy as np
from array_record.python.array_record_module import ArrayRecordWriter

from gzjax import __version__
from gzjax.data.images.challenge_files import Images, read_jpeg
from gzjax.data.images.decode_jpeg import decode
from gzjax.data.prepared.manifest import (
    GALAXIES,
    JPEG,
    LEFT_OUT,
    MANIFEST,
    PIXEL,
    PIXELS,
    Manifest,
    Shard,
    file_bytes,
    galaxies_dtype,
    left_out,
    npy_header,
)
from gzjax.data.prepared.preparation import Preparation
from gzjax.data.sources.challenge import fingerprint
from gzjax.errors import UserError, first_few, reason
from gzjax.files import aside_of, open_aside, open_regular, write_json
from gzjax.progress import Progress, say

_NUM_THREADS = 4
_BLOCK = 1 << 20
_OPTIONS = "group_size:1,uncompressed"  # JPEGs do not become smaller


def package_versions() -> dict[str, str]:
    """Returns the versions of the packages that decide about the bytes."""
    return {
        "gzjax": __version__,
        "numpy": np.__version__,
        "opencv": cv2.__version__,
        "array_record": metadata.version("array_record"),
    }


def write_shard(prep: Preparation, folder: Path, number: int) -> dict[int, Shard]:
    """Writes a shard, waits until it is on the disk, and returns it by its number.

    Raises:
        UserError: the disk of an image failed, or the image was replaced meanwhile.
        OSError: the shard cannot be written.
    """
    write = _write_jpegs if prep.kind == JPEG else _write_pixels
    return {number: write(prep, folder, number)}


def _write_jpegs(prep: Preparation, folder: Path, number: int) -> Shard:
    path = folder / f"images-{number:05}-of-{prep.num_shards:05}.array_record"
    aside, bad = aside_of(path), []
    writer = ArrayRecordWriter(str(aside), _OPTIONS)
    try:
        for _, data, _ in _good_images(prep, number, bad):
            writer.write(data)
        writer.close()
        with open(aside, "rb") as file:
            os.fsync(file.fileno())
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            size = file.tell()
        os.replace(aside, path)
    except RuntimeError as error:  # of the library, with the system's words
        raise OSError(str(error)) from error
    finally:
        aside.unlink(missing_ok=True)
    rows = len(prep.rows(number)) - len(bad)
    return Shard(path.name, 0, size, rows, digest, bad)


def _write_pixels(prep: Preparation, folder: Path, number: int) -> Shard:
    rows, bad = prep.rows(number), []
    pixels = np.zeros((len(rows), *prep.shape[1:]), np.uint8)
    for place, _, image in _good_images(prep, number, bad):
        pixels[place] = image
    header = npy_header(prep.shape)
    start, data = len(header) + rows.start * pixels[0].size, pixels.tobytes()
    if number == 0:  # the file's header belongs to its first shard
        start, data = 0, header + data
    with open(folder / PIXELS, "r+b") as file:
        file.seek(start)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    digest = hashlib.sha256(data).hexdigest()
    return Shard(PIXELS, start, len(data), len(rows), digest, bad)


def _good_images(
    prep: Preparation, number: int, bad: list[tuple[int, str]]
) -> Iterator[tuple[int, bytes, np.ndarray]]:
    """Yields place, bytes and pixels; adds the others' ids and reasons to ``bad``."""
    for place, row in enumerate(prep.rows(number)):
        galaxy = int(prep.ids[row])
        data, problem = _read(prep.images, galaxy, int(prep.sizes[row]))
        if problem is None:
            try:
                image = decode(data, galaxy, prep.decode_scale)
            except (UserError, cv2.error):
                problem = "unreadable: it cannot be decoded"
        if problem is None and prep.kind != JPEG and image.shape[:2] != prep.size_px:
            height, width, _ = image.shape
            problem = f"it has {width} x {height} px, unlike others"
        if problem is None:
            yield place, data, image
        else:
            bad.append((galaxy, problem))


def _read(images: Images, galaxy: int, size: int) -> tuple[bytes, str | None]:
    """Returns the bytes of an image, and what is wrong with them if anything is."""
    try:
        data, problem = read_jpeg(images, galaxy)
    except OSError as error:  # of a disk that is gone, perhaps: no bad image
        raise UserError(
            f"{images.path}: {galaxy}.jpg cannot be read: {reason(error)}\n"
            "What to do: see that the disk is there; the same command resumes where "
            "this one stopped. If it is this image alone, replace it, or remove it: "
            "its galaxy is left out then"
        ) from error
    if data and len(data) != size:
        raise UserError(
            f"{images.path}: {galaxy}.jpg has {len(data):,} bytes, and had {size:,} "
            "when the work began: was it replaced?\n"
            "What to do: give the same command again"
        )
    return data, problem


def write_last(prep: Preparation, output: Path, shards: list[Shard], versions) -> int:
    """Writes all but the shards, the manifest last; returns the number of galaxies."""
    bad = left_out(prep.missing, shards)
    kept = np.array([galaxy not in bad for galaxy in prep.ids.tolist()])
    if not kept.any():
        raise UserError(f"{prep.images.path}: none of the images can be read")
    ids, votes, sizes = prep.ids[kept], prep.targets[kept], prep.sizes[kept]
    galaxies = np.zeros(len(ids), galaxies_dtype(votes.shape[1]))
    galaxies["id"], galaxies["votes"], galaxies["jpeg_bytes"] = ids, votes, sizes
    has_gaps = prep.kind == PIXEL  # the rows of bad images are black
    galaxies["row"] = np.flatnonzero(kept) if has_gaps else np.arange(len(ids))
    stream = io.BytesIO()
    np.save(stream, galaxies, allow_pickle=False)
    with open_aside(output / GALAXIES, "wb") as file:
        file.write(stream.getvalue())
    (output / LEFT_OUT).unlink(missing_ok=True)
    if bad:
        with open_aside(output / LEFT_OUT) as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerows([("GalaxyID", "reason"), *bad.items()])
    scale = prep.pixel_scale * prep.decode_scale
    manifest = Manifest(
        **prep.identity,
        count=len(ids),
        missing=prep.missing,
        fingerprint=fingerprint(ids, votes, scale, sizes),
        galaxies_sha256=hashlib.sha256(stream.getvalue()).hexdigest(),
        shards=shards,
        versions=versions,
    )
    write_json(output / MANIFEST, manifest.to_dict())
    return len(ids)


def find_damaged(output: Path, shards: Sequence[Shard]) -> set[int]:
    """Reads all shards again; returns the numbers of the damaged ones."""
    size, rows = sum(s.bytes for s in shards), sum(s.rows for s in shards)
    damaged, done, lengths = set(), 0, file_bytes(shards)
    with ThreadPoolExecutor(_NUM_THREADS) as pool, Progress("verifying", size) as bar:
        are_sound = pool.map(lambda s: _is_sound(output, s, lengths[s.name]), shards)
        for number, is_sound in enumerate(are_sound):
            if not is_sound:
                damaged.add(number)
            done += shards[number].bytes
            bar.update(done, "bytes")
    found = damage_text(damaged, shards) if damaged else "sound"
    say(f"{output}: {rows:,} images ({size / 1e6:,.0f} MB) read again, {found}")
    return damaged


def _is_sound(output: Path, shard: Shard, length: int) -> bool:
    """Checks a shard's bytes, and if it is its file's last, the file's ``length``."""
    digest, left = hashlib.sha256(), shard.bytes
    with contextlib.suppress(OSError), open_regular(output / shard.name) as file:
        if shard.start + left == length != os.fstat(file.fileno()).st_size:
            return False
        file.seek(shard.start)
        while left and (block := file.read(min(left, _BLOCK))):
            digest.update(block)
            left -= len(block)
    return digest.hexdigest() == shard.sha256


def damage_text(damaged: set[int], shards: Sequence[Shard]) -> str:
    """Returns how many shards are damaged, and in which files."""
    names = first_few(sorted({shards[number].name for number in damaged}))
    return f"damaged: {len(damaged):,} of {len(shards):,} shards, in {names}"
