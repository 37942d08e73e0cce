"""How often a run's calibration flags galaxies, and wrong images of every kind.

    python benchmarks/unlike.py --workdir=RUN --images=DIR --pixel_scale=1

DIR holds real galaxies that the run was not trained on. From the first --num of them,
and from nothing, images of each kind are drawn anew with --seed. Photographs are those
of scikit-image, where it is installed. What it costs per image is CPU time of a batch.
"""

import argparse
import time

import cv2
import numpy as np

from gzjax.data.familiar.statistics import crop
from gzjax.data.familiar.wrong_kinds import DRAWN_KINDS, KINDS, ORDERS, draw_wrong
from gzjax.data.geometry import FRAME_PX
from gzjax.data.images.cutouts import find_cutouts
from gzjax.data.images.stretch import Stretch
from gzjax.data.sources.base import pixel_scale_of
from gzjax.data.sources.unlabelled import UnlabelledSource
from gzjax.evaluation.calibration.storage import find_calibration
from gzjax.training.open_run import read_run

SCALES = (0.4, 0.5, 0.6, 0.67, 1.5, 1.7, 2.0, 2.5)
PHOTOGRAPHS = ("astronaut", "coffee", "chelsea", "rocket", "camera", "coins", "moon")


def photographs(num: int, rng) -> list[np.ndarray]:
    """Square pieces, at least 200 px, of the photographs of scikit-image."""
    try:
        from skimage import data
    except ImportError:
        return []
    pieces = []
    for i in range(num):
        image = getattr(data, PHOTOGRAPHS[i % len(PHOTOGRAPHS)])()
        image = np.broadcast_to(np.atleast_3d(image), (*image.shape[:2], 3))
        side = int(rng.integers(200, min(image.shape[:2]) + 1))
        top, left = (rng.integers(n - side + 1) for n in image.shape[:2])
        pieces.append(image[top : top + side, left : left + side].copy())
    return pieces


def cases(galaxies, num: int, rng):
    """Name → images, each with its pixel scale."""
    yield "galaxies", galaxies
    half = [(cv2.resize(x, None, None, 0.5, 0.5, 3), 2 * s) for x, s in galaxies]
    yield "galaxies, half as large", half
    for order in ORDERS:
        name = "bands " + "".join("RGB"[i] for i in order)
        yield name, [(x[..., order].copy(), s) for x, s in galaxies]
    for factor in SCALES:
        yield f"pixel scale x {factor:g}", [(x, s * factor) for x, s in galaxies]
    for kind in DRAWN_KINDS:
        images = (draw_wrong(kind, rng, FRAME_PX) for _ in range(num))
        yield KINDS[kind], [(image, 1.0) for image in images]
    if pieces := photographs(num, rng):
        pairs = [(image, FRAME_PX / len(image)) for image in pieces]
        yield "photographs of scikit-image", pairs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--workdir", required=True)
    parser.add_argument("--images", required=True)
    parser.add_argument("--pixel_scale", type=float)
    parser.add_argument("--num", type=int, default=600)
    parser.add_argument("--seed", type=int, default=17)
    args = parser.parse_args()
    calibration = find_calibration(read_run(args.workdir))
    if calibration is None:
        parser.error(f"{args.workdir} has no calibration: gzjax calibrate makes it")
    source = UnlabelledSource(find_cutouts(args.images), args.pixel_scale, Stretch())
    images = [source.decode(i) for i in range(min(args.num, len(source)))]
    galaxies = [(image, pixel_scale_of(source, image)) for image in images]
    rng = np.random.default_rng(args.seed)
    print(f"{'':32}{'images':>7}{'unlike':>8}  most often")
    for name, pairs in cases(galaxies, args.num, rng):
        crops = np.stack([crop(*pair) for pair in pairs])
        kinds = calibration.reference.judge(crops).kind
        most = KINDS[np.bincount(kinds).argmax()]
        print(f"{name:32}{len(crops):7}{(kinds > 0).mean():8.1%}  {most}")
    begun = time.process_time()
    crops = np.stack([crop(*pair) for pair in galaxies[:64]])
    calibration.reference.judge(crops)
    spent = (time.process_time() - begun) / len(crops)
    print(f"{1e3 * spent:.2f} ms of CPU time per image")


if __name__ == "__main__":
    main()
