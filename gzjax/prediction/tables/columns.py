"""The science table of ``predict``: a row per galaxy, in columns with names for people.

A table is made chunk by chunk: nothing here needs more than the rows at hand.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from gzjax.errors import first_few
from gzjax.prediction.tables.formats import NUMBER, TEXT, Column
from gzjax.trees import Question, Tree
from gzjax.trees.morphology import RULE, morphology
from gzjax.trees.names import safe_name
from gzjax.trees.shares import answer_probs, asked_probs

OK = "ok"  # the flag of a row with a prediction


def table_columns(tree: Tree, with_spread: bool) -> tuple[Column, ...]:
    """The columns of :func:`science_table`, in its order.

    ``name``, ``flag``, ``morphology``, and then question by question
    ``{question}_asked``, P(asked); and answer by answer ``{question}_{answer}``,
    P(answer), of all volunteers, which is what the challenge scores;
    ``{question}_{answer}_fraction``, P(answer | asked), of those who are asked, which
    is what catalogues and Zoobot call the fraction; and with a spread
    ``{question}_{answer}_spread``. In names, what is no letter, digit or underscore
    becomes an underscore.

    Args:
        tree: of the answers.
        with_spread: there is more than one prediction per galaxy.

    Raises:
        ValueError: two columns of this tree would have the same name.
    """
    columns = [
        Column("name", TEXT, "GalaxyID or file name"),
        Column("flag", TEXT, f"'{OK}', or why there is no prediction"),
        Column("morphology", TEXT, RULE),
    ]
    names = iter(zip(tree.answer_names, tree.columns, strict=True))
    for question in tree.questions:
        columns.append(_asked_column(question))
        for answer in question.answers:
            long_name, label = next(names)
            label = "" if label == long_name else f" ({label})"
            columns += _answer_columns(question.name, answer, label, with_spread)
    counts = Counter(column.name for column in columns)
    if twice := [name for name, count in counts.items() if count > 1]:
        raise ValueError(
            f"tree '{tree.name}': several columns would be called {first_few(twice)}"
        )
    return tuple(columns)


def science_table(
    names: Sequence[str],
    votes: np.ndarray,
    spread: np.ndarray | None,
    flags: Sequence[str],
    tree: Tree,
) -> dict[str, np.ndarray]:
    """One chunk of the table.

    Args:
        names: n, of the rows; bytes of a file name that are no UTF-8 are written out.
        votes: ``[n a]``, P(answer) in [0, 1], in the order of ``tree.columns``.
        spread: ``[n a]``, standard deviations of ``votes`` over the placements of an
            averaging set or the members of an ensemble; None: no such columns.
        flags: n; ``OK``, or why a row has no prediction: its ``votes`` and ``spread``
            are then ignored, its numbers are NaN and its morphology is empty.
        tree: of the answers.

    Returns:
        By name, in the order of :func:`table_columns`: str ``[n]`` or float64 ``[n]``.

    Raises:
        ValueError: shapes disagree, or a row that is ``OK`` has a number that is not
            finite.
    """
    shape = (len(names), tree.num_answers)
    of_votes = [votes] if spread is None else [votes, spread]
    if len(flags) != len(names) or any(x.shape != shape for x in of_votes):
        raise ValueError(
            f"names, flags and votes must be of {len(names)} galaxies, and votes and "
            f"spread of shape {shape}, not {[x.shape for x in of_votes]}"
        )
    flags = np.array(flags, str)
    fine = flags == OK
    of_votes = [_blanked(x, fine, names) for x in of_votes]
    words = np.zeros(len(names), object)
    words[:] = ""
    words[fine] = morphology(of_votes[0][fine], tree)
    asked = asked_probs(of_votes[0], tree)
    asked[~fine] = np.nan
    parts = [of_votes[0], answer_probs(of_votes[0], tree), *of_votes[1:]]
    arrays = [np.array([_encodable(name) for name in names], str), flags]
    arrays.append(words.astype(str))
    for of_question, here in zip(asked.T, tree.slices, strict=True):
        arrays.append(of_question)
        arrays += [part[:, i] for i in range(here.start, here.stop) for part in parts]
    columns = table_columns(tree, spread is not None)
    return {c.name: x for c, x in zip(columns, arrays, strict=True)}


def _asked_column(question: Question) -> Column:
    parents = " or ".join(question.asked_after)
    why = f"P({parents})" if parents else "always 1"
    return Column(
        f"{safe_name(question.name)}_asked",
        NUMBER,
        f"share of volunteers who are asked '{question.name}': {why}",
    )


def _answer_columns(
    question: str, answer: str, label: str, with_spread: bool
) -> list[Column]:
    name = f"{safe_name(question)}_{safe_name(answer)}"
    of_all = f"P(answer): share of all volunteers who answer '{question}' '{answer}'"
    of_asked = f"P(answer | asked): share of those asked '{question}' who say"
    columns = [
        Column(name, NUMBER, f"{of_all}{label}"),
        Column(f"{name}_fraction", NUMBER, f"{of_asked} '{answer}'"),
    ]
    if with_spread:
        what = f"standard deviation of the predictions averaged in {name}"
        columns.append(Column(f"{name}_spread", NUMBER, what))
    return columns


def _encodable(name: str) -> str:
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def _blanked(values: np.ndarray, fine: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """A float64 copy with NaN in the rows that are not fine; checks the others."""
    bad = fine & ~np.isfinite(values).all(axis=1)
    if bad.any():
        where = first_few([names[i] for i in np.flatnonzero(bad)])
        raise ValueError(f"predictions that are not finite are flagged '{OK}': {where}")
    return np.where(fine[:, None], np.asarray(values, np.float64), np.nan)
