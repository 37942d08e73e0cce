"""Packs a download into a few files that are quick to open and to read."""

import contextlib
import functools
import shlex
import shutil
from collections.abc import Iterable
from pathlib import Path

from gzjax.data import data_folder
from gzjax.data.ledger import Ledger, alone_in, check_same, read_done
from gzjax.data.prepared.manifest import (
    JPEG,
    LEDGER,
    LEFT_OUT,
    MANIFEST,
    MEND,
    PIXEL,
    PIXELS,
    DamagedManifestError,
    Shard,
    file_bytes,
    is_image_file,
    is_prepared,
    left_out,
    read_manifest,
)
from gzjax.data.prepared.preparation import Preparation, check_output, make_preparation
from gzjax.data.prepared.source import open_prepared
from gzjax.data.prepared.write import (
    damage_text,
    find_damaged,
    package_versions,
    write_last,
    write_shard,
)
from gzjax.errors import Problems, UserError, reason
from gzjax.files import clear_asides
from gzjax.progress import say
from gzjax.trees.tree_file import find_tree

_OTHER_SET = "What to do: name another folder with --output=DIR, or remove this one"
_OTHER_LEDGER = (
    "What to do: give the command that began this set again (the same data, options "
    "and versions), or remove the folder to begin anew"
)


def prepare(
    data: str | Path,
    output: str | Path,
    *,
    tree: str = "gz2",
    kind: str = JPEG,
    pixel_scale: float = 1.0,
    decode_scale: int | None = None,
    num_workers: int | None = None,
    verify: bool = False,
) -> int:
    """Makes a prepared data set of a download; verifies and mends one that is there.

    Resumes an interrupted run where it stopped. The files are a function of the
    arguments, the download and the versions of the packages alone.

    Args:
        data: the folder of the download, see
            :func:`gzjax.data.sources.challenge.open_challenge`; GZJAX_DATA if "".
        output: the folder, made if missing; see :mod:`gzjax.data.prepared.manifest`.
        tree: the questions behind the label columns: ``gz2``, or a ``.json`` file.
        kind: ``jpeg``: the files as they are; ``pixels``: decoded.
        pixel_scale: pixels of the original 424 px frame per stored pixel.
        decode_scale: how many times smaller ``pixels`` are decoded (2), else None.
        num_workers: processes; one per core if None, only this one if 0.
        verify: only reads ``output`` again, without the download.

    Returns:
        How many galaxies were left out, because their images are bad.

    Raises:
        UserError: wrong labels, invalid options, no space, or a folder that holds other
            things, before anything is written; a disk that fails; ``verify`` finds
            damage.
    """
    output = Path(output).expanduser()
    if verify:
        _verify(output)
        return 0
    folder = Path(data_folder(data))
    if is_prepared(folder):
        raise UserError(
            f"{folder} is prepared already\nWhat to do: name the download itself, "
            "or give that folder as --config.data.dir"
        )
    if num_workers is not None and num_workers < 0:
        raise UserError(f"--num_workers is {num_workers}, below 0")
    prep = make_preparation(folder, find_tree(tree), kind, pixel_scale, decode_scale)
    check_output(output)
    try:
        with alone_in(output):
            bad = _prepare(prep, output, num_workers)
    except OSError as error:
        raise UserError(
            f"{output}: cannot be written: {reason(error)}\nWhat to do: make room or "
            "check the disk; the same command resumes where this one stopped"
        ) from error
    _say_left_out(output, bad)
    return len(bad)


def _verify(folder: Path) -> None:
    """Reads all of a prepared data set again; raises a UserError if it is damaged."""
    if not is_prepared(folder):
        raise UserError(f"{folder}: there is no prepared data set")
    manifest = read_manifest(folder)
    open_prepared(folder, None, manifest.pixel_scale)
    if damaged := find_damaged(folder, manifest.shards):
        words = damage_text(damaged, manifest.shards)
        raise UserError(f"{folder}: {words}\nWhat to do: {MEND}")


