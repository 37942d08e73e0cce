"""Returns the galaxies that the page shows, with their votes on the decision tree."""

from collections.abc import Sequence

import cv2
import numpy as np

from gzjax.evaluation.report.runs import RunReport
from gzjax.trees import Tree
from gzjax.trees.morphology import morphology
from gzjax.trees.shares import asked_probs

NUM_SHOWN = 6  # of the worst galaxies, and of the best
HARDLY = 0.1  # P(asked) below which a question is not spread out
_QUALITY = 92  # of JPEG: a tenth of a PNG, and the galaxies were JPEG before


def worst_and_best(runs: Sequence[RunReport]) -> dict:
    """Returns the galaxies that each run predicts worst and best."""
    return {"runs": [(run, *_worst_and_best(run)) for run in runs]}


def activation_maps(runs: Sequence[RunReport]) -> dict:
    """Returns where the answers of each run come from."""
    return {"runs": [(run, [_explained(run, x) for x in run.maps]) for run in runs]}


def galaxy_errors(predictions: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Returns the RMSE over the answers of each galaxy: ``[n a], [n a] → [n]``."""
    return np.sqrt(np.mean((predictions - targets) ** 2, axis=1))


def extremes(errors: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the positions of the largest errors, largest first, and of the smallest.

    Of equal ``errors`` ``[n]``, n ≥ 1, the first counts as the smaller. If a galaxy
    would be both, fewer than ``count`` are returned, but at least one.
    """
    count = max(1, min(count, len(errors) // 2))
    order = np.argsort(errors, kind="stable")
    return order[::-1][:count], order[:count]


def telling_galaxies(targets: np.ndarray, tree: Tree, answers: list[str]) -> list[int]:
    """Returns for each answer the galaxy with the largest fraction, without repeats.

    ``targets`` are ``[n a]``, n ≥ 1; ``answers`` are each ``"question.answer"``.
    """
    columns = [tree.answer_names.index(answer) for answer in answers]
    return list(dict.fromkeys(targets[:, columns].argmax(axis=0).tolist()))


def votes_on_tree(observed: np.ndarray, predicted: np.ndarray, tree: Tree) -> list:
    """Returns the decision tree as nested lists, with two fractions at every answer.

    A question ``{"name", "answers"}`` stands below the answer that leads to it (the
    first of several). It has no answers if P(asked) is below ``HARDLY``, observed and
    predicted. An answer is ``{"name", "observed", "predicted", "questions"}``.
    """
    votes = np.stack([observed, predicted])
    asked = asked_probs(votes, tree).max(axis=0) >= HARDLY
    below = [parents[0] if parents else None for parents in tree.parents]

    def questions_below(answer):
        return [question(i) for i, parent in enumerate(below) if parent == answer]

    def question(i):
        named, columns = tree.questions[i], tree.slices[i]
        answers = enumerate(named.answers, columns.start) if asked[i] else ()
        return {
            "name": _words(named.name),
            "answers": [
                {
                    "name": _words(name),
                    "observed": observed[column],
                    "predicted": predicted[column],
                    "questions": questions_below(column),
                }
                for column, name in answers
            ],
        }

    return questions_below(None)


def encode(pixels: np.ndarray) -> bytes:
    """Returns uint8 RGB ``[h w 3]`` as a JPEG without colour subsampling."""
    sampling = cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444
    options = [cv2.IMWRITE_JPEG_QUALITY, _QUALITY, *sampling]
    return cv2.imencode(".jpg", pixels[..., ::-1], options)[1].tobytes()


def _worst_and_best(run):
    errors = galaxy_errors(run.predictions.votes, run.targets.votes)
    both = extremes(errors, NUM_SHOWN)
    return [[_card(run, row, errors[row]) for row in rows] for rows in both]


def _card(run, row, error):
    galaxy = int(run.targets.ids[row])
    votes = run.targets.votes[row], run.predictions.votes[row]
    observed, predicted = morphology(np.stack(votes), run.tree)
    crop = run.crops.get(galaxy)
    return {
        "name": run.call(galaxy),
        "error": error,
        "observed": observed,
        "predicted": predicted,
        "crop": None if crop is None else encode(crop),
        "tree": votes_on_tree(*votes, run.tree),
    }


def _explained(run, galaxy):
    votes = run.targets.votes[np.searchsorted(run.targets.ids, galaxy)]
    observed = dict(zip(run.tree.answer_names, votes, strict=True))
    maps = [_map(found, observed) for found in run.maps[galaxy]]
    return {"name": run.call(galaxy), "crop": encode(run.crops[galaxy]), "maps": maps}


def _map(found, observed):
    return {
        "answer": _words(found.answer.replace(".", ": ", 1)),
        "observed": observed[found.answer],
        "score": found.score,
        "cold": found.cold,
        "picture": encode(found.picture),
    }


def _words(name):
    return name.replace("_", " ")
