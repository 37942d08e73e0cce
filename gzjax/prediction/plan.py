"""What a prediction consists of: written beside its chunks, for whoever merges them."""

import contextlib
import dataclasses
from pathlib import Path

import numpy as np

from gzjax.data.averaging import averaging_set
from gzjax.data.ledger import check_same
from gzjax.errors import UserError, first_few
from gzjax.files import MAX_TABLE_BYTES, read_json, write_json
from gzjax.prediction.chunks import Chunks
from gzjax.prediction.table_columns import embedding_columns, table_columns
from gzjax.prediction.table_files import Column, open_table
from gzjax.trees import Tree

_NAME = "plan.json"
KINDS = ("submission", "table", "embeddings")


@dataclasses.dataclass(frozen=True)
class Plan:
    """A prediction of n images by m runs, JSON-ready.

    Attributes:
        images: the path of the folder, zip or CSV.
        names: n, for the rows.
        identities: m, all that each run's numbers depend on.
        weights: of the runs in the mean: ``[m]``, or ``[m][a]``.
        averaging: the averaging set of the first run.
        train_mean: a numbers, which stand for bad images in a submission.
        kind: one of ``KINDS``.
        judge: which run's calibration judges the images; None if none has one.
        intervals: of the answers, the fields of
            :class:`gzjax.metrics.intervals.Intervals`; None without.
    """

    images: str
    names: list[str]
    workdirs: list[str]
    identities: list[dict]
    weights: list
    averaging: str
    tree: dict
    train_mean: list[float]
    kind: str
    judge: int | None
    intervals: dict[str, list] | None

    @property
    def spread_over(self) -> str:
        """Returns what a table's spreads are over: "runs", "placements", or ""."""
        if len(self.workdirs) > 1:
            return "runs"
        return "placements" if len(averaging_set(self.averaging)) > 1 else ""

    def table_columns(self) -> tuple[Column, ...]:
        """Returns the columns of a table."""
        return table_columns(
            Tree.from_dict(self.tree),
            bool(self.spread_over),
            self.judge is not None,
            self.intervals is not None,
        )

    def chunks(self, output: Path) -> list[Chunks]:
        """Returns the chunks of each run, which ``output`` is merged from."""
        folder = _chunks_folder(output)
        return [
            Chunks(folder / f"run{i}", len(self.names), identity)
            for i, identity in enumerate(self.identities)
        ]

    def replace_another(self, output: Path, is_shard: bool) -> None:
        """Removes the plan of another prediction, or for a shard raises a UserError."""
        path, there = _chunks_folder(output) / _NAME, self
        with contextlib.suppress(UserError):  # missing or damaged: useless to merge
            there = dataclasses.replace(read_plan(output), identities=self.identities)
        if is_shard:  # another may have written it
            advice = "Give all shards the same arguments, or remove it if it is old"
            check_same(*map(dataclasses.asdict, (there, self)), path, advice)
        elif there != self:
            path.unlink(missing_ok=True)

    def write(self, output: Path) -> None:
        """Writes the plan into the folder of the chunks."""
        folder = _chunks_folder(output)
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / _NAME, dataclasses.asdict(self))


def _chunks_folder(output: Path) -> Path:
    if (old := output.with_name(output.name + ".parts")).exists():
        raise UserError(f"{old} is of an older gzjax: remove it and predict again")
    return output.with_name(output.name + ".chunks")


def read_plan(output: Path) -> Plan:
    """Reads the plan of an output; a UserError if it is missing or damaged."""
    advice = "give the --output of predict; if it was interrupted, run predict again"
    path = _chunks_folder(output) / _NAME
    return read_json(path, advice, lambda fields: Plan(**fields), MAX_TABLE_BYTES)


def check_output(plan: Plan, output: Path) -> None:
    """Raises a UserError if the output cannot be written as it is asked for."""
    _chunks_folder(output)
    if plan.kind == "submission":
        _check_submission(plan, output)
        return
    if plan.kind == "table":
        columns = plan.table_columns()
    elif len(plan.workdirs) == 1:
        columns = embedding_columns(1)  # the network knows how many
    else:
        raise UserError("--kind=embeddings is of one run: leave out other --workdirs")
    with contextlib.suppress(_NotYetError), open_table(output, columns):
        raise _NotYetError


class _NotYetError(Exception):
    """Leaves a table unwritten."""


def _check_submission(plan: Plan, output: Path) -> None:
    if output.suffix.lower() != ".csv":
        raise UserError(
            f"{output}: a submission is a .csv; other formats: --kind=table"
        )
    if wrong := [name for name in plan.names if not _is_id(name)]:
        raise UserError(
            f"a submission needs galaxy ids, as in 100018.jpg; these names are none: "
            f"{first_few(wrong)}. Other names can be in a table: --kind=table"
        )
    if (np.diff(np.array(list(map(int, plan.names)))) <= 0).any():
        raise UserError(
            "a submission has ascending ids, each once: sort the CSV of --images"
        )


def _is_id(name: str) -> bool:
    return name.isdecimal() and int(name) < 2**63
