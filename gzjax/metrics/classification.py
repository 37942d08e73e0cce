"""A question as a classification: a galaxy's class is its most frequent answer."""

import numpy as np

from gzjax.errors import UserError
from gzjax.metrics.question_scores import matters
from gzjax.metrics.vote_errors import check_one_shape
from gzjax.trees import Tree


def classification(
    predictions: np.ndarray, targets: np.ndarray, tree: Tree, question: str
) -> dict:
    """Returns the confusion matrix and report of a question, where it matters.

    Args:
        predictions: ``[n a]``, P(answer).
        targets: ``[n a]``.
        question: the name of one of the tree's, else a UserError.

    Returns:
        JSON-ready: ``question``, ``classes`` (its answers), ``galaxies`` (the number
        for which it matters), ``confusion`` (:func:`confusion_matrix`), and ``report``
        (:func:`classification_report`, or None if there are no such galaxies).
    """
    names = [q.name for q in tree.questions]
    if question not in names:
        raise UserError(
            f"{tree.name} has no question '{question}'; there are: {', '.join(names)}"
        )
    check_one_shape(predictions, targets)
    i = names.index(question)
    where, here = matters(targets, tree)[:, i], tree.slices[i]
    answers = tree.questions[i].answers
    matrix = confusion_matrix(predictions[where, here], targets[where, here])
    return {
        "question": question,
        "classes": list(answers),
        "galaxies": int(matrix.sum()),
        "confusion": matrix.tolist(),
        "report": classification_report(matrix, answers) if matrix.any() else None,
    }


def confusion_matrix(predictions: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Returns int64 ``[k k]``: how many of each true class (rows) were taken for which.

    The class of a row of ``[n k]`` is the largest, the first of equal ones.
    """
    k = targets.shape[1]
    pairs = targets.argmax(axis=1) * k + predictions.argmax(axis=1)
    return np.bincount(pairs, minlength=k * k).reshape(k, k)


def classification_report(confusion: np.ndarray, names: tuple[str, ...]) -> dict:
    """Returns precision, recall and F1 per class, laid out as by scikit-learn.

    Args:
        confusion: ``[k k]``, rows are the true classes; not all 0.
        names: k, of the classes.

    Returns:
        JSON-ready: for each name, "macro avg" (the plain mean over the k classes) and
        "weighted avg" (weighted with support) ``{"precision", "recall", "f1-score",
        "support"}``, and "accuracy". A quotient with a denominator of 0 is 0.
    """
    right = np.diagonal(confusion)
    support, chosen = confusion.sum(axis=1), confusion.sum(axis=0)
    # F1 = 2 P R / (P + R) with P = right / chosen and R = right / support.
    with np.errstate(invalid="ignore"):  # 0 / 0 counts as 0
        quotients = [right / chosen, right / support, 2 * right / (chosen + support)]
    rates = np.nan_to_num(np.stack(quotients, axis=1))
    total = support.sum()
    return dict(zip(names, map(_entry, rates, support), strict=True)) | {
        "accuracy": float(right.sum() / total),
        "macro avg": _entry(rates.mean(axis=0), total),
        "weighted avg": _entry(support @ rates / total, total),
    }


def _entry(rates, support):
    names = ("precision", "recall", "f1-score")
    return dict(zip(names, rates.tolist(), strict=True)) | {"support": int(support)}
