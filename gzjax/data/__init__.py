"""Turns data sets into batches on the host.

In: folders, zips, tables. Out: sources and batches, dicts of NumPy arrays. Never JAX.
"""

import os
from pathlib import Path

from gzjax.data.csv_rows import LABEL_FILES
from gzjax.data.detections.table import find_detections, read_placements
from gzjax.data.geometry import frame_px
from gzjax.data.prepared.manifest import is_prepared
from gzjax.data.prepared.source import open_prepared
from gzjax.data.sources.base import CentredSource, Source
from gzjax.data.sources.challenge import open_challenge
from gzjax.data.sources.survey import open_survey
from gzjax.data.synthetic.source import SyntheticSource
from gzjax.errors import UserError, nearest
from gzjax.trees import Tree


def make_source(config, tree: Tree, progress=None) -> Source:
    """Returns the source that ``config.data`` names, with labels of the tree's columns.

    ``progress`` is called with (done, total) while images are checked.

    Raises:
        UserError: no data folder is given, or what is in it is wrong; or the table of
            detections is missing (says the command that makes it).
    """
    data = config.data
    _check_kind(data)
    table = _find_table(data)
    source = _KINDS[data.kind](data, tree, progress)
    if table is None:
        return source
    folder = data_folder(data.dir)
    frame = frame_px(source.decode(0), source.pixel_scale)
    found = read_placements(table, source.ids, folder, data.pixel_scale, frame)
    return CentredSource(source, *found)


def check_there(config, tree: Tree) -> None:
    """Raises the UserError of :func:`make_source` if files that it reads are missing.

    It takes no time if they are there: neither labels nor images are read.
    """
    data, there = config.data, True
    _check_kind(data)
    _find_table(data)
    if data.kind == "challenge":
        folder = Path(data_folder(data.dir))
        there = is_prepared(folder) or any((folder / n).is_file() for n in LABEL_FILES)
    elif data.kind == "survey":
        there = all(_survey_path(data, *x).exists() for x in _SURVEY)
    if not there:
        make_source(config, tree)


def _check_kind(data) -> None:
    """Raises a UserError if there is no such kind, or a key is not for it."""
    if data.kind not in _KINDS:
        known = nearest(data.kind, _KINDS)
        raise UserError(f"config.data.kind is '{data.kind}'; {known}")
    if data.kind != "challenge" and data.decode_scale != 1:
        raise UserError(
            f"config.data.decode_scale is {data.decode_scale}, for the challenge's "
            f"JPEG files alone; config.data.kind is '{data.kind}'"
        )
    if data.detections and data.kind in _NOT_CENTRED:
        raise UserError(_NOT_CENTRED[data.kind])


def _find_table(data) -> Path | None:
    """Finds the table of detections, if ``data`` names one."""
    if not data.detections:
        return None
    return find_detections(data.detections, data_folder(data.dir), data.pixel_scale)


def data_folder(given: str | Path) -> str:
    """Returns ``given``, or the folder of GZJAX_DATA; raises a UserError if neither."""
    folder = os.path.expanduser(given or os.environ.get("GZJAX_DATA", ""))
    if not folder:
        raise UserError(
            "no data folder: give --data=FOLDER (train: --config.data.dir=FOLDER) or "
            "set GZJAX_DATA: the folder of the Galaxy Zoo challenge download, unpacked "
            "or as zips, or prepared. To try without any data: make demo, or "
            "--config=p4m:demo"
        )
    return folder


def _challenge(data, tree, progress) -> Source:
    folder = data_folder(data.dir)
    try:
        if is_prepared(folder):
            return open_prepared(folder, tree, data.pixel_scale, data.decode_scale)
        return open_challenge(
            folder,
            tree,
            pixel_scale=data.pixel_scale,
            check_images=data.check_images,
            progress=progress,
            decode_scale=data.decode_scale,
        )
    except UserError as error:
        if data.dir:
            raise
        raise UserError(f"{error}\n(The folder is that of GZJAX_DATA.)") from error


_SURVEY = (
    ("labels", "a .csv with a row per galaxy"),
    ("images", "a folder, a .zip or a .csv of paths"),
)


def _survey(data, tree, progress) -> Source:
    return open_survey(
        *(_survey_path(data, *key_and_what) for key_and_what in _SURVEY),
        tree,
        pixel_scale=data.pixel_scale,
        name_column=data.name_column,
        check_images=data.check_images,
        progress=progress,
    )


def _survey_path(data, key: str, what: str) -> Path:
    if not data[key]:
        flag = f"--config.data.{key}={what}"
        raise UserError(f"config.data.kind is 'survey': give {flag}")
    folder = data.dir or os.environ.get("GZJAX_DATA", "")
    return Path(folder).expanduser() / Path(data[key]).expanduser()


def _synthetic(data, tree, progress) -> Source:
    drawn = data.synthetic
    return SyntheticSource(drawn.num_galaxies, drawn.seed, drawn.size_px, tree=tree)


_KINDS = {"challenge": _challenge, "survey": _survey, "synthetic": _synthetic}
_NOT_CENTRED = {
    "survey": (
        "config.data.detections is for the challenge's images; the galaxies of a "
        "survey are not centred: leave it out, or take a config that is not "
        ":centred"
    ),
    "synthetic": (
        "drawn galaxies have no table of detections until they are in a folder: "
        "python -m gzjax.main synthesize --output=DIR, then detect --data=DIR and "
        "--config.data.kind=challenge --config.data.dir=DIR"
    ),
}
