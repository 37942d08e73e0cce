"""Reads the label table of a survey: columns by name, in any order, among others."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gzjax.data.images.path_list import NAME_COLUMNS, PATH_COLUMNS
from gzjax.data.labels.table import Fields, check_votes, read_label_table
from gzjax.errors import Problems, first_few, nearest
from gzjax.trees import Tree

# Of the sums of a question's answers: tables are rounded, some to two decimals.
SURVEY_TOLERANCE = 0.02
KEY_COLUMNS = tuple(dict.fromkeys(("name", *NAME_COLUMNS, "filename", *PATH_COLUMNS)))


class SurveyLabels(NamedTuple):
    """The rows of a survey's table.

    Attributes:
        names: n, as they stand there.
        votes: float64 [n a]; a is the tree's, unless a problem is noted.
        name_column: where the names are, or "" if no column has them.
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
    column = ""

    def choose_fields(header):
        nonlocal column
        header = [column.strip() for column in header]
        fields = _choose_fields(header, tree, name_column, problems)
        column = header[fields.key] if fields else ""
        return fields

    bad_name = "rows without a name that can be printed"
    table = read_label_table(path, choose_fields, _parse_name, bad_name, problems)
    if table.fields and table.fields.fit:
        names = np.array(table.keys, object)
        order = np.argsort(names, kind="stable")
        votes = table.values[order]
        check_votes(names[order], votes, tree, problems, "name", SURVEY_TOLERANCE)
    return SurveyLabels(table.keys, table.values, column)


def _parse_name(text: str) -> str | None:
    name = text.strip()
    return name if name and name.isprintable() else None


def _choose_fields(
    header: list[str], tree: Tree, name_column: str, problems: Problems
) -> Fields | None:
    """Finds the name and the tree's columns, and notes those that are missing."""
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
        [f"'{name}'{_hint(name, header)}" for name in missing],
    )
    repeated = [name for name in tree.columns if header.count(name) > 1]
    problems.add("labels: columns twice in the header", "column", repeated)
    key = _key_column(header, tree, name_column)
    if key is None:
        wanted = f"any of {', '.join(KEY_COLUMNS)}"
        if name_column:
            wanted = f"'{name_column}'{_hint(name_column, header)}"
        problems.add_failure(
            f"labels: no column of names: looked for {wanted}; the header has "
            f"{first_few(header, 10)}; say which with config.data.name_column"
        )
        return None
    fields = [header.index(c) for c in tree.columns if c in header]
    return Fields(key, fields, fit=not missing)


def _key_column(header: Sequence[str], tree: Tree, name_column: str) -> int | None:
    if name_column:
        return header.index(name_column) if name_column in header else None
    lower = [None if c in tree.columns else c.lower() for c in header]
    return next((lower.index(c) for c in KEY_COLUMNS if c in lower), None)


def _hint(name: str, header: list[str]) -> str:
    near = nearest(name, header)
    return f" ({near})" if near.startswith("nearest") else ""
