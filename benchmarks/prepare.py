"""Preparing a data set: its speed and size, and that a killed run loses nothing.

    python benchmarks/prepare.py --data=DOWNLOAD
    python benchmarks/prepare.py --data=HALF_SIZED --pixel_scale=2 --decode_scale=1

Each kind is prepared by `gzjax.main prepare` undisturbed; then again in another folder,
killed by SIGKILL twice at random moments and finished. Both folders must have the same
bytes, and no process may be left of those that were killed. Then the set is moved, and
read by two processes.
"""

import argparse
import contextlib
import functools
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from gzjax.data.prepared.manifest import JPEG, KINDS, LEDGER, read_manifest
from gzjax.data.prepared.source import open_prepared
from gzjax.data.sources.challenge import open_challenge
from gzjax.trees import GZ2


def start(arguments: list[str], output: Path) -> subprocess.Popen:
    """The command line, as the leader of a group of its own."""
    command = [sys.executable, "-m", "gzjax.main", "prepare", f"--output={output}"]
    return subprocess.Popen(
        [*command, *arguments],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finish(process: subprocess.Popen) -> str:
    """What it said; raises unless it succeeded."""
    _, said = process.communicate()
    if process.returncode:
        raise SystemExit(said)
    return said


def num_done(output: Path) -> int:
    """Returns how many shards are in the ledger."""
    with contextlib.suppress(FileNotFoundError):
        return max(0, (output / LEDGER).read_text().count("\n") - 1)
    return 0


def kill(process: subprocess.Popen, output: Path, shards: int, after_sec: float):
    """Kills the leader ``after_sec`` after so many ``shards`` are done.

    The others of its group must leave by themselves.

    Raises:
        SystemExit: it ended before, or others are still there 5 seconds later.
    """
    while num_done(output) < shards and process.poll() is None:
        time.sleep(0.005)
    time.sleep(after_sec)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    if process.returncode != -signal.SIGKILL:
        raise SystemExit("it ended before it was killed: give more --data")
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    raise SystemExit("processes are left of one that was killed")


def same_files(a: Path, b: Path) -> bool:
    """Whether two folders have the same names and bytes."""
    names = [sorted(path.name for path in folder.iterdir()) for folder in (a, b)]
    pairs = ((a / name, b / name) for name in names[0])
    return names[0] == names[1] and all(map(_same_bytes, *zip(*pairs, strict=True)))


def _same_bytes(a: Path, b: Path) -> bool:
    with open(a, "rb") as one, open(b, "rb") as other:
        while block := one.read(1 << 24):
            if block != other.read(1 << 24):
                return False
        return not other.read(1)


def total(source, start: int) -> int:
    """The sum of all pixels of every second image."""
    indices = range(start, len(source), 2)
    return sum(int(source.decode(i).sum(dtype=np.int64)) for i in indices)


def microseconds(function, count: int) -> float:
    """The median over 5 rounds, of ``count`` calls with random positions each."""
    rounds = []
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(count)[:2000].tolist()
        begun = time.perf_counter()
        for index in order:
            function(index)
        rounds.append((time.perf_counter() - begun) / len(order))
    return 1e6 * float(np.median(rounds))


def main() -> None:
    """Prints what was found for each kind; exits with 1 if anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", required=True, help="the challenge download")
    parser.add_argument("--pixel_scale", type=float, default=1.0)
    parser.add_argument("--decode_scale", type=int, default=2, help="of pixels")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    args = parser.parse_args()
    moments = random.Random(args.seed)
    with tempfile.TemporaryDirectory() as name:
        for kind in KINDS:
            measure(kind, args, Path(name) / kind, moments)


def measure(kind: str, args, folder: Path, moments: random.Random) -> None:
    """One kind, in ``folder``."""
    scale = 1 if kind == JPEG else args.decode_scale
    arguments = [
        f"--data={args.data}",
        f"--kind={kind}",
        f"--pixel_scale={args.pixel_scale:g}",
    ]
    arguments += [f"--decode_scale={scale}"] * (kind != JPEG)
    folder.mkdir()
    begun = time.monotonic()
    said = finish(start(arguments, folder / "undisturbed"))
    took = time.monotonic() - begun
    manifest = read_manifest(folder / "undisturbed")
    num_shards, rate = len(manifest.shards), manifest.count / took
    print(f"\n--kind={kind}, {os.cpu_count()} cores, {rate:,.0f} images/s:")
    print(said.rstrip())
    killed = folder / "killed"
    for number in (1, 2):
        # Somewhere in the first and in the second third.
        shards = num_done(killed) + moments.randrange(max(1, num_shards // 3))
        kill(start(arguments, killed), killed, shards, moments.uniform(0, 0.2))
        print(f"kill {number}: {num_done(killed)} of {num_shards} shards done")
    finish(start(arguments, killed))
    same = same_files(folder / "undisturbed", killed)
    print(f"killed twice and finished: {'identical' if same else 'OTHER'} bytes")
    moved = killed.rename(folder / "moved")
    open_it = functools.partial(open_prepared, moved, GZ2, args.pixel_scale)
    begun = time.perf_counter()
    source = open_it()
    print(f"opened in {1e3 * (time.perf_counter() - begun):.1f} ms; ", end="")
    if kind == JPEG:
        print(f"read: {microseconds(source.read, len(source)):.1f} us, ", end="")
    print(f"decode: {microseconds(source.decode, len(source)):.1f} us an image")
    download = open_challenge(
        args.data, GZ2, args.pixel_scale, check_images=False, decode_scale=scale
    )
    expected = total(download, 0), total(download, 1)
    with multiprocessing.get_context("spawn").Pool(2) as processes:
        sums = processes.starmap(total, [(source, 0), (source, 1)])
    agrees = tuple(sums) == expected and source.fingerprint == download.fingerprint
    print(
        f"moved and read by two processes: {'the' if agrees else 'NOT THE'} pixels and "
        "fingerprint of the download"
    )
    shutil.rmtree(folder)
    if not (same and agrees):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
