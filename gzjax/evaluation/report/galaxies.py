"""Which galaxies a page shows, and their votes as they lie on the decision tree."""

import numpy as np

from gzjax.evaluation.report.html import Html, element
from gzjax.trees import Tree
from gzjax.trees.shares import asked_probs

HARDLY = 0.1  # P(asked) below which a question is not spread out


def galaxy_errors(predictions: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """RMSE over the answers of each galaxy: ``[n a], [n a] → [n]``."""
    return np.sqrt(np.mean((predictions - targets) ** 2, axis=1))


def worst_and_best(errors: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the largest errors, largest first, and of the smallest.

    Args:
        errors: ``[n]``, n ≥ 1; of equal ones the first counts as the smaller.
        count: of each; fewer (but one) if a galaxy would be both.
    """
    count = max(1, min(count, len(errors) // 2))
    order = np.argsort(errors, kind="stable")
    return order[::-1][:count], order[:count]


def telling_galaxies(targets: np.ndarray, tree: Tree, answers: list[str]) -> list[int]:
    """For each answer the galaxy with the largest fraction, in turn, without repeats.

    Args:
        targets: ``[n a]``, n ≥ 1.
        tree: names the columns.
        answers: of the tree, as ``"question.answer"``.
    """
    columns = [tree.answer_names.index(answer) for answer in answers]
    return list(dict.fromkeys(targets[:, columns].argmax(axis=0).tolist()))


def draw_tree(observed: np.ndarray, predicted: np.ndarray, tree: Tree) -> Html:
    """The decision tree as nested lists: at every answer two bars, its two fractions.

    A question stands below the answer that leads to it. One with P(asked) below
    ``HARDLY``, observed and predicted, is only named.

    Args:
        observed: ``[a]``, P(answer).
        predicted: ``[a]``, P(answer).
        tree: of the answers.
    """
    votes = np.stack([observed, predicted])
    asked = asked_probs(votes, tree).max(axis=0) >= HARDLY
    # Below the first of several answers that lead there.
    below = [parents[0] if parents else None for parents in tree.parents]

    def questions_below(answer):
        return [
            question(i) for i, parent in enumerate(below) if parent == answer
        ]  # fmt: skip

    def question(i):
        name = tree.questions[i].name
        if not asked[i]:
            text = element("span", f"{_words(name)}: hardly asked", class_="faint")
            return element("li", text)
        columns = range(tree.slices[i].start, tree.slices[i].stop)
        answers = [
            element("li", _bars(tree.questions[i].answers[k], votes[:, column]),
                    _list(questions_below(column)))
            for k, column in enumerate(columns)
        ]  # fmt: skip
        title = element("span", _words(name), class_="question")
        return element("li", title, _list(answers))

    return element("ul", *questions_below(None), class_="tree")


def _list(items):
    return element("ul", *items) if items else Html("")


def _bars(answer, fractions):
    numbers = " / ".join(f"{x:.2f}" for x in fractions)
    bars = [
        element("span", class_=kind, style=f"width:{100 * min(max(x, 0), 1):.1f}%")
        for kind, x in zip(("observed", "predicted"), fractions, strict=True)
    ]
    return element(
        "span",
        element("span", _words(answer), class_="answer"),
        element("span", numbers, class_="numbers"),
        element("span", *bars, class_="bars", aria_hidden="true"),
        class_="row",
    )


def _words(name):
    return name.replace("_", " ")
