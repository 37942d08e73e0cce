"""What is there of a prepared data set already, and whether it is sound."""

import contextlib
import dataclasses
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from gzjax.data.prepared.files import (
    GALAXIES,
    JOURNAL,
    LEFT_OUT,
    MANIFEST,
    PIXEL,
    PIXELS,
    is_part_name,
    npy_header,
)
from gzjax.data.prepared.journal import read_journal
from gzjax.data.prepared.manifest import (
    DamagedManifestError,
    Manifest,
    Part,
    file_bytes,
    part_sha256,
    read_manifest,
)
from gzjax.data.prepared.parts import PARTIAL, Task
from gzjax.data.prepared.plan import Plan
from gzjax.errors import UserError, first_few
from gzjax.progress import Progress, say

_NUM_THREADS = 4


def check_output(output: Path) -> None:
    """Raises a UserError if ``output`` holds what ``prepare`` did not make."""
    if not output.exists():
        return
    if not output.is_dir():
        raise UserError(f"{output} is a file: name a folder with --output=DIR")
    there = {path.name for path in output.iterdir()}
    others = sorted(name for name in there if not _is_ours(name))
    if others and not {MANIFEST, JOURNAL} & there:
        raise UserError(
            f"{output} holds other things ({first_few(others)})\n"
            "What to do: name a new folder with --output=DIR"
        )


def parts_of_a_set(
    output: Path, plan: Plan, tasks: list[Task], versions: dict[str, str]
) -> dict[int, dict]:
    """The sound parts of a set that was complete once, by number.

    As :meth:`gzjax.data.prepared.parts.PartMaker.make` returned them. All of them: the
    set is sound as a whole. None: there is no set.

    Raises:
        UserError: the set there is of other options or data, or of a newer format.
    """
    if not (output / MANIFEST).is_file():
        return {}
    try:
        manifest = read_manifest(output)
    except DamagedManifestError as error:
        say(f"note: {str(error).partition(chr(10))[0]}: making it again")
        return {}
    described = manifest.to_dict()
    if differing := [k for k, v in plan.identity.items() if described[k] != v]:
        what = {"download": "ids, votes or images", "tree": "questions"}
        differing = [what.get(key, key) for key in differing]
        raise UserError(
            f"{output} holds a prepared data set of other {', '.join(differing)}\n"
            "What to do: name another folder with --output=DIR, or remove this one"
        )
    if len(manifest.parts) != len(tasks):
        return {}
    damaged = verify(output, manifest.parts)
    sound = {
        task.number: {
            **part._asdict(),
            "left_out": [
                [galaxy, manifest.left_out[str(galaxy)]]
                for galaxy in task.galaxies
                if str(galaxy) in manifest.left_out
            ],
        }
        for task, part in zip(tasks, manifest.parts, strict=True)
        if task.number not in damaged
    }
    if damaged:
        if manifest.versions != versions:  # the parts would not be of one kind
            sound = {}
        names = sorted({manifest.parts[number].name for number in damaged})
        say(f"{output}: damaged: {len(damaged):,} of {len(tasks):,} parts, in "
            f"{first_few(names)}; making them again")  # fmt: skip
    return sound


def parts_of_a_journal(output: Path, plan: Plan, identity: dict) -> dict[int, dict]:
    """The finished parts of a run that was interrupted, by number."""
    head, done = read_journal(output / JOURNAL)
    if head is None:
        return {}
    if head != identity:
        say(f"{output}: begun with other options, data or versions; starting over")
        return {}
    if plan.kind == PIXEL:
        return done if _pixel_files(output) else {}
    return {
        number: result
        for number, result in done.items()
        if _length(output / result["name"]) == result["bytes"]
    }


def _pixel_files(output: Path) -> list[Path]:
    """``pixels.npy``, finished or not, of whatever length."""
    return [path for path in (output / PIXELS, output / PARTIAL) if path.is_file()]


def tidy(output: Path, plan: Plan, done: dict[int, dict]) -> None:
    """Leaves the files of ``done`` alone, and makes room for the pixels."""
    keep = {result["name"] for result in done.values()}
    if plan.kind == PIXEL:
        partial = output / PARTIAL
        if done and (files := _pixel_files(output)):
            files[0].rename(partial)
        with open(partial, "ab" if done else "wb") as file:
            shape = (len(plan.ids), *plan.size_px, 3)
            file.truncate(len(npy_header(shape)) + plan.pixel_bytes)
        keep = {PARTIAL}
    for path in output.iterdir():
        if _is_ours(path.name) and path.name not in {GALAXIES, LEFT_OUT, *keep}:
            path.unlink()


def verify(output: Path, parts: list[Part] | tuple[Part, ...]) -> set[int]:
    """Reads all parts again; the numbers of those that are not as they were."""
    begun, damaged = time.monotonic(), set()
    size, rows = sum(p.bytes for p in parts), sum(p.rows for p in parts)
    with (
        ThreadPoolExecutor(_NUM_THREADS) as pool,
        Progress("verifying", size) as bar,
    ):
        done = 0
        lengths = file_bytes(parts)
        digests = pool.map(lambda p: _digest(output, p, lengths[p.name]), parts)
        for number, (part, digest) in enumerate(zip(parts, digests, strict=True)):
            if digest != part.sha256:
                damaged.add(number)
            done += part.bytes
            bar.update(done, "bytes")
    took = max(time.monotonic() - begun, 1e-9)
    found = f"{len(damaged):,} of {len(parts):,} parts differ" if damaged else "sound"
    say(f"{output}: {rows:,} images ({size / 1e6:,.0f} MB) read again, {found}: "
        f"{rows / took:,.0f} images/s")  # fmt: skip
    return damaged


def is_current(output: Path, manifest: Manifest, galaxies: bytes) -> bool:
    """Whether manifest (but for its versions) and ``galaxies.npy`` are these."""
    with contextlib.suppress(OSError, UserError):
        there = dataclasses.replace(read_manifest(output), versions=manifest.versions)
        same = there.to_dict() == manifest.to_dict()
        return same and (output / GALAXIES).read_bytes() == galaxies
    return False


def _digest(output: Path, part: Part, length: int) -> str:
    """Of a part; "" if it cannot be read, or more follows on the last of a file."""
    try:
        if part.start + part.bytes == length != _length(output / part.name):
            return ""
        return part_sha256(output, part)
    except OSError:
        return ""


def _length(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None


def _is_ours(name: str) -> bool:
    """Whether a folder of nothing but such files may be written to."""
    named = name in (GALAXIES, LEFT_OUT, PARTIAL) or is_part_name(name)
    return named or _is_aside(name)


def _is_aside(name: str) -> bool:
    return name.startswith(".") and name.endswith(".partial")
