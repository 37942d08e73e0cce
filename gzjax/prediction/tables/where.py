"""Cuts on a table, as Python writes conditions: ``bar_yes_fraction > 0.6 and ...``.

A cut is read, and checked whole, before there is a table; it is then applied to chunk
after chunk. Nothing is ever evaluated by Python itself: a condition is made of columns,
numbers, quoted text, ``+ - * /``, comparisons (chained ones too), ``in``, ``and``,
``or``, ``not`` and parentheses, and of nothing else.

A comparison with NaN is false, and so is its opposite: ``not x > 1`` is ``x <= 1``.
A row without a number is therefore never kept for the sake of that number.
"""

import ast
import difflib
import functools
import operator
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, NoReturn

import numpy as np

from gzjax.errors import UserError, first_few
from gzjax.prediction.tables.formats import NUMBER, TEXT, Column

Chunk = Mapping[str, np.ndarray]

_ALLOWED = (
    "columns, numbers, 'text', + - * /, comparisons, in, and, or, not and parentheses"
)
_SPELLING = "equality is ==; and, or, not are in small letters; text is in quotes"
_WORDS = {TEXT: "text", NUMBER: "a number"}
_ARITHMETIC = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.true_divide,
}
_SIGNS = {ast.UAdd: np.positive, ast.USub: np.negative}
_OPPOSITES = {
    ast.Lt: ast.GtE,
    ast.LtE: ast.Gt,
    ast.Gt: ast.LtE,
    ast.GtE: ast.Lt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_COMPARISONS = {
    TEXT: {
        ast.Eq: np.equal,
        ast.NotEq: np.not_equal,
        ast.In: lambda part, whole: np.strings.find(whole, part) >= 0,
        ast.NotIn: lambda part, whole: np.strings.find(whole, part) < 0,
    },
    NUMBER: {
        ast.Lt: np.less,
        ast.LtE: np.less_equal,
        ast.Gt: np.greater,
        ast.GtE: np.greater_equal,
        ast.Eq: np.equal,
        ast.NotEq: lambda a, b: (a < b) | (a > b),  # false for NaN
    },
}


class _Value(NamedTuple):
    """A part of a condition that is text or a number, and how to compute it."""

    type: str
    of: Callable[[Chunk], np.ndarray]


def parse_where(text: str, columns: Sequence[Column]) -> Callable[[Chunk], np.ndarray]:
    """Reads a condition.

    Args:
        text: the condition; see the module.
        columns: those that the tables will have.

    Returns:
        A function from a chunk of such a table, by name ``[n]``, to bool ``[n]``: the
        rows for which the condition holds.

    Raises:
        UserError: shows the place at fault, and the nearest names if it is a column.
    """
    text = " ".join(text.split("\n")).strip()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd escapes in text, for example
            tree = ast.parse(text, mode="eval")
        holds = _Reader(text, columns).condition(tree.body, negated=False)
    except SyntaxError as error:
        problem = f"{error.msg} ({_SPELLING})"
        raise _refusal(text, (error.offset or 1) - 1, problem) from error
    except ValueError as error:
        raise _refusal(text, 0, f"this is no text: {error}") from error
    except (RecursionError, MemoryError) as error:
        raise UserError("--where: the condition is nested too deeply") from error

    def apply(chunk: Chunk) -> np.ndarray:
        num_rows = len(next(iter(chunk.values())))
        with np.errstate(all="ignore"):  # 0 / 0 is a NaN like any other
            return np.broadcast_to(holds(chunk), num_rows).copy()

    return apply


class _Reader:
    """Checks the nodes of one condition, and makes functions of them."""

    def __init__(self, text: str, columns: Sequence[Column]):
        self._text = text
        self._types = {column.name: column.type for column in columns}

    def condition(self, node: ast.expr, negated: bool) -> Callable[[Chunk], np.ndarray]:
        """Of a node that is true or false; ``negated``: of its opposite."""
        match node:
            case ast.UnaryOp(op=ast.Not(), operand=inner):
                return self.condition(inner, not negated)
            case ast.BoolOp(op=op, values=values):
                parts = [self.condition(value, negated) for value in values]
                return _joined(parts, isinstance(op, ast.And) != negated)
            case ast.Compare(left=left, ops=ops, comparators=rest):
                nodes = [left, *rest]
                values = [self._value(node) for node in nodes]
                parts = [
                    self._comparison(a, op, b, place, negated)
                    for a, op, b, place in zip(
                        values, ops, values[1:], rest, strict=False
                    )
                ]
                return _joined(parts, not negated)
        self._refuse(node, f"a comparison is wanted here; there are {_ALLOWED}")

    def _comparison(self, left: _Value, op, right: _Value, node, negated: bool):
        if left.type != right.type:
            self._refuse(
                node,
                f"{_WORDS[left.type]} is compared with {_WORDS[right.type]}; text is "
                "written in quotes, numbers are not",
            )
        kind = _OPPOSITES.get(type(op)) if negated else type(op)
        compare = _COMPARISONS[left.type].get(kind)
        if compare is None:
            known = (
                "==, !=, in, not in" if left.type == TEXT else "<, <=, >, >=, ==, !="
            )
            self._refuse(node, f"{_WORDS[left.type]} can be compared by {known} only")
        return lambda chunk: compare(left.of(chunk), right.of(chunk))

    def _value(self, node: ast.expr) -> _Value:
        match node:
            case ast.Name(id=name):
                return self._column(node, name)
            case ast.Constant(value=str() as text):
                return _Value(TEXT, lambda chunk: np.str_(text))
            case ast.Constant(value=int() | float() as number) if not isinstance(
                number, bool
            ):
                return self._number(node, number)
            case ast.UnaryOp(op=op, operand=inner) if type(op) in _SIGNS:
                return self._computed(_SIGNS[type(op)], inner)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
                return self._computed(_ARITHMETIC[type(op)], left, right)
        self._refuse(node, f"this cannot be compared; there are {_ALLOWED}")

    def _column(self, node: ast.Name, name: str) -> _Value:
        if name not in self._types:
            near = difflib.get_close_matches(name, self._types, n=3, cutoff=0.5)
            hint = (
                f"near: {', '.join(near)}"
                if near
                else f"they are {first_few([*self._types])}"
            )
            self._refuse(node, f"there is no column '{name}' ({hint})")
        return _Value(self._types[name], operator.itemgetter(name))

    def _number(self, node: ast.Constant, number: int | float) -> _Value:
        try:
            value = np.float64(number)
        except OverflowError:
            self._refuse(node, "this number is too large")
        return _Value(NUMBER, lambda chunk: value)

    def _computed(self, compute: np.ufunc, *nodes: ast.expr) -> _Value:
        values = [self._value(node) for node in nodes]
        for node, value in zip(nodes, values, strict=True):
            if value.type != NUMBER:
                self._refuse(node, "text cannot be calculated with")
        return _Value(NUMBER, lambda chunk: compute(*[x.of(chunk) for x in values]))

    def _refuse(self, node: ast.expr, problem: str) -> NoReturn:
        # ast counts bytes
        place = len(self._text.encode()[: node.col_offset].decode())
        raise _refusal(self._text, place, problem)


def _joined(parts: list, all_of_them: bool) -> Callable[[Chunk], np.ndarray]:
    join = np.logical_and if all_of_them else np.logical_or
    return lambda chunk: functools.reduce(join, [part(chunk) for part in parts])


def _refusal(text: str, place: int, problem: str) -> UserError:
    return UserError(f"--where: {problem}\n  {text}\n  {' ' * place}^")
