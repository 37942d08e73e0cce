"""Scores blends of predictions, from files alone, and writes one of them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gzjax.data.vote_files import write_votes
from gzjax.errors import UserError
from gzjax.evaluation.ensemble import blending
from gzjax.evaluation.ensemble.blending import WEIGHTS, blend_rmse
from gzjax.evaluation.ensemble.members import Members, read_predictions
from gzjax.evaluation.labels import is_label
from gzjax.files import read_json, write_json
from gzjax.progress import console
from gzjax.training import run_files as layout

DEFAULT_OUTPUT = "runs/ensemble"


def ensemble(
    workdirs: Sequence[str | Path],
    label: str = "valid-none",
    *,
    weights: str = "uniform",
    output: str | Path = "",
    apply: str = "",
) -> dict:
    """Averages predictions: prints and writes scores, and writes the chosen blend.

    Weights are fitted on one half of the galaxies and scored on the other. The halves
    follow from the ids, so that a blend of blends is scored on galaxies that none of
    its weights has seen.

    A uniform or a per-model average keeps every linear constraint that its members
    keep, such as that a question's answers add up to its parent; an average with
    weights per answer does not. The winner of 2014 submitted the uniform mean of 17
    models, and used fitted weights only to find models to leave out.

    Args:
        workdirs: at least two evaluated runs, or outputs of ensembles.
        label: the predictions to score and fit on, as in ``predictions-LABEL.csv``, for
            galaxies that were not trained on.
        weights: "uniform", "model" or "answer", for the blend that is written.
        output: a folder, made if missing, but not a run's; "": ``runs/ensemble``. Gets
            ``ensemble-LABEL.json``, ``predictions-LABEL.csv``, ``targets-LABEL.csv``;
            a blend of other models is removed from it.
        apply: another label, whose predictions are averaged with the same weights and
            written too, with targets and score if all workdirs have targets.

    Returns:
        What the JSON file holds: see :func:`make_report`, with ``label``, ``weights``
        (the argument) and ``applied`` (None, or ``label``, ``galaxies`` and ``rmse``).

    Raises:
        UserError: bad files or arguments, before anything is written.
    """
    output = Path(output or DEFAULT_OUTPUT)
    _check_arguments(workdirs, weights, output)
    members = read_predictions(workdirs, label)
    others = read_predictions(workdirs, apply, need_targets=False) if apply else None
    if others:
        _check_alike(members, others, label, apply)
    fitted, report = make_report(members)
    report |= {"label": label, "weights": weights, "applied": None}
    output.mkdir(parents=True, exist_ok=True)
    _remove_other_blends(output, members.names)
    _write_blend(output, label, members, fitted[weights])
    if others:
        score = _write_blend(output, apply, others, fitted[weights])
        report["applied"] = dict(label=apply, galaxies=len(others.ids), rmse=score)
    write_json(output / layout.ensemble_name(label), report)
    _say_report(report, output)
    return report


def make_report(members: Members) -> tuple[dict[str, np.ndarray], dict]:
    """Fits the weights of each kind on one half, and scores all blends on both.

    Returns:
        The weights ``{kind: [m] or [a m]}``, and for JSON: ``galaxies`` of each half;
        ``models``, a list in the order given of ``name``, RMSEs and ``change_without``
        (by how much the RMSE of the uniform blend rises on the scored half when it is
        left out); ``blends``, by kind RMSEs and ``weights`` ([m], or [m a] for
        "answer", with a in the order of ``columns``); ``subsets``, for k = 1 ... m the
        ``members`` (numbers from 1) whose uniform blend is best on the fitted half, and
        its RMSEs; and ``subsets_exhaustive``, False if they were searched greedily.
        RMSEs are ``{"rmse_all": x, "rmse_fitted": x, "rmse_scored": x}``. The first is
        what evaluating one model gives; only the last is fair to fitted weights and
        chosen subsets.

    Raises:
        UserError: fewer than two galaxies.
    """
    if len(members.ids) < 2:
        raise UserError("one galaxy cannot both fit and score: evaluate a larger split")
    fits = blending.fitting_half(members.ids)
    grams = {
        name: blending.gram_matrices(members.votes[:, rows], members.targets[rows])
        for name, rows in (("all", slice(None)), ("fitted", fits), ("scored", ~fits))
    }

    def scores(weights):
        return {f"rmse_{name}": blend_rmse(g, weights) for name, g in grams.items()}

    alone = np.eye(len(members.names))
    changes = blending.changes_without(grams["scored"])
    fitted = {kind: blending.fit_weights(kind, grams["fitted"]) for kind in WEIGHTS}
    subsets = blending.best_subsets(grams["fitted"].mean(axis=0))
    return fitted, {
        "galaxies": {"fitted": int(fits.sum()), "scored": int((~fits).sum())},
        "columns": list(members.columns),
        "models": [
            {"name": name, "change_without": float(change), **scores(weights)}
            for name, change, weights in zip(members.names, changes, alone, strict=True)
        ],
        "blends": {
            kind: {"weights": weights.T.tolist(), **scores(weights)}
            for kind, weights in fitted.items()
        },
        "subsets": [
            {"members": (np.flatnonzero(s) + 1).tolist(), **scores(s / s.sum())}
            for s in subsets
        ],
        "subsets_exhaustive": len(members.names) <= blending.MAX_EXHAUSTIVE,
    }


def _check_arguments(workdirs, weights, output):
    if weights not in WEIGHTS:
        raise UserError(f"no weights '{weights}'; there are: {', '.join(WEIGHTS)}")
    if output.resolve() in [Path(w).resolve() for w in workdirs]:
        raise UserError(f"{output} is one of the workdirs; give another --output")
    if (output / layout.CHECKPOINTS).exists():
        raise UserError(
            f"{output} is the folder of a training run, and its predictions would be "
            "replaced; give another --output"
        )


def _check_alike(members, others, label, apply):
    """Rejects weights for other answers, or for a later network of a run."""
    if others.columns != members.columns:
        raise UserError(
            f"the predictions of '{apply}' are of another decision tree than those of "
            f"'{label}': evaluate the same runs for both"
        )
    for name in members.names:
        paths = [Path(name, layout.evaluation_name(x)) for x in (label, apply)]
        if not all(path.is_file() for path in paths):
            continue  # a blend
        step, other = (
            read_json(path, "evaluate again", lambda scores: scores["step"])
            for path in paths
        )
        if step != other:
            raise UserError(
                f"{name}: '{label}' is of step {step}, '{apply}' of step {other}: "
                "evaluate one of them again"
            )


def _remove_other_blends(output, names):
    """Removes the files of a blend of other models, which this one does not replace."""
    for path in output.glob(layout.ensemble_name("*")):
        what_to_do = "it is not a report of an ensemble: give another --output"
        models, labels = read_json(path, what_to_do, _parse_report)
        if models == names:
            continue
        for label in labels:
            (output / layout.predictions_name(label)).unlink(missing_ok=True)
            (output / layout.targets_name(label)).unlink(missing_ok=True)
        path.unlink()


def _parse_report(report):
    labels = [report["label"]]
    if report["applied"]:
        labels.append(report["applied"]["label"])
    if not all(map(is_label, labels)):  # files of these names are removed
        raise ValueError(f"its labels are {labels}")
    return tuple(model["name"] for model in report["models"]), labels


def _write_blend(output, label, members, weights):
    """Writes the blend; returns its RMSE, or None without targets."""
    votes = blending.blend(members.votes, weights)
    targets = output / layout.targets_name(label)
    predictions = output / layout.predictions_name(label)
    write_votes(predictions, members.ids, votes, members.columns)
    if members.targets is None:
        targets.unlink(missing_ok=True)  # an older blend's
        return None
    write_votes(targets, members.ids, members.targets, members.columns)
    return float(np.sqrt(np.mean((votes - members.targets) ** 2)))


def _say_report(report, output):
    if console.quiet:
        return
    galaxies, applied = report["galaxies"], report["applied"]
    print(f"{galaxies['fitted']} galaxies fit, {galaxies['scored']} score")
    rows = _table(report)
    width = max(len(row[0]) for row in rows)
    for name, *numbers in rows:
        print(f"{name:<{width}}" + "".join(f"{x:>10}" for x in numbers))
    if applied:
        score = "unknown" if applied["rmse"] is None else f"{applied['rmse']:.5f}"
        print(f"{applied['label']}: {applied['galaxies']} galaxies, RMSE {score}")
    print(
        "fitted: on the half that weights and subsets are chosen on; scored: on the "
        "other, fair to all\nweight: in the blend 'model'; without: how much the "
        "uniform blend's scored RMSE rises if the run is left out"
    )
    print(f"blend with weights '{report['weights']}' written to {output}")


def _table(report):
    def each(scores):
        return [f"{scores[f'rmse_{rows}']:.5f}" for rows in ("all", "fitted", "scored")]

    search = "" if report["subsets_exhaustive"] else " (greedy)"
    models, weights = report["models"], report["blends"]["model"]["weights"]
    rows = [("RMSE", "all", "fitted", "scored", "weight", "without")]
    for i, (model, w) in enumerate(zip(models, weights, strict=True), 1):
        change = f"{model['change_without']:+.5f}"
        rows.append((f"{i} {model['name']}", *each(model), f"{w:.4f}", change))
    for kind, scores in report["blends"].items():
        rows.append((f"blend, weights {kind}", *each(scores)))
    for subset in report["subsets"]:
        name = f"best {len(subset['members'])} of {len(models)}{search}: "
        rows.append((name + " ".join(map(str, subset["members"])), *each(subset)))
    return rows
