"""A decision tree of questions as data: who is asked what, and which column is which.

Everything else (the head, the label checks, the scores per question) is derived from a
:class:`Tree`; no other module knows how many questions or answers there are.
"""

import dataclasses
import functools
import itertools
from collections.abc import Collection

from gzjax.errors import nearest

# A file of a few lines can describe a tree that takes ages to check.
_MAX_ANSWERS, _MAX_WAYS = 1000, 100


@dataclasses.dataclass(frozen=True)
class Question:
    """One question put to the volunteers.

    Attributes:
        name: unique within the tree, without a dot, for example ``"bar"``.
        answers: two or more names, unique within the question, in column order.
        asked_after: the answers, as ``"question.answer"``, any one of which leads here;
            empty for a question that everybody is asked.
    """

    name: str
    answers: tuple[str, ...]
    asked_after: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Tree:
    """Questions in an order in which parents come before children.

    Attributes:
        name: for messages and files.
        questions: at least one.
        columns: the label columns of the catalogue, one per answer, in the same order;
            empty: the answer names themselves (``"question.answer"``).

    Raises:
        ValueError: the tree is not one; the message names the offending question,
            answer or column.
    """

    name: str
    questions: tuple[Question, ...]
    columns: tuple[str, ...] = ()

    def __post_init__(self):
        if not self.columns:
            object.__setattr__(self, "columns", self.answer_names)
        self._check()

    @functools.cached_property
    def answer_names(self) -> tuple[str, ...]:
        """Returns ``"question.answer"`` for every column."""
        return tuple(
            f"{q.name}.{answer}" for q in self.questions for answer in q.answers
        )

    @property
    def num_answers(self) -> int:
        """Returns the number of columns: 37 for Galaxy Zoo 2."""
        return len(self.answer_names)

    @functools.cached_property
    def slices(self) -> tuple[slice, ...]:
        """Returns the columns of each question."""
        ends = list(itertools.accumulate(len(q.answers) for q in self.questions))
        return tuple(slice(a, b) for a, b in zip([0, *ends], ends, strict=False))

    @functools.cached_property
    def parents(self) -> tuple[tuple[int, ...], ...]:
        """Returns each question's columns of ``asked_after``; ``()``: always asked."""
        index = {name: i for i, name in enumerate(self.answer_names)}
        return tuple(tuple(index[p] for p in q.asked_after) for q in self.questions)

    def to_dict(self) -> dict:
        """Returns a JSON-ready copy; :meth:`from_dict` reads it back."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, fields: dict) -> "Tree":
        """Rebuilds what :meth:`to_dict` wrote, and checks it again."""
        questions = tuple(
            Question(q["name"], tuple(q["answers"]), tuple(q["asked_after"]))
            for q in fields["questions"]
        )
        return cls(fields["name"], questions, tuple(fields["columns"]))

    def _check(self):
        if not self.questions:
            raise self._error("there is no question")
        if self.num_answers > _MAX_ANSWERS:
            raise self._error(
                f"{self.num_answers:,} answers are more than {_MAX_ANSWERS:,}"
            )
        ways: dict[str, int] = {}  # to the answers of the questions before this one
        for i, q in enumerate(self.questions):
            if "." in q.name:  # which parts a question from its answer
                raise self._error(f"question '{q.name}' has a dot in its name")
            if q.name in [before.name for before in self.questions[:i]]:
                raise self._error(f"question '{q.name}' is there twice")
            if len(q.answers) < 2 or len(set(q.answers)) < len(q.answers):
                raise self._error(
                    f"question '{q.name}' needs two or more different answers, not "
                    f"{q.answers}"
                )
            self._check_parents(q, ways)
            here = sum(ways[parent] for parent in q.asked_after) or 1
            if here > _MAX_WAYS:  # which are compared pair by pair
                raise self._error(
                    f"{here:,} ways lead to question '{q.name}', more than {_MAX_WAYS}"
                )
            self._check_exclusive(q)
            ways |= {f"{q.name}.{answer}": here for answer in q.answers}
        self._check_columns()

    def _error(self, text: str) -> ValueError:
        return ValueError(f"tree '{self.name}': {text}")

    def _check_parents(self, q: Question, known: Collection[str]):
        for parent in q.asked_after:
            if parent not in known:
                names = self.answer_names
                unknown = f"unknown; {nearest(parent, names)}"
                why = "asked later" if parent in names else unknown
                raise self._error(
                    f"question '{q.name}' is asked after '{parent}', which is {why}"
                )

    def _check_columns(self):
        if len(self.columns) != self.num_answers:
            raise self._error(
                f"{self.num_answers} answers need as many columns, not "
                f"{len(self.columns)}"
            )
        answer_of: dict[str, str] = {}
        for column, answer in zip(self.columns, self.answer_names, strict=True):
            if (first := answer_of.setdefault(column, answer)) != answer:
                both = f"'{first}' and '{answer}'"
                raise self._error(f"{both} have one column, '{column}'")

    def _paths(self, answer: str) -> list[dict[str, str]]:
        """Lists the ways to ``answer``, each as question → answer given on the way."""
        name = answer.split(".", 1)[0]
        question = next(q for q in self.questions if q.name == name)
        before = [path for p in question.asked_after for path in self._paths(p)] or [{}]
        return [{**path, name: answer} for path in before]

    def _check_exclusive(self, q: Question):
        # P(asked) is the *sum* of the parents' probabilities, so one volunteer must
        # never be able to give two of them.
        for a, b in itertools.combinations(q.asked_after, 2):
            for x, y in itertools.product(self._paths(a), self._paths(b)):
                if all(x[name] == y[name] for name in x.keys() & y.keys()):
                    raise self._error(
                        f"question '{q.name}' is asked after both '{a}' and '{b}', "
                        "which one volunteer can give together"
                    )
