"""Draws the README's picture: what turning a galaxy does inside and to the answer.

Needs matplotlib, and two trained runs, for example

    make demo
    python -m gzjax.main --config=configs/p4m_paper.py:small --workdir=runs/published \
        --config.data.kind=synthetic --config.num_train_steps=300
    python benchmarks/picture_of_the_idea.py --exact=runs/demo \
        --published=runs/published
"""

import argparse
from pathlib import Path

import matplotlib
import numpy as np
import PIL.Image

from gzjax.data.averaging import AVERAGING_SETS
from gzjax.data.synthetic.source import SyntheticSource
from gzjax.models.layers import GroupConv
from gzjax.ops.groups import act
from gzjax.training.open_run import open_run, read_run
from gzjax.trees import GZ2

matplotlib.use("Agg")
import matplotlib.pyplot as plt

ELEMENTS = ["0°", "90°", "180°", "270°", *(f"mirror, {a}°" for a in (0, 90, 180, 270))]
INK, RED = "#1b3a5b", "#c0392b"


def predict(workdir: Path, galaxy: int) -> tuple[dict, np.ndarray]:
    """Returns a run's variables, and its outputs ``[8 a]`` for one drawn galaxy."""
    run = open_run(read_run(workdir))
    votes = run.experiment.predict(
        run.state, run.step, np.array([galaxy]), AVERAGING_SETS["d4"], on_device=False
    )
    return run.state.eval_variables(), votes[0]


def lifted(variables, image) -> np.ndarray:
    """Returns the first layer's feature maps, ``[h w 8 planes]``."""
    kernel = variables["params"]["conv1"]["kernel"]
    layer = GroupConv("p4m", kernel.shape[-1], kernel.shape[0])
    maps = layer.apply(
        {"params": variables["params"]["conv1"]}, image[None, :, :, None]
    )
    return np.asarray(maps)[0]


def draw(exact, published, galaxy: int, output: Path) -> None:
    """Draws the galaxy eight times, its feature maps, and the 37 answers."""
    source = SyntheticSource(galaxy + 1, size_px=212)
    image = source.decode(galaxy)[36:176, 36:176]
    maps = [lifted(exact[0], act(image, g, (0, 1)) / np.float32(255)) for g in (0, 1)]
    # The plane that sees most of a direction.
    plane = np.argmax(maps[0].std(axis=2).mean((0, 1)) / maps[0].std(axis=(0, 1, 2)))
    maps = [m[..., plane] for m in maps]
    figure = plt.figure(figsize=(10, 6.6), dpi=90)
    grid = figure.add_gridspec(
        5, 8, height_ratios=[1, 1, 1, 0.25, 1.5], hspace=0.12, wspace=0.06
    )
    limit = np.abs(maps[0]).max()
    for g in range(8):
        panels = [act(image, g, (0, 1)), maps[0][..., g], maps[1][..., g]]
        for row, panel in enumerate(panels):
            axes = figure.add_subplot(grid[row, g])
            axes.imshow(panel, cmap="RdBu_r", vmin=-limit, vmax=limit)
            axes.set_xticks([])
            axes.set_yticks([])
            if row == 0:
                axes.set_title(ELEMENTS[g], fontsize=9)
            if g == 0:
                label = ["a galaxy", "feature maps", "feature maps,\nturned 90°"][row]
                axes.set_ylabel(label, fontsize=9)
    for half, (title, votes, colour) in enumerate(
        [
            ("exact network: 37 answers x 8 orientations", exact[1], INK),
            ("published geometry, the same galaxy", published[1], RED),
        ]
    ):
        axes = figure.add_subplot(grid[4, 4 * half : 4 * half + 4])
        for row in votes:
            axes.plot(row, ".", color=colour, alpha=0.5, markersize=5)
        spread = np.ptp(votes, axis=0).max()
        axes.set_title(f"{title}\nlargest spread {spread:.1e}", fontsize=9)
        axes.set_ylim(-0.03, 1.03)
        axes.set_xticks([s.start for s in GZ2.slices], range(1, 12), fontsize=7)
        axes.set_xlabel("question", fontsize=8)
        axes.tick_params(labelsize=7)
        if half:
            axes.set_yticklabels([])
        else:
            axes.set_ylabel("vote fraction", fontsize=8)
    figure.savefig(output, bbox_inches="tight", facecolor="white")
    PIL.Image.open(output).quantize(128).save(output, optimize=True)
    print(f"wrote {output}")


def main() -> None:
    """Parses the arguments and draws."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--exact", type=Path, required=True, help="workdir")
    parser.add_argument("--published", type=Path, required=True, help="workdir")
    parser.add_argument("--galaxy", type=int, default=75, help="number (%(default)s)")
    parser.add_argument("--output", type=Path, default=Path("docs/idea.png"))
    args = parser.parse_args()
    args.output.parent.mkdir(exist_ok=True)
    runs = [predict(workdir, args.galaxy) for workdir in (args.exact, args.published)]
    draw(*runs, args.galaxy, args.output)


if __name__ == "__main__":
    main()
