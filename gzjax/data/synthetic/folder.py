"""Writes drawn galaxies as a folder like the challenge's, or a survey's."""

import csv
from collections.abc import Callable
from pathlib import Path

from gzjax.data.csv_rows import LABEL_FILES
from gzjax.data.images.challenge_files import IMAGE_FOLDERS
from gzjax.data.labels.table import ID_COLUMN
from gzjax.data.synthetic.source import SyntheticSource
from gzjax.errors import UserError
from gzjax.files import open_aside, write_text
from gzjax.trees.base import Tree
from gzjax.trees.gz2 import GZ2

IMAGES = IMAGE_FOLDERS[0]
ORIGIN = "synthetic.txt"  # in the folder: the fingerprint of what is written there


def folder_layout(tree: Tree) -> tuple[str, str, str]:
    """Returns the names of the labels, of the images' folder, and of the ids' column.

    They are the challenge's for its tree, and a survey's for any other tree.
    """
    if tree == GZ2:
        return LABEL_FILES[0], IMAGES, ID_COLUMN
    return "labels.csv", "images", "name"


def write_folder(
    source: SyntheticSource,
    output: str | Path,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Writes a source as a folder in the shape of the challenge's data, or a survey's.

    An interrupted write is resumed where it stopped; the labels come last, so that a
    folder that has them is complete. ``progress`` is called with (images done, images
    in all) after each image. See :func:`folder_layout` for the names of the files.

    Raises:
        UserError: the folder already holds labels or other images, or cannot be made.
    """
    labels, images, key = folder_layout(source.tree)
    folder, images = Path(output), Path(output, images)
    _claim(folder, source.fingerprint, labels, images.name)
    images.mkdir(exist_ok=True)
    for i, galaxy_id in enumerate(source.ids):
        path = images / f"{galaxy_id}.jpg"
        if not path.exists():
            with open_aside(path, "wb") as file:
                file.write(source.read(i))
        if progress:
            progress(i + 1, source.num_galaxies)
    with open_aside(folder / labels) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([key, *source.tree.columns])
        for galaxy_id, votes in zip(source.ids, source.targets, strict=True):
            # Nine significant digits bring every float32 back exactly.
            writer.writerow([galaxy_id, *(f"{vote:.9g}" for vote in votes)])


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
    write_text(origin, f"{fingerprint}\n")
