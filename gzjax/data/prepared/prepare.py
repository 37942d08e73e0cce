"""Turns a download into a few files that are quick to open and to read."""

import contextlib
import os
import shutil
import time
from pathlib import Path

from gzjax.data import data_folder
from gzjax.data.prepared.files import (
    GALAXIES,
    JOURNAL,
    JPEG,
    LEFT_OUT,
    MANIFEST,
    PIXEL,
    PIXELS,
)
from gzjax.data.prepared.journal import Journal, alone_in, open_journal
from gzjax.data.prepared.manifest import WHAT_TO_DO, is_prepared, read_manifest
from gzjax.data.prepared.parts import PARTIAL, PartMaker, Task, images_per_part
from gzjax.data.prepared.plan import Plan, make_plan
from gzjax.data.prepared.result import (
    describe,
    package_versions,
    parts_of,
    say_how_to_train,
    say_left_out,
    write_left_out,
)
from gzjax.data.prepared.source import open_prepared
from gzjax.data.prepared.state import (
    check_output,
    is_current,
    parts_of_a_journal,
    parts_of_a_set,
    tidy,
    verify,
)
from gzjax.data.workers import map_in_processes
from gzjax.errors import UserError, first_few, reason
from gzjax.files import clear_asides, open_aside, write_json
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

    An interrupted run goes on where it stopped. The files are a function of the
    arguments, the download and the versions of the packages alone.

    Args:
        data: as for :func:`gzjax.data.sources.challenge.open_challenge`; "": that of
            GZJAX_DATA.
        output: the folder, made if missing; see :mod:`gzjax.data.prepared.files`.
        tree: of the labels: a name in ``TREES``, or a ``.json`` file.
        kind: ``jpeg``: the files as they are; ``pixels``: decoded.
        pixel_scale: pixels of the original 424 px frame per stored pixel.
        decode_scale: by which ``pixels`` are made smaller as they are decoded; None: 2.
        num_workers: processes; None: one per core; 0: none but this.
        verify: only read ``output`` again; no data are needed.

    Returns:
        How many galaxies were left out, because their images are bad.

    Raises:
        UserError: wrong labels, options that cannot be, no space, or a folder that
            holds other things; nothing is written then.
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
    plan = make_plan(folder, find_tree(tree), kind, pixel_scale, decode_scale)
    check_output(output)
    try:
        with alone_in(output):
            return _prepare(plan, output, num_workers)
    except OSError as error:
        raise UserError(
            f"{output}: cannot be written: {reason(error)}\nWhat to do: make room or "
            "look after the disk; the same command goes on where this one stopped"
        ) from error


def verify_set(folder: str | Path) -> None:
    """Reads all of a prepared data set again, wherever it lies; writes nothing.

    Raises:
        UserError: it is damaged: says what; or there is none.
    """
    folder = Path(folder).expanduser()
    if not is_prepared(folder):
        raise UserError(f"{folder}: there is no prepared data set")
    manifest = read_manifest(folder)
    open_prepared(folder, None, manifest.pixel_scale)
    damaged = verify(folder, manifest.parts)
    if damaged:
        names = sorted({manifest.parts[number].name for number in damaged})
        raise UserError(
            f"{folder}: {first_few(names)}: {len(damaged):,} of "
            f"{len(manifest.parts):,} parts are damaged\n{WHAT_TO_DO}"
        )


def _prepare(plan: Plan, output: Path, num_workers: int | None) -> int:
    maker = PartMaker(
        plan.images,
        output,
        plan.kind,
        plan.decode_scale,
        plan.size_px,
        len(plan.ids),
        images_per_part(plan.kind, plan.size_px),
    )
    tasks = maker.tasks(plan.ids.tolist(), plan.sizes.tolist())
    identity = {**plan.identity, "versions": package_versions()}
    done = parts_of_a_set(output, plan, tasks, package_versions())
    if not done:
        done = parts_of_a_journal(output, plan, identity)
    if len(done) < len(tasks):
        _check_space(plan, output, 1 - len(done) / len(tasks))
    elif is_current(output, *describe(plan, done)):
        say(f"{output}: complete; nothing to do")
        return say_left_out(output, read_manifest(output).left_out)
    if done:
        say(f"{output}: going on after {len(done):,} of {len(tasks):,} parts")
    journal = open_journal(output / JOURNAL, identity, done)
    (output / MANIFEST).unlink(missing_ok=True)
    tidy(output, plan, done)
    _make_rest(maker, tasks, journal, num_workers)
    if plan.kind == PIXEL:
        os.replace(output / PARTIAL, output / PIXELS)
    _verify(output, journal, identity)
    manifest, galaxies = describe(plan, journal.done)
    with open_aside(output / GALAXIES, "wb") as file:
        file.write(galaxies)
    write_left_out(output / LEFT_OUT, manifest.left_out)
    write_json(output / MANIFEST, manifest.to_dict())
    journal.remove()
    clear_asides(output)
    say_how_to_train(output, manifest)
    return say_left_out(output, manifest.left_out)


def _check_space(plan: Plan, output: Path, share: float) -> None:
    """Says what both kinds take; raises a UserError where ``share`` of it is not free.

    Args:
        plan: what is to be prepared.
        output: the folder.
        share: of the bytes, not written yet.
    """
    needed = plan.jpeg_bytes if plan.kind == JPEG else plan.pixel_bytes
    free = shutil.disk_usage(output).free
    height, width = plan.decoded_px
    size = f" of {width} x {height} px" if height else ""
    say(
        f"{len(plan.ids):,} images: {plan.jpeg_bytes / 1e6:,.0f} MB as --kind={JPEG}, "
        f"{plan.pixel_bytes / 1e6:,.0f} MB as --kind={PIXEL}{size}; "
        f"{free / 1e6:,.0f} MB are free in {output}"
    )
    if needed * share > free:
        raise UserError(
            f"{output}: {needed * share / 1e6:,.0f} MB are to be written, and "
            f"{free / 1e6:,.0f} MB are free\nWhat to do: make room, or name a folder "
            f"on another disk; --kind={JPEG} takes the least"
        )


def _make_rest(maker: PartMaker, tasks: list[Task], journal: Journal, num_workers):
    """Makes the parts that are not in the journal, and enters them."""
    todo = [task for task in tasks if task.number not in journal.done]
    count = sum(len(task.galaxies) for task in tasks)
    before = count - sum(len(task.galaxies) for task in todo)
    begun, done = time.monotonic(), before
    with (
        contextlib.closing(map_in_processes(maker.make, todo, num_workers)) as results,
        Progress("preparing images", count, before) as progress,
    ):
        for task, result in zip(todo, results, strict=True):
            journal.add(task.number, result)
            done += len(task.galaxies)
            progress.update(done, "images")
    took = max(time.monotonic() - begun, 1e-9)
    if not todo:
        return
    say(
        f"{maker.folder}: {done - before:,} images prepared in {took:.1f} s: "
        f"{(done - before) / took:,.0f} images/s"
    )


def _verify(output: Path, journal: Journal, identity: dict) -> None:
    """Raises a UserError if what is on the disk is not what was written."""
    damaged = verify(output, parts_of(journal.done))
    if damaged:
        sound = {n: r for n, r in journal.done.items() if n not in damaged}
        open_journal(output / JOURNAL, identity, sound)
        raise UserError(
            f"{output}: what is read again is not what was written, in "
            f"{len(damaged):,} of {len(journal.done):,} parts\nWhat to do: look after "
            "the disk; the same command makes these parts again"
        )
