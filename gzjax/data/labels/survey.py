"""Reads the label table of a survey: columns by name, in any order, among others."""

import array
import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gzjax.data.images.path_list import NAME_COLUMNS, PATH_COLUMNS
from gzjax.data.labels.challenge import label_problems
from gzjax.data.labels.table import Fields, read_label_table
from gzjax.errors import Problems, first_few
from gzjax.trees import Tree

# Of the sums of a question's answers: tables are rounded, some to two decimals.
SURVEY_TOLERANCE = 0.02
KEY_COLUMNS = tuple(dict.fromkeys(("name", *NAME_COLUMNS, "filename", *PATH_COLUMNS)))


class SurveyLabels(NamedTuple):
    """What a table holds.

    Attributes:
        names: n, as they stand there.
        votes: float64 [n a]; a is the tree's, unless a problem is noted.
        name_column: where the names are; "": there is no such column.
    """

    names: list[str]
    votes: np.ndarray
    name_column: str


def read_survey_labels(
    path: Path, tree: Tree, name_column: str, problems: Problems
) -> SurveyLabels:
    """Reads names and votes, and notes in ``problems`` all that is wrong.

    Once a problem is noted they serve only to find more.

    Args:
        path: see :func:`gzjax.data.labels.table.read_label_table`.
        tree: its columns are found by their names; others are ignored.
        name_column: "": the first of ``KEY_COLUMNS`` that the header has, whatever
            its case.
        problems: gets a line per kind.
    """
    names: list[str] = []
    values, fields, column = array.array("d"), None, ""

    def choose_fields(header):
        nonlocal fields, column
        fields = _choose_fields(header, tree, name_column, problems)
        column = header[fields.key].strip() if fields else ""
        return fields

    def parse_name(text):
        name = text.strip()
        return name if name and name.isprintable() else None

    read_label_table(
        path,
        choose_fields,
        parse_name,
        "rows without a name that can be printed",
        names,
        values,
        problems,
    )
    num_values = len(fields.values) if fields else 0
    targets = np.array(values, np.float64).reshape(len(names), num_values)
    if num_values == tree.num_answers:
        order = sorted(range(len(names)), key=names.__getitem__)
        in_order = np.array([names[i] for i in order], object)
        label_problems(
            in_order, targets[order], tree, problems, "name", SURVEY_TOLERANCE
        )
    return SurveyLabels(names, targets, column)


def _choose_fields(
    header: list[str], tree: Tree, name_column: str, problems: Problems
) -> Fields | None:
    """Where the name and the tree's columns are; notes those that are not there."""
    header = [column.strip() for column in header]
    if not header:
        problems.add_failure("labels: the file is empty")
        return None
    if len(header) == 1 and ";" in header[0]:
        problems.add_failure("labels: columns are separated by ';': make it ','")
        return None
    missing = [name for name in tree.columns if name not in header]
    problems.add(
        "labels: columns missing from the header",
        "column",
        [f"'{name}'{_nearest(name, header)}" for name in missing],
    )
    repeated = [name for name in tree.columns if header.count(name) > 1]
    problems.add("labels: columns twice in the header", "column", repeated)
    key = _key_column(header, tree, name_column)
    if key is None:
        wanted = f"any of {first_few(KEY_COLUMNS, len(KEY_COLUMNS))}"
        if name_column:
            wanted = f"'{name_column}'{_nearest(name_column, header)}"
        problems.add_failure(
            f"labels: no column of names: looked for {wanted}; the header has "
            f"{first_few(header, 10)}; say which with config.data.name_column"
        )
        return None
    return Fields(key, [header.index(c) for c in tree.columns if c in header])


def _key_column(header: Sequence[str], tree: Tree, name_column: str) -> int | None:
    if name_column:
        return header.index(name_column) if name_column in header else None
    lower = [None if c in tree.columns else c.lower() for c in header]
    return next((lower.index(c) for c in KEY_COLUMNS if c in lower), None)


def _nearest(name: str, header: list[str]) -> str:
    near = difflib.get_close_matches(name, header, 1)
    return f" (nearest: '{near[0]}')" if near else ""
