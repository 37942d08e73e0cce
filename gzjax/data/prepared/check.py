"""Checks what there is of a prepared data set, and whether it is sound."""

import contextlib
import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from gzjax.data.ledger import check_same, read_done
from gzjax.data.prepared.manifest import (
    GALAXIES,
    LEDGER,
    LEFT_OUT,
    MANIFEST,
    MEND,
    DamagedManifestError,
    Shard,
    file_bytes,
    is_image_file,
    is_prepared,
    read_manifest,
)
from gzjax.data.prepared.plan import Preparation
from gzjax.data.prepared.source import open_prepared
from gzjax.errors import UserError, first_few
from gzjax.progress import Progress, say

_NUM_THREADS = 4
_BLOCK = 1 << 20
_OTHER_SET = "What to do: name another folder with --output=DIR, or remove this one"
_OTHER_LEDGER = (
    "What to do: give the command that began this set again (the same data, options "
    "and versions), or remove the folder to begin anew"
)


def verify_set(folder: Path) -> None:
    """Reads all of a prepared data set again, wherever it is; writes nothing.

    Raises:
        UserError: the set is damaged: names the files; or there is none.
    """
    if not is_prepared(folder):
        raise UserError(f"{folder}: there is no prepared data set")
    manifest = read_manifest(folder)
    open_prepared(folder, None, manifest.pixel_scale)
    if damaged := find_damaged(folder, manifest.shards):
        words = _words(damaged, manifest.shards)
        raise UserError(f"{folder}: {words}\nWhat to do: {MEND}")


def check_output(output: Path) -> None:
    """Raises a UserError if ``output`` holds what ``prepare`` did not make."""
    if not output.exists():
        return
    if not output.is_dir():
        raise UserError(f"{output} is a file: name a folder with --output=DIR")
    there = {path.name for path in output.iterdir()}
    others = sorted(name for name in there if not _is_ours(name))
    if others and not {MANIFEST, LEDGER} & there:
        raise UserError(
            f"{output} holds other things ({first_few(others)})\n"
            "What to do: name a new folder with --output=DIR"
        )


def _is_ours(name: str) -> bool:
    is_aside = name.startswith(".") and name.endswith(".partial")
    return name in (GALAXIES, LEFT_OUT) or is_image_file(name) or is_aside


def sound_shards(prep: Preparation, output: Path, identity: dict) -> dict[int, Shard]:
    """Returns the shards that are there and sound, by number.

    Raises:
        UserError: the set is of other options or data; or, if it is unfinished, its
            ledger has another ``identity``.
    """
    if (output / MANIFEST).is_file():
        return _shards_of_a_set(prep, output, identity)
    done = read_done(output / LEDGER, identity, _OTHER_LEDGER)
    shards = {number: Shard(*fields) for number, fields in done.items()}
    return {n: shard for n, shard in shards.items() if _may_be_there(output, shard)}


def _shards_of_a_set(prep: Preparation, output: Path, identity) -> dict[int, Shard]:
    try:
        manifest = read_manifest(output)
    except DamagedManifestError:
        say(f"note: {output / MANIFEST} is damaged: making the set again")
        return {}
    there = {key: getattr(manifest, key) for key in prep.identity}
    check_same(there, prep.identity, output / MANIFEST, _OTHER_SET)
    shards = manifest.shards
    if damaged := find_damaged(output, shards):
        say(f"{output}: {_words(damaged, shards)}; making them again")
        # Shards of other versions, or of other sizes, would not be of one kind.
        same = manifest.versions == identity["versions"]
        if not same or len(shards) != prep.num_shards:
            return {}
    return {n: shard for n, shard in enumerate(shards) if n not in damaged}


def find_damaged(output: Path, shards: Sequence[Shard]) -> set[int]:
    """Reads all shards again; returns the numbers of the damaged ones."""
    size, rows = sum(s.bytes for s in shards), sum(s.rows for s in shards)
    damaged, done, lengths = set(), 0, file_bytes(shards)
    with ThreadPoolExecutor(_NUM_THREADS) as pool, Progress("verifying", size) as bar:
        are_sound = pool.map(lambda s: _is_sound(output, s, lengths[s.name]), shards)
        for number, (shard, sound) in enumerate(zip(shards, are_sound, strict=True)):
            if not sound:
                damaged.add(number)
            done += shard.bytes
            bar.update(done, "bytes")
    found = _words(damaged, shards) if damaged else "sound"
    say(f"{output}: {rows:,} images ({size / 1e6:,.0f} MB) read again, {found}")
    return damaged


def _is_sound(output: Path, shard: Shard, length: int) -> bool:
    """Checks a shard's bytes, and if it is its file's last, the file's ``length``."""
    digest, left = hashlib.sha256(), shard.bytes
    with contextlib.suppress(OSError), open(output / shard.name, "rb") as file:
        if shard.start + left == length != os.fstat(file.fileno()).st_size:
            return False
        file.seek(shard.start)
        while left and (block := file.read(min(left, _BLOCK))):
            digest.update(block)
            left -= len(block)
    return digest.hexdigest() == shard.sha256


def _may_be_there(output: Path, shard: Shard) -> bool:
    path = output / shard.name
    return path.is_file() and path.stat().st_size >= shard.start + shard.bytes


def _words(damaged: set[int], shards: Sequence[Shard]) -> str:
    names = first_few(sorted({shards[number].name for number in damaged}))
    return f"damaged: {len(damaged):,} of {len(shards):,} shards, in {names}"
