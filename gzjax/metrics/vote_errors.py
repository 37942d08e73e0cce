"""Errors of vote fractions, over all answers, by question and by answer."""

import numpy as np

from gzjax.trees import Tree


def rmse(predictions: np.ndarray, targets: np.ndarray) -> float:
    """Returns the challenge's score: over all numbers ``[n a]`` at once."""
    return float(np.sqrt(np.mean(square_errors(predictions, targets))))


def scores(predictions: np.ndarray, targets: np.ndarray, tree: Tree) -> dict:
    """Returns the RMSE over all numbers ``[n a]``, per question and per answer.

    Returns:
        ``{"rmse": x, "questions": {name: x}, "answers": {"question.answer": x}}``.
    """
    columns = square_errors(predictions, targets).mean(axis=0)
    return {
        "rmse": float(np.sqrt(columns.mean())),
        "questions": {
            q.name: float(np.sqrt(columns[here].mean()))
            for q, here in zip(tree.questions, tree.slices, strict=True)
        },
        "answers": {
            name: float(np.sqrt(x))
            for name, x in zip(tree.answer_names, columns, strict=True)
        },
    }


def baseline(train_mean: np.ndarray, targets: np.ndarray) -> float:
    """Returns the RMSE on ``targets [n a]`` of always answering ``train_mean [a]``."""
    return rmse(np.broadcast_to(train_mean, targets.shape), targets)


def rotation_distances(turned: np.ndarray) -> np.ndarray:
    """Returns D_i of Cao & Chen's eq. 6, ``sqrt(Σ_j ‖V_ij - V_i1‖² / ((m - 1) a))``.

    Args:
        turned: ``[n 4 a]``, the predictions for the raw image turned by 0, 90, 180 and
            270°; or any number m ≥ 2 of placements of which the first is the reference.

    Returns:
        ``[n]``.
    """
    differences = np.asarray(turned[:, 1:], np.float64) - turned[:, :1]
    return np.sqrt(np.mean(differences**2, axis=(1, 2)))


def check_one_shape(predictions: np.ndarray, targets: np.ndarray) -> None:
    """Raises a ValueError unless both have the same shape."""
    if np.shape(predictions) != np.shape(targets):
        raise ValueError(
            f"predictions {np.shape(predictions)} and targets {np.shape(targets)} must "
            "be of one shape"
        )


def square_errors(predictions: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Returns the square errors, float64 ``[n a]`` for n ≥ 1."""
    check_one_shape(predictions, targets)
    if not len(targets):
        raise ValueError("there are no predictions: targets are empty")
    return (np.asarray(predictions, np.float64) - np.asarray(targets, np.float64)) ** 2


def dead_questions(votes: np.ndarray, tree: Tree) -> list[str]:
    """Lists questions answered with nothing but zeros for all of ``votes [n a]``.

    Outputs that are negative for all galaxies have no gradient under a divisive head,
    and stay so.
    """
    return [
        question.name
        for question, here in zip(tree.questions, tree.slices, strict=True)
        if not votes[:, here].any()
    ]
