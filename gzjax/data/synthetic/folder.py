"""Writes drawn galaxies as a folder like the challenge's, or a survey's."""

import csv
import io
import os
from collections.abc import Callable
from pathlib import Path

from gzjax.data.synthetic.source import SyntheticSource
from gzjax.errors import UserError
from gzjax.trees.base import Tree
from gzjax.trees.gz2 import GZ2

LABELS = "training_solutions_rev1.csv"
IMAGES = "images_training_rev1"
SURVEY_LABELS, SURVEY_IMAGES = "labels.csv", "images"  # of any tree but GZ2
ORIGIN = "synthetic.txt"  # in the folder: the fingerprint of what is written there


def folder_layout(tree: Tree) -> tuple[str, str, str]:
    """Names in a written folder: of the labels, of the images, of the ids' column.

    Those of the challenge for its tree; for any other those of a survey
    (:mod:`gzjax.data.sources.survey`).
    """
    if tree == GZ2:
        return LABELS, IMAGES, "GalaxyID"
    return SURVEY_LABELS, SURVEY_IMAGES, "name"


def write_folder(
    source: SyntheticSource,
    output: str | Path,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Writes a source as a folder in the shape of the challenge's data, or a survey's.

    An interrupted write is taken up where it stopped; the labels come last, so that a
    folder that has them is complete.

    Args:
        source: what to write.
        output: folder; made if it is not there. See :func:`folder_layout`.
        progress: called with (images done, images in all) after each image.

    Raises:
        UserError: the folder already holds labels or the images of something else, or
            cannot be made.
    """
    labels, images, key = folder_layout(source.tree)
    folder, images = Path(output), Path(output, images)
    _claim(folder, source.fingerprint, labels, images.name)
    images.mkdir(exist_ok=True)
    for i, galaxy_id in enumerate(source.ids):
        path = images / f"{galaxy_id}.jpg"
        if not path.exists():
            _write_whole(path, source.read(i))
        if progress:
            progress(i + 1, source.num_galaxies)
    _write_whole(folder / labels, _table(source, key).encode())


def _claim(folder: Path, fingerprint: str, labels: str, images: str) -> None:
    """Makes ``folder`` ours, or refuses if it holds anything else."""
    if (folder / labels).exists():
        raise UserError(
            f"{folder} already holds {labels}; choose another folder or remove this one"
        )
    origin = folder / ORIGIN
    begun = origin.read_text().strip() if origin.is_file() else None
    names = Path(labels).stem, images  # unpacked or zipped
    held = [path.name for name in names for path in folder.glob(f"{name}*")]
    if begun != fingerprint and (begun or held):
        raise UserError(
            f"{folder} already holds {held[0] if held else ORIGIN} of other data; "
            "choose another folder or remove this one"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make the folder {folder}: {error}") from error
    _write_whole(origin, f"{fingerprint}\n".encode())


def _table(source: SyntheticSource, key: str) -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([key, *source.tree.columns])
    for galaxy_id, votes in zip(source.ids, source.targets, strict=True):
        # Nine significant digits bring every float32 back exactly.
        writer.writerow([galaxy_id, *(f"{vote:.9g}" for vote in votes)])
    return text.getvalue()


def _write_whole(path: Path, content: bytes) -> None:
    part = path.with_name(path.name + ".part")
    part.write_bytes(content)
    os.replace(part, path)
