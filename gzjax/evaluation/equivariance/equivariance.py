"""Measures whether a network is equivariant, and names the layer that loses it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gzjax.data import check_there
from gzjax.data.ledger import check_replaces
from gzjax.errors import UserError
from gzjax.evaluation.evaluate import check_split, data_of, evenly, select
from gzjax.files import check_place, open_aside, write_json
from gzjax.progress import say
from gzjax.training.load_config import load_config, run_name, say_which_config
from gzjax.training.open_run import open_run, read_run, use_data
from gzjax.trees.tree_file import find_tree


def equivariance(
    *,
    workdir: str | Path | None = None,
    config: str = "",
    overrides: Sequence[str] = (),
    angles_deg: Sequence[float] = (22.5, 45.0, 90.0, 180.0),
    zooms: Sequence[float] = (1.1,),
    shifts_px: Sequence[float] = (8.0,),
    num_galaxies: int = 64,
    seeds: int = 1,
    data: str | Path = "",
    pixel_scale: float | None = None,
    split: str = "valid",
    checkpoint: str = "newest",
    detections: str = "",
    output: str | Path = "",
) -> dict:
    """Measures how far every layer's features move when the raw image is changed.

    The raw image is turned, mirrored, enlarged or shifted in the one warp of the view,
    so that the first layer, "view", shows what the sampling costs. What is measured
    says :mod:`gzjax.models.probes.equivariance`.

    Args:
        workdir: a training run; or
        config: a config, whose network is measured untrained, with ``overrides`` as in
            :func:`gzjax.training.load_config.load_config`.
        angles_deg: turns of the image.
        zooms: factors by which it is enlarged, above 0.
        shifts_px: shifts to the right, in original px.
        num_galaxies: at least 2, taken evenly from the split.
        seeds: how many untrained networks are averaged.
        data: see :func:`gzjax.evaluation.evaluate.evaluate`, also for ``pixel_scale``,
            ``split``, ``checkpoint`` and ``detections``.
        output: a folder; "": the workdir, or ``runs/equivariance/CONFIG``. It gets
            ``equivariance.json`` and ``equivariance.png``, which replace only those of
            the same conditions.

    Returns:
        What the JSON file holds: the conditions (``network``, ``overrides``,
        ``checkpoint``, ``data``, ``fingerprint``, ``galaxies``, ``split``, ``seeds``,
        and ``changes``, each with ``name`` and ``kind``), ``step``, ``layers`` in order
        (``layer``, ``shape``, and {change: error} of its input, ``before``, and of its
        output, ``error``) and ``verdict``
        (:func:`gzjax.evaluation.equivariance.verdict.find_verdict`).

    Raises:
        UserError: bad arguments, files or data.
    """
    check_split(split)
    _check_arguments(workdir, config, overrides, seeds, num_galaxies, checkpoint)
    _check_numbers(angles_deg=angles_deg, zooms=zooms, shifts_px=shifts_px)
    output = Path(output or workdir or Path("runs/equivariance", run_name(config)))
    check_place(output / "equivariance.json")
    use = use_data(workdir or config, str(data), pixel_scale, detections)

    def change(config):
        use(config)
        config.compute_dtype = ""  # what bfloat16 rounds is no layer's fault

    if workdir:
        trained = open_run(read_run(workdir, checkpoint), change)
        experiment, step = trained.experiment, trained.step
    else:
        experiment = _open_config(config, overrides, change)
        step = experiment.config.num_train_steps

    from gzjax.evaluation.equivariance.measure import (
        fresh_networks,
        make_changes,
        measure,
    )
    from gzjax.evaluation.equivariance.verdict import find_verdict, sentences

    indices = select(experiment, split)
    if len(indices) < 2:
        other = "--data=FOLDER" if split == "all" else "--split=all"
        raise UserError(f"the split '{split}' has one galaxy: give {other}")
    indices = evenly(indices, num_galaxies)
    changes = make_changes(angles_deg, zooms, shifts_px)
    conditions = {
        "network": str(workdir or config),
        "overrides": list(overrides),
        "checkpoint": checkpoint,
        **data_of(experiment),
        "galaxies": len(indices),
        "split": split,
        "seeds": seeds,
        "changes": [{"name": c.name, "kind": c.kind} for c in changes],
    }
    check_replaces(output / "equivariance.json", conditions)
    if workdir:
        networks = [trained.state.eval_variables()]
    else:
        networks = fresh_networks(experiment, seeds, indices)
    layers = measure(experiment, networks, step, indices, changes)
    verdict = find_verdict(
        layers, changes, experiment.programs.model, experiment.config.view
    )
    study = {
        **conditions,
        "step": step if workdir else 0,
        "layers": [
            {
                "layer": layer.call.name,
                "shape": list(layer.call.output[1:]),
                "before": layer.before,
                "error": layer.error,
            }
            for layer in layers
        ],
        "verdict": verdict,
    }
    _write(output, study)
    print("\n".join([*_table(study), "", *sentences(verdict), f"written: {output}"]))
    return study


def _open_config(config, overrides, change):
    loaded = load_config(config, list(overrides))
    say_which_config(config)
    change(loaded)
    tree = find_tree(loaded.tree)
    check_there(loaded, tree)

    from gzjax.training.experiment import Experiment

    return Experiment(loaded, tree)


def _check_arguments(workdir, config, overrides, seeds, num_galaxies, checkpoint):
    if bool(workdir) == bool(config):
        raise UserError(
            "give either --workdir=RUN, a trained run, or --config=CONFIG, whose "
            "network is measured untrained"
        )
    if workdir and overrides:
        raise UserError(f"{overrides[0]}: a run has its config; give --config=CONFIG")
    if config and checkpoint != "newest":
        raise UserError(f"--checkpoint={checkpoint}: give it with --workdir=RUN")
    if seeds < 1 or (workdir and seeds > 1):
        raise UserError(f"--seeds={seeds}: give 1, or more with --config")
    if num_galaxies < 2:
        raise UserError(f"--num_galaxies={num_galaxies}: give at least 2")


def _check_numbers(**flags):
    for name, values in flags.items():
        given = f"--{name}={','.join(f'{x:g}' for x in values)}"
        shown = {f"{x:g}" for x in values}
        if not np.isfinite(values).all() or len(shown) < len(values):
            raise UserError(f"{given}: give numbers, each once")
        if name == "angles_deg" and any(abs(x) > 360 for x in values):
            raise UserError(f"{given}: give angles from -360 to 360")
        if name == "zooms" and not all(x > 0 for x in values):
            raise UserError(f"{given}: give numbers above 0")


def _table(study: dict) -> list[str]:
    names = [change["name"] for change in study["changes"]]
    width = max(len(row["layer"]) for row in study["layers"])
    lines = [f"{'layer':<{width}}" + "".join(f"  {name:>9}" for name in names)]
    for row in study["layers"]:
        errors = (f"  {_shown(row['error'][name]):>9}" for name in names)
        lines.append(f"{row['layer']:<{width}}{''.join(errors)}")
    return lines


def _shown(error: float) -> str:
    return f"{error:.3f}" if error >= 5e-4 else f"{error:.0e}"


def _write(output: Path, study: dict) -> None:
    from gzjax.evaluation.equivariance.pictures import draw_layers

    output.mkdir(parents=True, exist_ok=True)
    with open_aside(output / "equivariance.png", "wb") as file:
        file.write(draw_layers(study))
    write_json(output / "equivariance.json", study)
    say(f"drawn: {output / 'equivariance.png'}")
