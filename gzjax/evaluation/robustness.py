"""Studies how far the answers of runs move when the raw image is turned."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gzjax.data.averaging import averaging_set
from gzjax.data.geometry import compose, place
from gzjax.data.ledger import check_replaces
from gzjax.data.vote_files import write_votes
from gzjax.data.warps import share_warps
from gzjax.errors import UserError
from gzjax.evaluation.evaluate import check_split, data_of, evenly, select
from gzjax.evaluation.labels import check_workdirs
from gzjax.files import check_place, open_aside, write_json
from gzjax.metrics import rotation_distances
from gzjax.metrics.robustness import bootstrap_mean, distances, shares_above
from gzjax.progress import say
from gzjax.training.open_run import open_run, read_run, use_data

DEFAULT_OUTPUT = "runs/robustness"
QUARTER_ANGLES = np.array([0.0, 90.0, 180.0, 270.0])
ZOOMS = np.array([0.8, 0.9, 1.1, 1.25])
POLAR_SAMPLE = 200  # galaxies in the polar picture


def robustness(
    workdirs: Sequence[str | Path],
    *,
    reference: str = "",
    step_deg: float = 15.0,
    averaging: str = "none",
    num_galaxies: int | None = None,
    data: str | Path = "",
    pixel_scale: float | None = None,
    split: str = "valid",
    checkpoint: str = "newest",
    output: str | Path = "",
    detections: str = "",
) -> dict:
    """Compares runs as Cao & Chen (2018) do in their tables 3 and 4 and figure 6.

    The raw image is turned, mirrored or enlarged before it is cropped, in the one warp
    of each view. A centred run takes the galaxy where it was found in the untouched
    image.

    An exact network answers alike at the quarter turns by construction, and averaged
    over a set of angles also at steps of the set: with "half2" at every 45°. That makes
    R over all angles small; ``other_angles`` leaves these angles out.

    Args:
        workdirs: training runs, with the same galaxies in ``split``.
        reference: the run that the others' D_i are compared with; "": the first.
        step_deg: the angle between placements, a divisor of 90.
        averaging: the set (:func:`gzjax.data.averaging.averaging_set`) over which the
            answers for each placement of the raw image are averaged.
        num_galaxies: taken evenly from the split; None: all.
        data: see :func:`gzjax.evaluation.evaluate.evaluate`, also for ``pixel_scale``,
            ``split`` and ``checkpoint``.
        output: a folder, made if need be; "": ``runs/robustness``. Gets
            ``robustness.json``, ``robustness-distances.csv`` (D_i by id, a column per
            run), ``robustness-curves.png`` and ``robustness-polar.png``, which replace
            only those of the same conditions.
        detections: the table for these images, for the runs that are centred.

    Returns:
        What the JSON file holds: the conditions (``runs``, ``reference``, ``step_deg``,
        ``averaging``, ``split``, ``checkpoint``, ``galaxies``, and ``data`` and
        ``fingerprint`` of the first run), and for each of ``models`` ``name``,
        ``step``, ``robustness`` (R of eq. 7: at the quarter turns), ``any_angle`` (the
        same over all angles), ``other_angles`` (over the ``count`` angles at which
        answers are not equal by construction; None if there are none), ``angles``,
        ``mirrored`` and ``zooms`` (lists of ``{"angle_deg" or "zoom", "mean", "low",
        "high"}`` for one placement against the untouched image), ``polar`` (for some
        galaxies the mean of all answers at the quarter turns) and, except for the
        reference, ``above_reference`` (their Table 4; at quarter turns, and over all
        angles).
        Intervals are 95 % bootstrap intervals.

    Raises:
        UserError: bad arguments or files, or runs with other galaxies.
    """
    check_split(split)
    inner = averaging_set(averaging)  # rejects a wrong name before anything is loaded
    names, reference = _check_arguments(workdirs, reference, step_deg, num_galaxies)
    angles = step_deg * np.arange(round(360 / step_deg))
    mirrored, zoomed = place(QUARTER_ANGLES, mirror=True), place(zoom=ZOOMS)
    placements = np.concatenate([place(angles), mirrored, zoomed])
    # Read first: what is missing is reported before any work.
    output = Path(output or DEFAULT_OUTPUT)
    check_place(output / "robustness.json")
    runs = [read_run(name, checkpoint) for name in names]
    report = {"runs": names, "reference": reference, "step_deg": step_deg}
    report |= {"averaging": averaging, "split": split, "checkpoint": checkpoint}
    studies, spreads, ids = [], {}, None
    for name, run in zip(names, runs, strict=True):
        table = detections if run.run["config"]["data"]["detections"] else ""
        change = use_data(name, str(data), pixel_scale, table)
        _, experiment, state, step, _ = open_run(run, change)
        indices = select(experiment, split)
        indices = evenly(indices, num_galaxies or len(indices))
        here = experiment.source.ids[indices]
        if ids is not None and not np.array_equal(ids, here):
            raise UserError(
                f"{name} and {names[0]} do not hold the same galaxies in '{split}': "
                "give --data=FOLDER --split=all, or runs with the same config.split"
            )
        if ids is None:
            report |= {**data_of(experiment), "galaxies": len(here)}
            check_replaces(output / "robustness.json", report)
        ids = here
        where = f"at {len(angles)} angles, and mirrored and zoomed"
        say(f"{name}: galaxies: {len(ids)}, {where}")
        each = compose(placements[:, None], inner).reshape(-1, 2, 3)
        predictions = experiment.predict(state, step, indices, each, on_device=False)
        single = predictions.reshape(len(ids), len(placements), len(inner), -1)
        predictions = single.mean(axis=2, dtype=np.float64)
        others = _not_equal(each, len(placements), experiment.programs.model)
        others = others[others < len(angles)]
        study, spreads[name] = _study(predictions, angles, others)
        studies.append({"name": name, "step": step, **study})
    for study in studies:
        if study["name"] != reference:
            study["above_reference"] = {
                kind: shares_above(spreads[study["name"]][kind], d)
                for kind, d in spreads[reference].items()
            }
    report |= {"models": studies}
    if experiment.leads:
        _write(output, report, ids, spreads)
        _say_report(report, output)
    return report


def _check_arguments(workdirs, reference, step_deg, num_galaxies):
    names = [str(folder) for folder in check_workdirs(workdirs)]
    reference = str(Path(reference)) if reference else names[0]
    if reference not in names:
        raise UserError(f"--reference={reference} is not among --workdirs")
    parts = 90 / step_deg if step_deg else 0.5
    if not 1 <= step_deg <= 90 or abs(parts - round(parts)) > 1e-9:
        raise UserError(f"--step_deg={step_deg:g}: give a divisor of 90, as 15 or 7.5")
    if num_galaxies is not None and num_galaxies < 1:
        raise UserError(f"--num_galaxies={num_galaxies}: give at least 1")
    return names, reference


def _not_equal(each: np.ndarray, num_placements: int, model) -> np.ndarray:
    """Returns the placements at which a network need not answer as at the first.

    At the others the same views are averaged, or those that an exact network cannot
    tell apart. ``each`` are the ``[m k 2 3]`` of all sets, flattened.
    """
    networks = [getattr(model, name, model) for name in ("first", "second")]  # a Pair
    exact = all(
        getattr(network, "group", "p1") != "p1" and getattr(network, "exact", True)
        for network in networks
    )
    warps = share_warps(each, (0.0,), on_device=exact).warp
    warps = np.sort(warps.reshape(num_placements, -1), axis=1)
    return np.flatnonzero((warps != warps[0]).any(axis=1))


def _study(
    predictions: np.ndarray, angles: np.ndarray, others: np.ndarray
) -> tuple[dict, dict]:
    """Returns the scores of one model's ``[n m a]``, and two kinds of D_i ``[n]``."""
    quarters = np.arange(4) * (len(angles) // 4)
    spreads = {
        "quarter_turns": rotation_distances(predictions[:, quarters]),
        "any_angle": rotation_distances(predictions[:, : len(angles)]),
    }
    moved = distances(predictions).T  # [m-1 n]: angles, mirrored, zooms
    ends = np.cumsum([len(angles) - 1, len(QUARTER_ANGLES)])
    turned, mirrored, zoomed = np.split(moved, ends)
    other_angles = None
    if len(others):
        d = rotation_distances(predictions[:, [0, *others]])
        other_angles = {"count": len(others), **_interval(d)}
    polar = evenly(predictions, POLAR_SAMPLE)[:, quarters].mean(axis=2)
    study = {
        "robustness": _interval(spreads["quarter_turns"]),
        "any_angle": _interval(spreads["any_angle"]),
        "other_angles": other_angles,
        "angles": _curve("angle_deg", angles[1:], turned),
        "mirrored": _curve("angle_deg", QUARTER_ANGLES, mirrored),
        "zooms": _curve("zoom", ZOOMS, zoomed),
        "polar": polar.tolist(),
    }
    return study, spreads


def _interval(values):
    return dict(zip(("mean", "low", "high"), bootstrap_mean(values), strict=True))


def _curve(name, values, moved):
    return [
        {name: float(x), **_interval(d)} for x, d in zip(values, moved, strict=True)
    ]


def _write(output, report, ids, spreads):
    from gzjax.evaluation.robustness_pictures import draw_curves, draw_polar

    output.mkdir(parents=True, exist_ok=True)
    columns = list(spreads)
    d = np.stack([spread["quarter_turns"] for spread in spreads.values()], axis=1)
    write_votes(output / "robustness-distances.csv", ids, d, columns)
    for name, draw in (("curves", draw_curves), ("polar", draw_polar)):
        with open_aside(output / f"robustness-{name}.png", "wb") as file:
            file.write(draw(report))
    write_json(output / "robustness.json", report)


def _say_report(report, output):
    width = max(
        len(name) for name in ("written", *(m["name"] for m in report["models"]))
    )
    if report["averaging"] != "none":
        print(f"answers averaged over {report['averaging']}")
    step = f"{report['step_deg']:g}°"
    every = f"R15: all multiples of {step}" if step == "15°" else f"R, every {step}"
    print(
        f"{'run':<{width}}  {'R at quarter turns (95 %)':<34}{every:<34}"
        "R over the angles that are not exact"
    )
    interval = "{mean:{form}} ({low:{form}} .. {high:{form}})".format
    for model in report["models"]:
        r = interval(**model["robustness"], form=".3g")
        any_angle = interval(**model["any_angle"], form=".3g")
        others = model["other_angles"]
        change = f"{others['mean']:.3g} ({others['count']} angles)" if others else "–"
        print(f"{model['name']:<{width}}  {r:<34}{any_angle:<34}{change}")
    for model in report["models"]:
        for kind, rows in model.get("above_reference", {}).items():
            shares = " / ".join(f"{row['share']:.1%}" for row in rows)
            limits = " / ".join(f"{row['threshold']:g}" for row in rows)
            change = f"a galaxy's change D - D({report['reference']}) >= {limits}"
            above = f"{model['name']}: {change}"
            print(f"{above} for {shares} ({kind.replace('_', ' ')})")
    print(f"{'written':<{width}}  {output}")
