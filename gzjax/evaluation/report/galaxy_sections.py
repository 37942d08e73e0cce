"""The parts of a page that show galaxies: the worst, the best, and activation maps."""

from collections.abc import Sequence

import cv2
import numpy as np

from gzjax.evaluation.report.galaxies import draw_tree, galaxy_errors, worst_and_best
from gzjax.evaluation.report.html import Html, element, figure, image, section
from gzjax.evaluation.report.run_report import RunReport
from gzjax.trees.morphology import morphology

NUM_SHOWN = 6  # of the worst galaxies, and of the best
_QUALITY = 92  # of JPEG: a tenth of a PNG, and the galaxies were JPEG before


def galaxies(runs: Sequence[RunReport]) -> Html:
    """The galaxies that each run predicts worst and best, on the decision tree."""
    parts = []
    for run in runs:
        errors = galaxy_errors(run.predictions.votes, run.targets.votes)
        parts.append(element("h3", run.name))
        parts += [element("p", note, class_="note") for note in run.notes]
        kinds = zip(("Worst", "Best"), worst_and_best(errors, NUM_SHOWN), strict=True)
        for kind, rows in kinds:
            cards = [_card(run, row, errors[row]) for row in rows]
            parts.append(element("h4", kind))
            parts.append(element("div", *cards, class_="cards"))
    return section(
        "galaxies",
        "Worst and best galaxies",
        element(
            "p",
            "By RMSE over a galaxy's answers. The image is what the network sees. "
            "Bars: ",
            *_key("observed"),
            ", ",
            *_key("predicted"),
            " vote fraction, from 0 to 1; numbers in the same order. A question stands "
            "below the answer that leads to it.",
        ),
        *parts,
    )


def activation_maps(runs: Sequence[RunReport]) -> Html:
    """Where answers come from, run by run."""
    parts = []
    for run in runs:
        parts.append(element("h3", run.name))
        if not run.maps:
            why = run.notes or ("There are none for this run.",)
            parts += [element("p", note, class_="note") for note in why]
            continue
        parts.append(element("p", f"Layer: {run.cam_layer}"))
        for galaxy, maps in run.maps.items():
            crop = image(encode(run.crops[galaxy]), run.call(galaxy))
            pictures = [
                figure(crop, "image"),
                *(_map(run, galaxy, each) for each in maps),
            ]
            parts.append(element("h4", run.call(galaxy)))
            parts.append(element("div", *pictures, class_="maps"))
    return section(
        "maps",
        "Activation maps",
        element(
            "p",
            "Ablation-CAM: bright where the layer's channels that speak for an answer "
            "are active; a channel speaks for an answer if the answer's vote fraction "
            "falls without it. Each map is scaled to its own maximum. Numbers are "
            "the vote fractions, observed / predicted from this one view. The galaxies "
            "are those with the largest observed fraction of one of these answers.",
        ),
        *parts,
    )


def encode(pixels: np.ndarray) -> bytes:
    """uint8 RGB ``[h w 3]`` as a JPEG without colour subsampling."""
    options = [
        cv2.IMWRITE_JPEG_QUALITY, _QUALITY,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    ]  # fmt: skip
    return cv2.imencode(".jpg", pixels[..., ::-1], options)[1].tobytes()


def _card(run, row, error):
    galaxy = int(run.targets.ids[row])
    votes = np.stack([run.targets.votes[row], run.predictions.votes[row]])
    observed, predicted = morphology(votes, run.tree)
    crop = run.crops.get(galaxy)
    words = (
        element("p", "Observed: ", observed or "–"),
        element("p", "Predicted: ", predicted or "–"),
    )
    picture = (
        ""
        if crop is None
        else image(encode(crop), f"{run.call(galaxy)}: {observed}", class_="crop")
    )
    return element(
        "article",
        element("h5", f"{run.call(galaxy)}, RMSE {error:.4f}"),
        element("div", picture, element("div", *words), class_="head"),
        draw_tree(votes[0], votes[1], run.tree),
        class_="card",
    )


def _map(run, galaxy, found):
    question, answer = found.answer.replace("_", " ").split(".", 1)
    row = np.searchsorted(run.targets.ids, galaxy)
    column = run.tree.answer_names.index(found.answer)
    fractions = f"{run.targets.votes[row, column]:.2f} / {found.score:.2f}"
    cold = "; no place speaks for it" if found.cold else ""
    alt = f"{run.call(galaxy)}: what speaks for {question}: {answer}"
    return figure(
        image(encode(found.picture), alt), f"{question}: {answer}, {fractions}{cold}"
    )


def _key(kind):
    return element("span", class_=f"key {kind}", aria_hidden="true"), f" {kind}"
