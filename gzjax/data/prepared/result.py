"""What a prepared data set says of itself when its parts are made."""

import csv
import hashlib
import io
import shlex
from importlib import metadata
from pathlib import Path

import cv2
import numpy as np

from gzjax import __version__
from gzjax.data.prepared.files import LEFT_OUT, PIXEL, galaxies_dtype
from gzjax.data.prepared.manifest import Manifest, Part
from gzjax.data.prepared.plan import MISSING, Plan
from gzjax.data.sources.challenge import fingerprint
from gzjax.errors import Problems, UserError
from gzjax.files import open_aside
from gzjax.progress import say


def package_versions() -> dict[str, str]:
    """Of what decides about the bytes."""
    return {
        "gzjax": __version__,
        "numpy": np.__version__,
        "opencv": cv2.__version__,
        "array_record": metadata.version("array_record"),
    }


def parts_of(results: dict[int, dict]) -> tuple[Part, ...]:
    """In order, what :meth:`PartMaker.make` returned."""
    in_order = (results[number] for number in sorted(results))
    return tuple(Part(*(result[key] for key in Part._fields)) for result in in_order)


def describe(plan: Plan, results: dict[int, dict]) -> tuple[Manifest, bytes]:
    """The manifest, and the contents of ``galaxies.npy``.

    Raises:
        UserError: no galaxy is left.
    """
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
        parts=parts_of(results),
        left_out=left_out,
        versions=package_versions(),
    )
    return manifest, stream.getvalue()


def write_left_out(path: Path, left_out: dict[str, str]) -> None:
    """Writes ids and reasons; no file where nothing was left out."""
    if not left_out:
        path.unlink(missing_ok=True)
        return
    with open_aside(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["GalaxyID", "reason"])
        writer.writerows(sorted(left_out.items(), key=lambda item: int(item[0])))


def say_left_out(output: Path, left_out: dict[str, str]) -> int:
    """Says them kind by kind; returns their number."""
    problems = Problems()
    for galaxy in sorted(left_out, key=int):
        problems.add(left_out[galaxy], "id", [galaxy])
    if left_out:
        lines = "".join(f"\n  {line}" for line in problems.lines())
        say(f"{output}: left out, {len(left_out):,} in all ({LEFT_OUT}):{lines}")
    return len(left_out)


def say_how_to_train(output: Path, manifest: Manifest) -> None:
    """Says the flags that name this set."""
    keys = {"dir": output, "pixel_scale": f"{manifest.pixel_scale:g}"}
    if manifest.kind == PIXEL:
        keys["decode_scale"] = manifest.decode_scale
    flags = shlex.join(f"--config.data.{key}={value}" for key, value in keys.items())
    say(f"{output}: {manifest.count:,} galaxies; train on them with\n  {flags}")
