"""How volunteers would answer on a drawn galaxy: from what its picture shows."""

import math

import numpy as np

from gzjax.data.synthetic.galaxy import Galaxy
from gzjax.errors import UserError
from gzjax.trees.base import Tree
from gzjax.trees.gz2 import GZ2

# How fast an opinion turns with what is seen: a lead of 0.3 wins 9 votes of 10.
_SHARPNESS = 7.0
_ANSWERS = {q.name: q.answers for q in GZ2.questions}
_ANSWERS_TEXT = "; ".join(f"{q} ({', '.join(a)})" for q, a in _ANSWERS.items())


def vote_fractions(galaxy: Galaxy, tree: Tree) -> np.ndarray:
    """Returns the votes of volunteers who see the picture of ``galaxy``, float32 [a].

    A question's votes sum to the fraction of volunteers who were asked it. The galaxy's
    angle and sense make no difference.

    Raises:
        UserError: the tree asks what synthetic galaxies have no answer for.
    """
    scores = _scores(galaxy)
    votes = np.zeros(tree.num_answers)
    questions = zip(tree.questions, tree.slices, tree.parents, strict=True)
    for q, columns, parents in questions:
        if q.answers != _ANSWERS.get(q.name):
            raise UserError(
                f"synthetic galaxies have no votes for question '{q.name}' "
                f"({', '.join(q.answers)}); they have for these of tree '{GZ2.name}', "
                f"with just these answers: {_ANSWERS_TEXT}"
            )
        asked = votes[list(parents)].sum() if parents else 1.0
        score = np.array(scores[q.name])
        odds = np.exp(_SHARPNESS * (score - score.max()))
        votes[columns] = asked * (odds / odds.sum())
    return votes.astype(np.float32)


def _nearest(value: float, centres: tuple[float, ...], width: float) -> list[float]:
    """Scores of the classes of an ordered quantity: the nearer, the higher."""
    return [-(((value - centre) / width) ** 2) for centre in centres]


def _clarity(galaxy: Galaxy) -> float:
    """Returns how much of the detail is left by blur and noise, in [0, 1]."""
    sharp = math.exp(-((9 * galaxy.seeing / galaxy.radius) ** 2))
    deep = galaxy.brightness / (galaxy.brightness + 5 * galaxy.noise)
    return sharp * deep


def _scores(galaxy: Galaxy) -> dict[str, list[float]]:
    """Returns the score of each answer of each question, from what can be seen."""
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
    names = _ANSWERS["odd_feature"]
    return [0.9 * galaxy.odd(name) + usual.get(name, 0.0) for name in names]
