"""Which galaxies train, validate and test: decided by id, never by row order."""

import math
from fractions import Fraction
from typing import Any

import numpy as np

from gzjax.data.draws import hash64
from gzjax.errors import UserError
from gzjax.trees import Tree


def split_by_id(
    ids: np.ndarray, targets: np.ndarray, tree: Tree, config: Any
) -> dict[str, np.ndarray]:
    """Splits a source's galaxies into train, valid and test.

    Args:
        ids: int64 [n], unique.
        targets: float32 [n a], absolute vote fractions; read by ``stratified`` only.
        tree: the questions behind the columns of ``targets``.
        config: has ``kind`` and the keys that kind reads. ``last_fraction`` (that of
            the 2014 winner): by ascending id the last fraction ``valid``, rounded down,
            validates, the fraction ``test`` before it tests, the rest trains.
            ``counts``: by ascending id ``train``, then ``valid``, then ``test``
            galaxies; ``train`` 0 is all the rest. ``stratified``: the fractions
            ``valid`` and ``test``, to the nearest galaxy, of each class, in an order
            hashed from ``seed`` and id; a galaxy's class is the likeliest answer of
            ``question``. ``all``: everything trains.

    Returns:
        ``train``, ``valid`` and ``test``: int64 positions into ``ids``, ascending,
        disjoint, and together everything except with ``counts``.

    Raises:
        UserError: the config is invalid, or nothing is left to train on.
    """
    makers = {
        "last_fraction": lambda: _last_fraction(ids, config),
        "counts": lambda: _counts(ids, config),
        "stratified": lambda: _stratified(ids, targets, tree, config),
        "all": lambda: (np.arange(len(ids)), np.arange(0), np.arange(0)),
    }
    if config.kind not in makers:
        kinds = ", ".join(makers)
        raise UserError(f"split.kind is '{config.kind}'; it must be one of {kinds}")
    parts = dict(zip(("train", "valid", "test"), makers[config.kind](), strict=True))
    if not len(parts["train"]):
        raise UserError(
            f"split.kind '{config.kind}' leaves none of {len(ids):,} galaxies to train "
            "on: lower split.valid and split.test"
        )
    return {name: np.sort(part).astype(np.int64) for name, part in parts.items()}


def _last_fraction(ids: np.ndarray, config: Any) -> tuple[np.ndarray, ...]:
    valid, test = (math.floor(len(ids) * share) for share in _fractions(config))
    ends = [len(ids) - valid - test, len(ids) - valid]
    train_part, test_part, valid_part = np.split(np.argsort(ids), ends)
    return train_part, valid_part, test_part


def _counts(ids: np.ndarray, config: Any) -> tuple[np.ndarray, ...]:
    counts = {name: getattr(config, name) for name in ("train", "valid", "test")}
    for name, count in counts.items():
        if count < 0 or not float(count).is_integer():
            raise UserError(
                f"split.{name} is {count}; with split.kind 'counts' it must be a "
                "number of galaxies, 0 or more"
            )
    train, valid, test = (int(count) for count in counts.values())
    if train + valid + test > len(ids):
        raise UserError(
            f"split.train, valid and test ask for {train:,} + {valid:,} + {test:,} = "
            f"{train + valid + test:,} galaxies, and there are {len(ids):,}: "
            "give smaller config.split.train, valid and test, or "
            "config.split.kind=last_fraction with config.split.valid=0.1 and test=0"
        )
    train = train or len(ids) - valid - test
    ends = np.cumsum([train, valid, test])
    return tuple(np.split(np.argsort(ids), ends)[:3])


def _stratified(
    ids: np.ndarray, targets: np.ndarray, tree: Tree, config: Any
) -> tuple[np.ndarray, ...]:
    shares = _fractions(config)
    columns = _columns(tree, split_question(config, tree))
    classes = targets[:, columns].argmax(axis=1)
    order = np.lexsort((ids, hash64(config.seed, ids)))
    split = np.zeros(len(ids), np.int64)  # 0 trains, 1 validates, 2 tests
    for members in (order[classes[order] == c] for c in np.unique(classes)):
        valid, test = (math.floor(len(members) * x + Fraction(1, 2)) for x in shares)
        split[members[:valid]] = 1
        split[members[valid : valid + test]] = 2
    return tuple(np.flatnonzero(split == number) for number in range(3))


def split_question(config: Any, tree: Tree) -> str:
    """Returns the question whose largest answer stratifies: "" is the tree's first."""
    return config.question or tree.questions[0].name


def _columns(tree: Tree, question: str) -> slice:
    names = [q.name for q in tree.questions]
    if question not in names:
        known = ", ".join(names)
        raise UserError(f"split.question is '{question}'; it must be one of {known}")
    return tree.slices[names.index(question)]


def _fractions(config: Any) -> tuple[Fraction, Fraction]:
    """Returns ``valid`` and ``test`` as the decimals they were written as."""
    for name in ("valid", "test"):
        if not 0 <= (share := getattr(config, name)) < 1:
            raise UserError(
                f"split.{name} is {share}; with split.kind "
                f"'{config.kind}' it must be a fraction, at least 0 and below 1"
            )
    # In floating point 100 * 0.29 falls short of 29, and rounding down would lose one.
    valid, test = (Fraction(str(x)) for x in (config.valid, config.test))
    if valid + test >= 1:
        raise UserError(
            f"split.valid {config.valid} and split.test {config.test} add up to 1 or "
            "more and leave nothing to train on"
        )
    return valid, test
