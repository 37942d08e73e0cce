"""Writes synthetic galaxies as a folder that can be trained on."""

import shlex
from pathlib import Path

from gzjax.data.synthetic.folder import folder_layout, write_folder
from gzjax.data.synthetic.source import SyntheticSource
from gzjax.progress import Progress, say
from gzjax.trees import GZ2
from gzjax.trees.tree_file import find_tree


def synthesize(
    output: str | Path,
    *,
    num_galaxies: int = 4000,
    seed: int = 0,
    size_px: int = 424,
    tree: str = "gz2",
) -> None:
    """Writes galaxies as a folder, and prints the command that trains on them.

    Galaxy i is a function of (seed, i) alone. ``tree`` is a name in ``TREES``, or a
    ``.json`` file; :func:`gzjax.data.synthetic.folder.folder_layout` has the files.

    Raises:
        UserError: invalid numbers or an invalid tree, or a folder of other data.
    """
    source = SyntheticSource(num_galaxies, seed, size_px, tree=find_tree(tree))
    with Progress("drawing galaxies", num_galaxies) as bar:
        write_folder(source, output, progress=lambda done, _: bar.update(done))
    say(
        f"{output}: {num_galaxies} galaxies of {size_px} px; train on them with\n"
        f"  {_training_command(source, output, tree)}"
    )


def _training_command(source: SyntheticSource, output: str | Path, tree: str) -> str:
    data = {"dir": output, "pixel_scale": f"{source.pixel_scale:g}"}
    command = ["python", "-m", "gzjax.main", "--config=p4m:small"]
    if source.tree != GZ2:
        labels, images, _ = folder_layout(source.tree)
        data |= {"kind": "survey", "labels": labels, "images": images}
        command.append(f"--config.tree={tree}")
    changes = (f"--config.data.{key}={value}" for key, value in data.items())
    return shlex.join([*command, *changes])
