"""Turns a download into a few files that are quick to open and to read."""

import contextlib
import csv
import hashlib
import io
import os
import shlex
import shutil
import time
from importlib import metadata
from pathlib import Path

import cv2
import numpy as np

from gzjax import __version__
from gzjax.data.challenge import fingerprint
from gzjax.data.journal import Journal, alone_in, open_journal
from gzjax.data.manifest import Manifest, Part, read_manifest
from gzjax.data.prepare_parts import PARTIAL, PartMaker, Task, images_per_part
from gzjax.data.prepare_plan import MISSING, Plan, make_plan
from gzjax.data.prepare_state import (
    check_output,
    is_current,
    parts_of_a_journal,
    parts_of_a_set,
    remove_asides,
    tidy,
    verify,
)
from gzjax.data.prepared_files import (
    GALAXIES,
    JOURNAL,
    JPEG,
    LEFT_OUT,
    MANIFEST,
    PIXEL,
    PIXELS,
    galaxies_dtype,
)
from gzjax.data.problems import Problems, reason
from gzjax.data.workers import map_in_processes
from gzjax.errors import UserError
from gzjax.progress import Progress, say
from gzjax.trees import Tree
from gzjax.workdir import open_aside, write_json


def prepare(
    data_dir: str | Path,
    output: str | Path,
    tree: Tree,
    kind: str = JPEG,
    pixel_scale: float = 1.0,
    decode_scale: int | None = None,
    num_workers: int | None = None,
) -> int:
    """Makes a prepared data set of a download; verifies and mends one that is there.

    An interrupted run goes on where it stopped. The files are a function of the
    arguments, the download and the versions of the packages alone.

    Args:
        data_dir: as for :func:`gzjax.data.challenge.open_challenge`.
        output: the folder, made if missing; see :mod:`gzjax.data.prepared_files`.
        tree: of the labels.
        kind: ``jpeg``: the files as they are; ``pixels``: decoded.
        pixel_scale: pixels of the original 424 px frame per stored pixel.
        decode_scale: by which ``pixels`` are made smaller as they are decoded; None: 2.
        num_workers: processes; None: one per core; 0: none but this.

    Returns:
        How many galaxies were left out, because their images are bad.

    Raises:
        UserError: wrong labels, options that cannot be, no space, or a folder that
            holds other things; nothing is written then.
    """
    folder, output = Path(data_dir).expanduser(), Path(output).expanduser()
    plan = make_plan(folder, tree, kind, pixel_scale, decode_scale)
    check_output(output)
    try:
        with alone_in(output):
            return _prepare(plan, output, num_workers)
    except OSError as error:
        raise UserError(
            f"{output}: cannot be written: {reason(error)}\nWhat to do: make room or "
            "look after the disk; the same command goes on where this one stopped"
        ) from error


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
    identity = {**plan.identity, "versions": _versions()}
    done = parts_of_a_set(output, plan, tasks, _versions())
    if not done:
        done = parts_of_a_journal(output, plan, identity)
    if len(done) < len(tasks):
        _check_space(plan, output, 1 - len(done) / len(tasks))
    elif _is_complete(plan, output, done):
        say(f"{output}: complete; nothing to do")
        return _say_left_out(output, read_manifest(output).left_out)
    if done:
        say(f"{output}: going on after {len(done):,} of {len(tasks):,} parts")
    journal = open_journal(output / JOURNAL, identity, done)
    (output / MANIFEST).unlink(missing_ok=True)
    tidy(output, plan, done)
    _make_rest(maker, tasks, journal, num_workers)
    if plan.kind == PIXEL:
        os.replace(output / PARTIAL, output / PIXELS)
    _verify(output, journal, identity)
    manifest, galaxies = _describe(plan, journal.done)
    with open_aside(output / GALAXIES, "wb") as file:
        file.write(galaxies)
    _write_left_out(output / LEFT_OUT, manifest.left_out)
    write_json(output / MANIFEST, manifest.to_dict())
    journal.remove()
    remove_asides(output)
    _say_how_to_train(output, manifest)
    return _say_left_out(output, manifest.left_out)