def _prepare(prep: Preparation, output: Path, num_workers: int | None) -> dict:
    """Returns reasons by id for the galaxies that were left out."""
    done, versions = _sound_shards(prep, output)
    if len(done) < prep.num_shards:
        _check_space(prep, output, 1 - len(done) / prep.num_shards)
    elif _is_complete(prep, output):
        say(f"{output}: complete; nothing to do")
        _tidy(output, done.values())
        return left_out(prep.missing, done.values())
    if done:
        say(f"{output}: resuming after {len(done):,} of {prep.num_shards:,} shards")
    identity = {**prep.identity, "versions": versions}
    ledger = Ledger(output / LEDGER, identity, done)
    (output / MANIFEST).unlink(missing_ok=True)
    if prep.kind == PIXEL:
        if not (output / PIXELS).is_file():  # opening a pipe would wait
            (output / PIXELS).unlink(missing_ok=True)
        with open(output / PIXELS, "ab") as file:
            file.truncate(prep.num_bytes)
    todo = [number for number in range(prep.num_shards) if number not in done]
    work = functools.partial(write_shard, prep, output)
    ledger.finish("preparing shards", prep.num_shards, work, todo, num_workers)
    shards = [ledger.done[number] for number in range(prep.num_shards)]
    if damaged := find_damaged(output, shards):
        sound = {n: shard for n, shard in enumerate(shards) if n not in damaged}
        Ledger(output / LEDGER, identity, sound)
        raise UserError(
            f"{output}: what is read again is not what was written, in "
            f"{len(damaged):,} of {len(shards):,} shards\nWhat to do: check the disk; "
            "the same command makes these shards again"
        )
    count = write_last(prep, output, shards, versions)
    _tidy(output, shards)
    _say_how_to_train(prep, output, count)
    return left_out(prep.missing, shards)


def _tidy(output: Path, shards: Iterable[Shard]) -> None:
    """Removes all files of a complete set that its manifest does not name."""
    names = set(file_bytes(shards))
    for path in output.iterdir():
        if is_image_file(path.name) and path.name not in names:
            path.unlink()
    clear_asides(output)
    (output / LEDGER).unlink(missing_ok=True)


def _sound_shards(prep: Preparation, output: Path) -> tuple[dict[int, Shard], dict]:
    """Returns the sound shards that are there, by number, and the versions of all."""
    versions = package_versions()
    if not (output / MANIFEST).is_file():
        identity = {**prep.identity, "versions": versions}
        done = read_done(output / LEDGER, identity, _OTHER_LEDGER)
        shards = {
            number: Shard(*fields)
            for number, fields in done.items()
            if number in range(prep.num_shards) and _may_be_there(output, fields)
        }
        return shards, versions
    try:
        manifest = read_manifest(output)
    except DamagedManifestError:
        made = f"as --kind={prep.kind} --pixel_scale={prep.pixel_scale:g}"
        say(f"note: {output / MANIFEST} is damaged: making the set again {made}")
        return {}, versions
    there = {key: getattr(manifest, key) for key in prep.identity}
    check_same(there, prep.identity, output / MANIFEST, _OTHER_SET)
    shards = manifest.shards
    damaged = find_damaged(output, shards)
    # Shards of other versions, or of other sizes, would not be of one kind.
    same = manifest.versions == versions and len(shards) == prep.num_shards
    if damaged and not same:
        return {}, versions
    sound = {n: shard for n, shard in enumerate(shards) if n not in damaged}
    return sound, manifest.versions


def _may_be_there(output: Path, fields) -> bool:
    """Checks a shard of a ledger, which may be damaged, and the length of its file."""
    with contextlib.suppress(TypeError, OSError):
        types, shard = [str, int, int, int, str, list], Shard(*fields)
        pairs = [type(x) for pair in shard.left_out for x in pair]
        if [type(x) for x in shard] == types and is_image_file(shard.name):
            length = (output / shard.name).stat().st_size
            is_known = pairs == [int, str] * len(shard.left_out)
            return is_known and length >= shard.start + shard.bytes
    return False


def _is_complete(prep: Preparation, output: Path) -> bool:
    with contextlib.suppress(UserError):
        open_prepared(output, prep.tree, prep.pixel_scale)
        return True
    return False


def _check_space(prep: Preparation, output: Path, share: float) -> None:
    """Raises a UserError if there is no room for ``share`` of the images."""
    needed, free = share * prep.num_bytes, shutil.disk_usage(output).free
    words = (
        f"{needed / 1e6:,.0f} MB are to be written as --kind={prep.kind}, and "
        f"{free / 1e6:,.0f} MB are free"
    )
    say(f"{output}: {len(prep.ids):,} images; {words}")
    if needed > free:
        raise UserError(
            f"{output}: {words}\nWhat to do: make room, or name a folder on another "
            f"disk; --kind={JPEG} takes the least"
        )


def _say_left_out(output: Path, bad: dict[int, str]) -> None:
    problems = Problems()
    for galaxy, why in bad.items():
        problems.add(why, "id", [galaxy])
    if lines := "".join(f"\n  {line}" for line in problems.lines()):
        say(f"{output}: left out, {len(bad):,} in all ({LEFT_OUT}):{lines}")


def _say_how_to_train(prep: Preparation, output: Path, count: int) -> None:
    keys = {"dir": output, "pixel_scale": f"{prep.pixel_scale:g}"}
    if prep.kind == PIXEL:
        keys["decode_scale"] = prep.decode_scale
    flags = shlex.join(f"--config.data.{key}={value}" for key, value in keys.items())
    say(f"{output}: {count:,} galaxies; train on them with\n  {flags}")
