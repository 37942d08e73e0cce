"""Synthetic galaxies whose votes follow exactly from what the picture shows.

They stand in for the challenge's data in the demonstration and in the tests. Galaxy i
is a function of (seed, i) alone.
"""

import csv
import dataclasses
import functools
import hashlib
import io
import math
import os
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from gzjax.data.decoding import decode
from gzjax.data.galaxy_painter import FRAME_PX, Galaxy, render
from gzjax.errors import UserError
from gzjax.trees.base import Tree
from gzjax.trees.gz2 import GZ2

LABELS = "training_solutions_rev1.csv"
IMAGES = "images_training_rev1"
SURVEY_LABELS, SURVEY_IMAGES = "labels.csv", "images"  # of any tree but GZ2
ORIGIN = "synthetic.txt"  # in the folder: the fingerprint of what is written there

# Part of the fingerprint: raise it with every change of the pictures.
_RECIPE = 1
_FIRST_ID = 100_001
_CACHED_PIXELS = 2**29  # about 100 MB of JPEG in each process
# How fast an opinion turns with what is seen: a lead of 0.3 wins 9 votes of 10.
_SHARPNESS = 7.0
_ANSWERS = {q.name: q.answers for q in GZ2.questions}
_ANSWERS_TEXT = "; ".join(f"{q} ({', '.join(a)})" for q, a in _ANSWERS.items())
# How frequent they are among the odd galaxies, in the order of the answers.
_ODDITIES = {
    "ring": 0.22,
    "lens_or_arc": 0.08,
    "disturbed": 0.15,
    "irregular": 0.15,
    "other": 0.1,
    "merger": 0.2,
    "dust_lane": 0.1,
}


