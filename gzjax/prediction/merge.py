"""From parts of predictions to one file: a submission, or a table."""

import csv
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from gzjax import __version__
from gzjax.data.averaging import averaging_set
from gzjax.data.images.read_image import FLAGS, OK
from gzjax.data.vote_files import open_votes
from gzjax.errors import UserError, first_few
from gzjax.evaluation.ensemble.blending import blend
from gzjax.files import open_aside
from gzjax.prediction.check_output import spread_of
from gzjax.prediction.parts import Part
from gzjax.prediction.plan import Plan, read_plan
from gzjax.prediction.tables.columns import science_table, table_columns
from gzjax.prediction.tables.embedding_columns import embedding_columns, embedding_table
from gzjax.prediction.tables.files import open_table
from gzjax.prediction.tables.where import parse_where
from gzjax.progress import Progress, say
from gzjax.trees.morphology import RULE


def merge(output: str | Path) -> int:
    """Writes ``output`` from all of its parts; says what was flagged.

    Args:
        output: as given to ``predict``.

    Returns:
        The number of images without a prediction.

    Raises:
        UserError: parts are missing or part of other predictions, or the file cannot
            be written; it is left as it was then.
    """
    output = Path(output).expanduser()
    plan = read_plan(output)
    _check_complete(plan, output)
    write = _WRITERS[plan.kind]
    flagged: dict[str, str] = {}
    num_written = write(plan, output, _merged(plan, output, flagged))
    say(f"{output}: {num_written:,} rows of {len(plan.names):,} images")
    _write_flagged(output, flagged)
    for flag, count in Counter(flagged.values()).items():
        names = [name for name, of_name in flagged.items() if of_name == flag]
        what = "the training mean" if plan.kind == "submission" else "no numbers"
        say(f"  {count:,} {flag}, with {what}: {first_few(names)}")
    return len(flagged)


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
    for workdir, parts in zip(plan.workdirs, plan.parts(output), strict=True):
        if missing := parts.missing():
            raise UserError(
                f"{len(missing)} of {len(parts)} parts of {workdir}'s predictions are "
                f"missing ({first_few(missing)}): give the command of predict again, "
                "or wait for the other shards"
            )


def _merged(
    plan: Plan, output: Path, flagged: dict[str, str]
) -> Iterator[tuple[list[str], list[str], Part]]:
    """Names, flags and blended numbers, part by part; notes what is flagged."""
    of_runs, weights = plan.parts(output), np.array(plan.weights).T
    with Progress("merging", len(plan.names)) as progress:
        for number in range(len(of_runs[0])):
            rows = of_runs[0].rows(number)
            parts = [parts.read(number) for parts in of_runs]
            votes = np.stack([np.float64(part.votes) for part in parts])
            bad = np.max([part.bad for part in parts], axis=0)
            names = [plan.names[i] for i in rows]
            flags = [FLAGS[code] for code in bad]
            flagged |= {n: f for n, f in zip(names, flags, strict=True) if f != OK}
            mean, spread = blend(votes, weights), parts[0].spread
            if len(parts) > 1:
                spread = np.sqrt(blend((votes - mean) ** 2, weights))
            mean = mean if plan.kind == "embeddings" else np.clip(mean, 0, 1)
            yield names, flags, Part(mean, spread, bad)
            progress.update(rows.stop, "images")


def _write_submission(plan: Plan, output: Path, chunks) -> int:
    count = 0
    with open_votes(output, plan.decision_tree().columns) as write:
        for names, _, part in chunks:
            votes = np.where(part.bad[:, None], plan.train_mean, part.votes)
            write(np.array(list(map(int, names))), votes)
            count += len(names)
    return count


def _write_table(plan: Plan, output: Path, chunks) -> int:
    tree, spread = plan.decision_tree(), spread_of(plan)
    columns, count = table_columns(tree, bool(spread)), 0
    keep = parse_where(plan.where, columns) if plan.where else None
    with open_table(output, columns, _comment(plan)) as table:
        for names, flags, part in chunks:
            of_part = part.spread if spread else None
            chunk = science_table(names, part.votes, of_part, flags, tree)
            if keep:
                kept = keep(chunk)
                chunk = {name: column[kept] for name, column in chunk.items()}
            table.write(chunk)
            count += len(chunk["name"])
    return count


def _write_embeddings(plan: Plan, output: Path, chunks) -> int:
    columns, count = embedding_columns(plan.num_features), 0
    with open_table(
        output, columns, "\n".join(_origin(plan, "last features"))
    ) as table:
        for names, flags, part in chunks:
            table.write(embedding_table(names, part.votes, flags))
            count += len(names)
    return count


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
            f"{len(averaging_set(identity['averaging']))} maps "
            f"({identity['averaging']})"
            for workdir, identity in zip(plan.workdirs, plan.identities, strict=True)
        ),
    ]


def _comment(plan: Plan) -> str:
    lines = [
        *_origin(plan, "vote fractions"),
        f"weights of the runs: {plan.weights}",
        f"morphology: {RULE}",
    ]
    if spread_of(plan):
        lines.append(f"spread: the standard deviation over the {spread_of(plan)}")
    if plan.where:
        lines.append(f"rows with: {plan.where}")
    return "\n".join(lines)
