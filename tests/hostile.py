"""What tests of hostile files share: a process with little memory, bombs, a watch."""

import contextlib
import os
import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from gzjax.errors import UserError

GIB = 1 << 30


def run_in_little_memory(code, *arguments, gib=2, seconds=60):
    """Runs Python code with an address space of ``gib``; its lines of output."""
    # Not by preexec_fn: a fork of a process that runs JAX warns.
    limit = f"import resource as r; r.setrlimit(r.RLIMIT_AS, ({gib * GIB},) * 2)\n"
    done = subprocess.run(
        [sys.executable, "-c", limit + code, *map(str, arguments)],
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.splitlines()


def snapshot(folder, but):
    """When each path below a folder was written, but for those in ``but``."""
    times = {}
    for root, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if os.path.join(root, name) != but]
        for name in [*folders, *files]:
            path = os.path.join(root, name)
            times[path] = os.lstat(path).st_mtime_ns
    return times


@contextlib.contextmanager
def watched(folder):
    """A folder in it for hostile files; nothing may change beside that."""
    inside = folder / "inside"
    inside.mkdir()
    (folder / "victim.csv").write_text("mine")

    before = snapshot(folder, str(inside))
    yield inside
    assert snapshot(folder, str(inside)) == before


def refusal(call, *arguments, **options):
    """The words of a UserError."""
    with pytest.raises(UserError) as error:
        call(*arguments, **options)
    return str(error.value)


def sparse(path, num_bytes=10 * GIB, head=b""):
    """A file of zeros that takes no room on the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(head)
    os.truncate(path, num_bytes)
    return path


def jpeg(size=24, seed=0):
    image = np.random.default_rng(seed).integers(0, 256, (size, size, 3), np.uint8)
    return cv2.imencode(".jpg", image)[1].tobytes()


def claiming(width, height):
    """A JPEG of 24 x 24 px whose header says that it is larger."""
    data = bytearray(jpeg())
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", height, width)
    return bytes(data)


def bomb(path, name, num_bytes, claimed=None):
    """A zip of zeros; ``claimed`` is what its directory says of their number."""
    deflate = zlib.compressobj(wbits=-15)
    block = deflate.compress(bytes(1 << 20)) + deflate.flush(zlib.Z_FULL_FLUSH)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, block * (num_bytes >> 20) + deflate.flush())
        start = archive.start_dir
    data = bytearray(path.read_bytes())
    data[8] = data[start + 10] = zipfile.ZIP_DEFLATED
    data[start + 24 : start + 28] = struct.pack("<I", claimed or num_bytes)
    path.write_bytes(data)
    return path
