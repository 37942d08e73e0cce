"""The tables of ``predict``: a row per galaxy, in columns with names for people."""

from collections.abc import Sequence

import numpy as np

from gzjax.data.familiar.classifier import THRESHOLD
from gzjax.data.familiar.wrong_kinds import KINDS
from gzjax.data.images.read_image import OK
from gzjax.errors import first_few
from gzjax.metrics.intervals import COVERAGE, Intervals, apply_intervals
from gzjax.prediction.table_files import Column
from gzjax.trees import Tree
from gzjax.trees.morphology import RULE, morphology
from gzjax.trees.shares import answer_probs, asked_probs
from gzjax.trees.tree_file import column_names, safe_name

_NAME = Column("name", str, "GalaxyID or file name")
_JUDGED = (
    Column("unlike", float, "how unlike the training galaxies the image is, in [0, 1]"),
    Column("familiar", bool, f"whether unlike is at most {THRESHOLD}"),
    Column("resembles", str, "what an image that is not familiar resembles, or empty"),
)


def table_columns(
    tree: Tree, with_spread: bool, judged: bool = False, with_intervals: bool = False
) -> tuple[Column, ...]:
    """Returns the columns of :func:`science_table`, in its order.

    ``name``, ``flag``, ``morphology``, and then question by question
    ``{question}_asked``, P(asked); and answer by answer ``{question}_{answer}``,
    P(answer), of all volunteers, which is what the challenge scores;
    ``{question}_{answer}_fraction``, P(answer | asked), of those who are asked, which
    is what catalogues and Zoobot call the fraction; and with a spread
    ``{question}_{answer}_spread``, with intervals ``{question}_{answer}_low`` and
    ``_high``. If images are judged, ``unlike``, ``familiar`` and ``resembles`` come
    after ``morphology``. In names, what is no letter, digit or underscore
    becomes an underscore.

    Raises:
        ValueError: two columns of this tree would have the same name.
    """
    column_names(tree)
    columns = [
        _NAME,
        Column("flag", str, f"'{OK}', or why there is no prediction"),
        Column("morphology", str, RULE),
        *(_JUDGED if judged else ()),
    ]
    labels = dict(zip(tree.answer_names, tree.columns, strict=True))
    for question in tree.questions:
        asked = f"{safe_name(question.name)}_asked"
        parents = " or ".join(question.asked_after)
        why = f"P({parents})" if parents else "always 1"
        what = f"share of volunteers who are asked '{question.name}': {why}"
        columns.append(Column(asked, float, what))
        for answer in question.answers:
            label = labels[f"{question.name}.{answer}"]
            columns += _answer_columns(
                question.name, answer, label, with_spread, with_intervals
            )
    return tuple(columns)


def _answer_columns(
    question: str, answer: str, label: str, with_spread: bool, with_intervals: bool
) -> list[Column]:
    name = f"{safe_name(question)}_{safe_name(answer)}"
    label = "" if label == f"{question}.{answer}" else f" ({label})"
    of_all = f"share of all volunteers who answer '{question}' '{answer}'{label}"
    of_asked = f"share of those asked '{question}' who say '{answer}'"
    spread = f"standard deviation of the predictions averaged in {name}"
    columns = [
        Column(name, float, f"P(answer): {of_all}"),
        Column(f"{name}_fraction", float, f"P(answer | asked): {of_asked}"),
    ]
    if with_spread:
        columns.append(Column(f"{name}_spread", float, spread))
    if with_intervals:
        what = f"end of the {COVERAGE:.0%} interval of the true share in {name}"
        columns.append(Column(f"{name}_low", float, f"lower {what}"))
        columns.append(Column(f"{name}_high", float, f"upper {what}"))
    return columns


def science_table(
    names: Sequence[str],
    votes: np.ndarray,
    spread: np.ndarray | None,
    flags: Sequence[str],
    tree: Tree,
    judged: np.ndarray | None = None,
    intervals: Intervals | None = None,
) -> dict[str, np.ndarray]:
    """Makes a chunk of the table, with the columns of :func:`table_columns`.

    Args:
        votes: ``[n a]``, P(answer) in [0, 1], in the order of ``tree.columns``.
        spread: ``[n a]``, standard deviations of ``votes`` over the placements of an
            averaging set or the members of an ensemble; None leaves its columns out.
        flags: a row whose flag is not ``OK`` has no prediction: its ``votes`` and
            ``spread`` are ignored, its numbers are NaN and its morphology is empty.
        judged: ``[n 2]``, see :class:`gzjax.data.familiar.classifier.Familiarity`;
            None leaves its columns out, as for ``intervals``.

    Raises:
        ValueError: shapes disagree, or a row that is ``OK`` has a number that is not
            finite.
    """
    shape = (len(names), tree.num_answers)
    numbers = [votes] if spread is None else [votes, spread]
    if len(flags) != len(names) or any(x.shape != shape for x in numbers):
        shapes = [x.shape for x in numbers]
        raise ValueError(f"{len(flags)} flags, votes {shapes}: names are of {shape}")
    flags = np.array(flags, str)
    fine = flags == OK
    votes, *spreads = (_blanked(x, fine, names) for x in numbers)
    words = np.full(len(names), "", object)
    words[fine] = morphology(votes[fine], tree)
    asked = np.where(fine[:, None], asked_probs(votes, tree), np.nan)
    arrays = [np.array(names, str), flags, words.astype(str)]
    if judged is not None:
        unlike = np.where(fine, np.float64(judged[:, 0]), np.nan)
        words = np.array(KINDS)[np.where(fine, judged[:, 1], 0).astype(int)]
        arrays += [unlike, unlike <= THRESHOLD, words]
    of_answers = [votes, answer_probs(votes, tree), *spreads]
    if intervals:
        of_answers += apply_intervals(intervals, votes)
    for of_question, here in zip(asked.T, tree.slices, strict=True):
        arrays.append(of_question)
        arrays += [x[:, i] for i in range(here.start, here.stop) for x in of_answers]
    columns = table_columns(
        tree, spread is not None, judged is not None, intervals is not None
    )
    return {c.name: x for c, x in zip(columns, arrays, strict=True)}


def embedding_columns(num_features: int) -> tuple[Column, ...]:
    """Returns ``name``, ``flag``, and ``feature_0`` to the last, of as many digits."""
    digits = len(str(num_features - 1))
    what = "of the network's last features"
    return (
        _NAME,
        Column("flag", str, f"'{OK}', or why there are no features"),
        *(Column(f"feature_{i:0{digits}}", float, what) for i in range(num_features)),
    )


def embedding_table(
    names: Sequence[str], features: np.ndarray, flags: Sequence[str]
) -> dict[str, np.ndarray]:
    """Makes a chunk with :func:`embedding_columns`, of ``features`` ``[n f]``."""
    flags = np.array(flags, str)
    features = np.where((flags == OK)[:, None], np.float64(features), np.nan)
    arrays = [np.array(names, str), flags, *features.T]
    columns = embedding_columns(features.shape[1])
    return {c.name: x for c, x in zip(columns, arrays, strict=True)}


def _blanked(values: np.ndarray, fine: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Returns a copy with NaN in the rows that are not fine; checks the others."""
    bad = fine & ~np.isfinite(values).all(axis=1)
    if bad.any():
        where = first_few([names[i] for i in np.flatnonzero(bad)])
        raise ValueError(f"predictions that are not finite are flagged '{OK}': {where}")
    return np.where(fine[:, None], np.asarray(values, np.float64), np.nan)
