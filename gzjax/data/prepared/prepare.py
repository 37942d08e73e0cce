"""Packs a download into a few files that are quick to open and to read."""

import contextlib
import functools
import shlex
import shutil
from pathlib import Path

from gzjax.data import data_folder
from gzjax.data.ledger import Ledger, alone_in
from gzjax.data.prepared.check import (
    check_output,
    find_damaged,
    sound_shards,
    verify_set,
)
from gzjax.data.prepared.manifest import (
    JPEG,
    LEDGER,
    LEFT_OUT,
    MANIFEST,
    PIXEL,
    PIXELS,
    is_prepared,
    left_out,
)
from gzjax.data.prepared.plan import Preparation, make_preparation
from gzjax.data.prepared.source import open_prepared
from gzjax.data.prepared.write import package_versions, write_last, write_shard
from gzjax.data.workers import map_in_processes
from gzjax.errors import Problems, UserError, reason
from gzjax.files import clear_asides
from gzjax.progress import Progress, say
from gzjax.trees.tree_file import find_tree


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
            things, before anything is written; a disk that fails.
    """
    output = Path(output).expanduser()
    if verify:
        verify_set(output)
        return 0
    folder = Path(data_folder(data))
    if is_prepared(folder):
        raise UserError(
            f"{folder} is prepared already\nWhat to do: name the download itself, "
            "or give that folder as --config.data.dir"
        )
    if num_workers is not None and num_workers < 0:
        raise UserError(f"--num_workers is {num_workers}, below 0")
    tree = find_tree(tree)
    prep = make_preparation(folder, tree, kind, pixel_scale, decode_scale)
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


def _prepare(prep: Preparation, output: Path, num_workers: int | None) -> dict:
    """Returns reasons by id for the galaxies that were left out."""
    identity = {**prep.identity, "versions": package_versions()}
    done = sound_shards(prep, output, identity)
    if len(done) < prep.num_shards:
        _check_space(prep, output, 1 - len(done) / prep.num_shards)
    elif _is_complete(prep, output):
        say(f"{output}: complete; nothing to do")
        return left_out(prep.missing, done.values())
    if done:
        say(f"{output}: resuming after {len(done):,} of {prep.num_shards:,} shards")
    ledger = Ledger(output / LEDGER, identity, done)
    (output / MANIFEST).unlink(missing_ok=True)
    if prep.kind == PIXEL:
        with open(output / PIXELS, "ab") as file:
            file.truncate(prep.num_bytes)
    _write_rest(prep, output, ledger, num_workers)
    shards = [ledger.done[number] for number in range(prep.num_shards)]
    if damaged := find_damaged(output, shards):
        sound = {n: shard for n, shard in enumerate(shards) if n not in damaged}
        Ledger(output / LEDGER, identity, sound)
        raise UserError(
            f"{output}: what is read again is not what was written, in "
            f"{len(damaged):,} of {len(shards):,} shards\nWhat to do: check the disk; "
            "the same command makes these shards again"
        )
    count = write_last(prep, output, shards)
    ledger.remove()
    clear_asides(output)
    _say_how_to_train(prep, output, count)
    return left_out(prep.missing, shards)


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


def _write_rest(prep: Preparation, output: Path, ledger: Ledger, num_workers) -> None:
    """Writes the shards that are not in the ledger, and enters them."""
    todo = [number for number in range(prep.num_shards) if number not in ledger.done]
    done = len(prep.ids) - sum(len(prep.rows(number)) for number in todo)
    work = functools.partial(write_shard, prep, output)
    with (
        contextlib.closing(map_in_processes(work, todo, num_workers)) as shards,
        Progress("preparing images", len(prep.ids), done) as progress,
    ):
        for number, shard in zip(todo, shards, strict=True):
            ledger.add({number: shard})
            done += len(prep.rows(number))
            progress.update(done, "images")


def _say_left_out(output: Path, bad: dict[int, str]) -> None:
    problems = Problems()
    for galaxy, why in bad.items():
        problems.add(why, "id", [galaxy])
    if bad:
        lines = "".join(f"\n  {line}" for line in problems.lines())
        say(f"{output}: left out, {len(bad):,} in all ({LEFT_OUT}):{lines}")


def _say_how_to_train(prep: Preparation, output: Path, count: int) -> None:
    keys = {"dir": output, "pixel_scale": f"{prep.pixel_scale:g}"}
    if prep.kind == PIXEL:
        keys["decode_scale"] = prep.decode_scale
    flags = shlex.join(f"--config.data.{key}={value}" for key, value in keys.items())
    say(f"{output}: {count:,} galaxies; train on them with\n  {flags}")
