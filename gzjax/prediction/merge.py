"""From chunks of predictions to one file: a submission, or a table."""

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from gzjax import __version__
from gzjax.data.averaging import averaging_set
from gzjax.data.familiar.classifier import THRESHOLD
from gzjax.data.familiar.wrong_kinds import KINDS
from gzjax.data.images.read_image import FLAGS, OK
from gzjax.data.vote_files import open_votes
from gzjax.errors import UserError, first_few
from gzjax.evaluation.ensemble.blending import blend
from gzjax.files import check_place, open_aside
from gzjax.metrics.intervals import Intervals
from gzjax.prediction.chunks import Chunk
from gzjax.prediction.plan import Plan, read_plan
from gzjax.prediction.table_columns import (
    embedding_columns,
    embedding_table,
    science_table,
)
from gzjax.prediction.table_files import open_table
from gzjax.progress import Progress, say
from gzjax.trees import Tree
from gzjax.trees.morphology import RULE

Rows = tuple[list[str], list[str], Chunk]  # names, flags and blended numbers


def merge(output: str | Path) -> int:
    """Writes the ``output`` of ``predict`` from its chunks; prints what was flagged.

    Returns:
        The number of images without a prediction.

    Raises:
        UserError: chunks are missing or belong to other predictions.
        OSError: the file cannot be written; an older one stays as it was.
    """
    output = Path(output).expanduser()
    check_place(output)
    plan = read_plan(output)
    _check_complete(plan, output)
    flagged: dict[str, str] = {}
    unlike: dict[str, str] = {}
    _WRITERS[plan.kind](plan, output, _blended(plan, output, flagged, unlike))
    say(f"{output}: {len(plan.names):,} rows")
    _write_flagged(output, flagged)
    what = "the training mean" if plan.kind == "submission" else "no numbers"
    for flag in dict.fromkeys(flagged.values()):
        names = [name for name, its_flag in flagged.items() if its_flag == flag]
        say(f"  {len(names):,} {flag}, with {what}: {first_few(names)}")
    if plan.judge is not None:
        say(_unlike_line(unlike, len(plan.names)))
    return len(flagged)


def _unlike_line(unlike: dict[str, str], number: int) -> str:
    line = f"unlike the training galaxies: {len(unlike):,} of {number:,} images"
    parts = []
    for kind in sorted(set(unlike.values()), key=KINDS.index):
        names = [name for name, its_kind in unlike.items() if its_kind == kind]
        parts.append(f"\n  {len(names):,} like {kind}: {first_few(names)}")
    return line + "".join(parts)


def _write_flagged(output: Path, flagged: dict[str, str]) -> None:
    path = output.with_name(output.name + ".flagged.csv")
    if not flagged:
        path.unlink(missing_ok=True)  # of an earlier prediction
        return
    with open_aside(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([("name", "flag"), *flagged.items()])
    say(f"{path}: the {len(flagged):,} without a prediction")


def _check_complete(plan: Plan, output: Path) -> None:
    for workdir, chunks in zip(plan.workdirs, plan.chunks(output), strict=True):
        if missing := chunks.missing():
            raise UserError(
                f"{len(missing)} of {len(chunks)} chunks of {workdir}'s predictions "
                f"are missing ({first_few(missing)}): give the command of predict "
                "again, or wait for the other shards"
            )


def _blended(
    plan: Plan, output: Path, flagged: dict[str, str], unlike: dict[str, str]
) -> Iterator[Rows]:
    """Yields the weighted mean of the runs chunk by chunk; notes what is flagged."""
    of_runs, weights = plan.chunks(output), np.array(plan.weights).T
    with Progress("merging", len(plan.names)) as progress:
        for number in range(len(of_runs[0])):
            rows = of_runs[0].rows(number)
            members = [chunks.read(number) for chunks in of_runs]
            votes = np.stack([np.float64(member.votes) for member in members])
            bad = np.max([member.bad for member in members], axis=0)
            names = [plan.names[i] for i in rows]
            flags = [FLAGS[code] for code in bad]
            flagged |= {n: f for n, f in zip(names, flags, strict=True) if f != OK}
            mean, spread = blend(votes, weights), members[0].spread
            if len(members) > 1:
                spread = np.sqrt(blend((votes - mean) ** 2, weights))
            mean = mean if plan.kind == "embeddings" else np.clip(mean, 0, 1)
            judged = members[plan.judge or 0].unlike
            kinds = zip(names, flags, judged[:, 1:], strict=True)
            unlike |= {n: KINDS[int(k[0])] for n, f, k in kinds if f == OK and any(k)}
            yield names, flags, Chunk(mean, spread, bad, judged)
            progress.update(rows.stop, "images")


def _write_submission(plan: Plan, output: Path, blended: Iterable[Rows]) -> None:
    with open_votes(output, Tree.from_dict(plan.tree).columns) as write:
        for names, _, chunk in blended:
            votes = np.where(chunk.bad[:, None], plan.train_mean, chunk.votes)
            write(np.array(list(map(int, names))), votes)


def _write_table(plan: Plan, output: Path, blended: Iterable[Rows]) -> None:
    tree, spread_over = Tree.from_dict(plan.tree), plan.spread_over
    comment = [
        *_origin(plan, "vote fractions"),
        f"weights of the runs: {plan.weights}",
        f"morphology: {RULE}",
    ]
    if spread_over:
        comment.append(f"spread: the standard deviation over the {spread_over}")
    if plan.judge is not None:
        comment.append(
            f"unlike: by the calibration of {plan.workdirs[plan.judge]}; more than "
            f"{THRESHOLD} is not familiar"
        )
    intervals = Intervals(**plan.intervals) if plan.intervals else None
    with open_table(output, plan.table_columns(), "\n".join(comment)) as write:
        for names, flags, chunk in blended:
            spread = chunk.spread if spread_over else None
            judged = None if plan.judge is None else chunk.unlike
            table = science_table(
                names, chunk.votes, spread, flags, tree, judged, intervals
            )
            write(table)


def _write_embeddings(plan: Plan, output: Path, blended: Iterable[Rows]) -> None:
    first = plan.chunks(output)[0].read(0)
    columns = embedding_columns(first.votes.shape[1])
    comment = "\n".join(_origin(plan, "last features"))
    with open_table(output, columns, comment) as write:
        for names, flags, chunk in blended:
            write(embedding_table(names, chunk.votes, flags))


_WRITERS = {
    "submission": _write_submission,
    "table": _write_table,
    "embeddings": _write_embeddings,
}


def _origin(plan: Plan, what: str) -> list[str]:
    return [
        f"gzjax {__version__}: {what} predicted for {plan.images}",
        *(
            f"by {workdir}, step {identity['step']}, averaged over "
            f"{len(averaging_set(identity['averaging']))} placements "
            f"({identity['averaging']})"
            for workdir, identity in zip(plan.workdirs, plan.identities, strict=True)
        ),
    ]