def _versions() -> dict[str, str]:
    return {
        "gzjax": __version__,
        "numpy": np.__version__,
        "opencv": cv2.__version__,
        "array_record": metadata.version("array_record"),
    }


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


def _parts(results: dict[int, dict]) -> tuple[Part, ...]:
    """In order, what :meth:`PartMaker.make` returned."""
    in_order = (results[number] for number in sorted(results))
    return tuple(Part(*(result[key] for key in Part._fields)) for result in in_order)


def _verify(output: Path, journal: Journal, identity: dict) -> None:
    """Raises a UserError if what is on the disk is not what was written."""
    damaged = verify(output, _parts(journal.done))
    if damaged:
        sound = {n: r for n, r in journal.done.items() if n not in damaged}
        (output / JOURNAL).unlink()
        open_journal(output / JOURNAL, identity, sound)
        raise UserError(
            f"{output}: what is read again is not what was written, in "
            f"{len(damaged):,} of {len(journal.done):,} parts\nWhat to do: look after "
            "the disk; the same command makes these parts again"
        )


def _describe(plan: Plan, results: dict[int, dict]) -> tuple[Manifest, bytes]:
    """The manifest, and the contents of ``galaxies.npy``."""
    left_out = {str(galaxy): MISSING for galaxy in plan.missing}
    for number in sorted(results):
        left_out |= {str(galaxy): why for galaxy, why in results[number]["left_out"]}
    kept = np.array([str(galaxy) not in left_out for galaxy in plan.ids.tolist()])
    if not kept.any():
        raise UserError(f"{plan.images.path}: none of the images can be read")
    galaxies = np.zeros(kept.sum(), galaxies_dtype(plan.targets.shape[1]))
    galaxies["id"], galaxies["votes"] = plan.ids[kept], plan.targets[kept]
    galaxies["jpeg_bytes"] = plan.sizes[kept]
    rows = np.flatnonzero(kept) if plan.kind == PIXEL else np.arange(len(galaxies))
    galaxies["row"] = rows
    stream = io.BytesIO()
    np.save(stream, galaxies, allow_pickle=False)
    scale = plan.pixel_scale * plan.decode_scale
    votes, sizes = plan.targets[kept], plan.sizes[kept]
    manifest = Manifest(
        kind=plan.kind,
        pixel_scale=plan.pixel_scale,
        decode_scale=plan.decode_scale,
        size_px=plan.size_px,
        tree=plan.tree.to_dict(),
        count=len(galaxies),
        num_unlabelled=plan.num_unlabelled,
        fingerprint=fingerprint(plan.ids[kept], votes, scale, sizes),
        download=plan.identity["download"],
        galaxies_sha256=hashlib.sha256(stream.getvalue()).hexdigest(),
        parts=_parts(results),
        left_out=left_out,
        versions=_versions(),
    )
    return manifest, stream.getvalue()


def _is_complete(plan: Plan, output: Path, results: dict[int, dict]) -> bool:
    return is_current(output, *_describe(plan, results))


def _write_left_out(path: Path, left_out: dict[str, str]) -> None:
    if not left_out:
        path.unlink(missing_ok=True)
        return
    with open_aside(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["GalaxyID", "reason"])
        writer.writerows(sorted(left_out.items(), key=lambda item: int(item[0])))


def _say_left_out(output: Path, left_out: dict[str, str]) -> int:
    """Says them kind by kind; returns their number."""
    problems = Problems()
    for galaxy in sorted(left_out, key=int):
        problems.add(left_out[galaxy], "id", [galaxy])
    if left_out:
        lines = "".join(f"\n  {line}" for line in problems.lines())
        say(f"{output}: left out, {len(left_out):,} in all ({LEFT_OUT}):{lines}")
    return len(left_out)


def _say_how_to_train(output: Path, manifest: Manifest) -> None:
    keys = {"dir": output, "pixel_scale": f"{manifest.pixel_scale:g}"}
    if manifest.kind == PIXEL:
        keys["decode_scale"] = manifest.decode_scale
    flags = shlex.join(f"--config.data.{key}={value}" for key, value in keys.items())
    say(f"{output}: {manifest.count:,} galaxies; train on them with\n  {flags}")