@dataclasses.dataclass(frozen=True)
class SyntheticSource:
    """A :class:`gzjax.data.source.Source` that draws its galaxies when asked.

    Attributes:
        num_galaxies: at least 1.
        seed: 0 or more.
        size_px: side of the stored pictures; they cover the whole 424 px frame.
        quality: of the JPEG, 1 to 100.
        tree: of the votes; asks any of the questions of Galaxy Zoo 2.

    Raises:
        UserError: a field is out of range, or the tree asks something else.
    """

    num_galaxies: int
    seed: int = 0
    size_px: int = FRAME_PX
    quality: int = 90
    tree: Tree = dataclasses.field(default=GZ2, repr=False)  # the votes tell it
    _pictures: dict = dataclasses.field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __post_init__(self):
        limits = {
            "num_galaxies": (1, 899_999),  # six digits, like the challenge's ids
            "seed": (0, 2**63 - 1),
            "size_px": (32, 4096),
            "quality": (1, 100),
        }
        for name, (low, high) in limits.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise UserError(
                    f"synthetic galaxies: {name} is {value}; choose {low} to {high}"
                )

        vote_fractions(draw_parameters(self._rng(0)), self.tree)

    def __reduce__(self):
        fields = self.num_galaxies, self.seed, self.size_px, self.quality
        return type(self), fields if self.tree == GZ2 else (*fields, self.tree)

    @functools.cached_property
    def ids(self) -> np.ndarray:
        """int64 [n], ascending, unique."""
        return np.arange(_FIRST_ID, _FIRST_ID + self.num_galaxies, dtype=np.int64)

    @functools.cached_property
    def targets(self) -> np.ndarray:
        """float32 [n a], the absolute vote fractions in the columns of the tree."""
        return np.stack(
            [
                vote_fractions(draw_parameters(self._rng(i)), self.tree)
                for i in range(self.num_galaxies)
            ]
        )

    @property
    def pixel_scale(self) -> float:
        """How many pixels of the 424 px frame one stored pixel spans."""
        return FRAME_PX / self.size_px

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 of ids, votes and everything that shapes the pictures."""
        digest = hashlib.sha256(repr((self, _RECIPE)).encode())
        digest.update(self.ids.tobytes())
        digest.update(self.targets.tobytes())
        return digest.hexdigest()

    def read(self, index: int) -> bytes:
        """The JPEG of ``ids[index]``, the same bytes every time; safe from threads.

        Raises:
            IndexError: ``index`` is not in [0, num_galaxies).
        """
        if not 0 <= index < self.num_galaxies:
            raise IndexError(f"galaxy {index} of {self.num_galaxies}")
        picture = self._pictures.get(index)
        if picture is None:
            picture = self._paint(index)
            if len(self._pictures) * self.size_px**2 < _CACHED_PIXELS:
                self._pictures[index] = picture
        return picture

    def decode(self, index: int) -> np.ndarray:
        """uint8 RGB ``[h w 3]``, the image of ``ids[index]``; safe in threads."""
        return decode(self.read(index), self.ids[index])

    def frame(self, index: int, image: np.ndarray) -> None:
        """None: galaxies are taken as they lie."""
        del index, image

    def _rng(self, index: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, index])

    def _paint(self, index: int) -> bytes:
        rng = self._rng(index)
        rgb = render(draw_parameters(rng), rng, self.size_px)
        bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
        _, jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, self.quality])
        return jpeg.tobytes()


def draw_parameters(rng: np.random.Generator) -> Galaxy:
    """A random galaxy of a population like that of Galaxy Zoo 2."""
    is_disk = rng.random() < 0.58
    oddity = str(rng.choice(list(_ODDITIES), p=list(_ODDITIES.values())))
    if rng.random() > 0.27:
        oddity = ""
    if oddity in ("ring", "irregular"):
        is_disk = True
    disk = rng.beta(8, 1.2) if is_disk else rng.beta(1, 9)
    has_arms = (
        is_disk and oddity not in ("irregular", "dust_lane") and rng.random() < 0.72
    )
    has_bulge = oddity != "irregular" and rng.random() < 0.85
    return Galaxy(
        star=rng.uniform(0.5, 1) if rng.random() < 0.02 else 0.0,
        disk=disk,
        radius=math.exp(rng.uniform(math.log(48), math.log(95))),
        axis_ratio=_draw_axis_ratio(rng, is_disk, oddity),
        angle=rng.uniform(0, 2 * math.pi),
        sense=int(rng.choice((-1, 1))),
        bulge=rng.beta(1.1, 1.7) if has_bulge else 0.0,
        boxy=rng.uniform(0.5, 1) if rng.random() < 0.25 else 0.0,
        bar=rng.uniform(0.2, 1) if has_arms and rng.random() < 0.4 else 0.0,
        arms=int(rng.choice(6, p=(0.08, 0.5, 0.18, 0.12, 0.06, 0.06)) + 1)
        * int(has_arms),
        arm_contrast=rng.uniform(0.2, 1),
        pitch=rng.uniform(8, 40),
        oddity=oddity,
        odd_strength=rng.uniform(0.35, 1) if oddity else 0.0,
        brightness=math.exp(rng.uniform(math.log(0.5), math.log(1.6))),
        warmth=float(np.clip(rng.normal(0.9 - 0.55 * disk, 0.15), 0, 1)),
        background=rng.uniform(0.02, 0.06),
        noise=rng.uniform(0.015, 0.05),
        seeing=rng.uniform(1.2, 3.2),
    )


def _draw_axis_ratio(rng, is_disk: bool, oddity: str) -> float:
    cosine, thickness = rng.random(), rng.uniform(0.1, 0.16)
    low = 0.5 if oddity in ("ring", "irregular", "lens_or_arc") else 0.0
    if is_disk:
        # A disk in a random direction: the cosine of its inclination is uniform.
        return math.hypot(low + (1 - low) * cosine, thickness) / math.hypot(1, 0.16)
    return 1 - (1 - max(low, 0.25)) * (1 - cosine) ** 1.4


def vote_fractions(galaxy: Galaxy, tree: Tree) -> np.ndarray:
    """The votes of volunteers who see the picture of ``galaxy``.

    Args:
        galaxy: whose angle and sense make no difference.
        tree: may ask any of the questions of Galaxy Zoo 2.

    Returns:
        float32 [a], absolute fractions in [0, 1]; those of a question sum to the
        fraction of volunteers who were asked.

    Raises:
        UserError: the tree asks what synthetic galaxies have no answer for.
    """
    scores = _scores(galaxy)
    votes = np.zeros(tree.num_answers)
    for q, columns, parents in zip(
        tree.questions, tree.slices, tree.parents, strict=True
    ):
        if q.answers != _ANSWERS.get(q.name):
            raise UserError(
                f"synthetic galaxies have no votes for question '{q.name}' "
                f"({', '.join(q.answers)}) of tree '{tree.name}'; they have for these "
                f"of tree '{GZ2.name}', with just these answers: {_ANSWERS_TEXT}"
            )
        asked = votes[list(parents)].sum() if parents else 1.0
        votes[columns] = asked * _softmax(np.asarray(scores[q.name]))
    return votes.astype(np.float32)


def _softmax(scores: np.ndarray) -> np.ndarray:
    odds = np.exp(_SHARPNESS * (scores - scores.max()))
    return odds / odds.sum()


def _nearest(value: float, centres: tuple[float, ...], width: float) -> list[float]:
    """Scores of the classes of an ordered quantity: the nearer, the higher."""
    return [-(((value - centre) / width) ** 2) for centre in centres]


def _clarity(galaxy: Galaxy) -> float:
    """How much of the detail is left by blur and noise, in [0, 1]."""
    sharp = math.exp(-((9 * galaxy.seeing / galaxy.radius) ** 2))
    deep = galaxy.brightness / (galaxy.brightness + 5 * galaxy.noise)
    return sharp * deep


def _scores(galaxy: Galaxy) -> dict[str, list[float]]:
    """The score of each answer of each question, from what can be seen."""
    g, clarity = galaxy, _clarity(galaxy)
    face = g.disk * clarity * (1 - g.edge_on)
    arms = face * math.sqrt(g.arm_contrast) * (g.arms > 0)
    bar = face * g.bar * (1 - 0.5 * g.bulge)  # a bulge hides it
    inside = [g.odd(f) for f in ("ring", "disturbed", "irregular", "dust_lane")]
    features = max(arms, bar, 0.7 * g.edge_on * g.disk, 0.8 * max(inside) * clarity)
    # What is not seen cannot tell answers apart: it weighs their scores with 0.
    seen = min(1, 2 * arms)
    # The more arms and the tighter, the closer they lie to each other.
    crowding = seen * (g.arms / 6 + (g.pitch < 14) * 0.2)
    counts = [-0.28 * seen * abs(min(g.arms, 5) - n) for n in range(1, 6)]
    winding = [seen * score for score in _nearest(g.pitch, (11, 22, 35), 18)]
    bulge, boxy = g.disk * g.bulge + (1 - g.disk) * 0.9, g.boxy * g.edge_on
    featured = 0.17 + 0.2 * g.disk + 0.8 * features
    return {
        "smooth_or_featured": [0.46, featured, 1.6 * g.star - 0.2],
        "edge_on": [g.edge_on, 0.5],
        "bar": [1.3 * bar, 0.45],
        "spiral_arms": [1.5 * arms, 0.4],
        "bulge": _nearest(bulge, (0.0, 0.22, 0.5, 0.9), 0.42),
        "odd": [0.98 * g.odd_strength, 0.48],
        "roundness": _nearest(g.axis_ratio, (0.95, 0.62, 0.25), 0.45),
        "odd_feature": _odd_scores(g),
        "edge_on_bulge": [bulge * (1 - boxy), bulge * boxy, 0.22],
        "winding": winding,
        "arm_count": [*counts, 0.08 + 0.3 * crowding - 0.7 * arms],
    }


def _odd_scores(galaxy: Galaxy) -> list[float]:
    usual = {"merger": 0.15, "other": 0.2, "disturbed": 0.1}
    return [0.9 * galaxy.odd(name) + usual.get(name, 0.0) for name in _ODDITIES]


def folder_layout(tree: Tree) -> tuple[str, str, str]:
    """Names in a written folder: of the labels, of the images, of the ids' column.

    Those of the challenge for its tree; for any other those of a survey
    (:mod:`gzjax.data.survey`).
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
