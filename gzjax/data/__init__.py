"""The host's side, NumPy only: where images come from and how they become batches."""

import os

from gzjax.data.challenge import open_challenge
from gzjax.data.source import Source
from gzjax.data.synthetic import SyntheticSource
from gzjax.errors import UserError
from gzjax.trees import Tree


def make_source(config, tree: Tree, progress=None) -> Source:
    """The source that ``config.data`` names.

    Args:
        config: the run's.
        tree: its labels must have this tree's columns.
        progress: called with (done, total) while images are checked.

    Raises:
        UserError: no data folder given, or what is in it is wrong.
    """
    data = config.data
    if data.kind == "synthetic":
        drawn = data.synthetic
        return SyntheticSource(drawn.num_galaxies, drawn.seed, drawn.size_px)
    if data.kind != "challenge":
        raise UserError(
            f"config.data.kind is '{data.kind}'; there are: challenge, synthetic"
        )
    folder = os.path.expanduser(data.dir or os.environ.get("GZJAX_DATA", ""))
    if not folder:
        raise UserError(
            "no data folder: give --config.data.dir=FOLDER (evaluate: --data=FOLDER), "
            "or set GZJAX_DATA to the folder of the Galaxy Zoo challenge download "
            "(training_solutions_rev1 and images_training_rev1, unpacked or as zips). "
            "To try without any data: "
            "make demo, or --config=configs/p4m.py:demo"
        )
    try:
        return open_challenge(
            folder, tree, data.pixel_scale, data.check_images, progress
        )
    except UserError as error:
        if data.dir:
            raise
        raise UserError(f"{error}\n(The folder is that of GZJAX_DATA.)") from error
