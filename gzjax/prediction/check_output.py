"""Whether a prediction can be written as it was asked for: said before any work."""

import contextlib
from pathlib import Path

import numpy as np

from gzjax.data.averaging import averaging_set
from gzjax.errors import UserError, first_few
from gzjax.prediction.plan import Plan
from gzjax.prediction.tables.columns import table_columns
from gzjax.prediction.tables.embedding_columns import embedding_columns
from gzjax.prediction.tables.files import open_table
from gzjax.prediction.tables.where import parse_where


def spread_of(plan: Plan) -> str:
    """What a table's spreads are over: "runs", "maps", or "" without any."""
    if len(plan.workdirs) > 1:
        return "runs"
    return "maps" if len(averaging_set(plan.averaging)) > 1 else ""


def check_output(plan: Plan, output: Path) -> None:
    """Raises a UserError if the output could not be written, or not be cut so."""
    if plan.kind == "submission":
        _check_submission(plan, output)
        return
    if plan.kind == "embeddings":
        columns = embedding_columns(plan.num_features)
    else:
        columns = table_columns(plan.decision_tree(), bool(spread_of(plan)))
    _check_table(plan, columns)
    with contextlib.suppress(_NotYetError), open_table(output, columns):
        raise _NotYetError


def _check_submission(plan: Plan, output: Path) -> None:
    if output.suffix.lower() != ".csv" or plan.where:
        raise UserError(
            f"{output}: a submission is a .csv of all images; other formats and "
            "--where are for --kind=table"
        )
    if wrong := [name for name in plan.names if not _is_id(name)]:
        raise UserError(
            f"a submission needs galaxy ids, as in 100018.jpg; these names are none: "
            f"{first_few(wrong)}. Other names can be in a table: --kind=table"
        )
    ids = np.array(list(map(int, plan.names)))
    if (np.diff(ids) <= 0).any():
        raise UserError(
            "a submission has ascending ids, each once: sort the rows of the CSV of "
            "--images"
        )


def _check_table(plan: Plan, columns) -> None:
    if plan.kind == "table" and plan.where:
        parse_where(plan.where, columns)
    if plan.kind == "embeddings" and (plan.where or len(plan.workdirs) > 1):
        raise UserError(
            "--kind=embeddings is of one run, whose features are no other's, and of "
            "all images: leave out --where and the other --workdirs"
        )


def _is_id(name: str) -> bool:
    return name.isdecimal() and int(name) < 2**63


class _NotYetError(Exception):
    """Leaves a table unwritten."""
