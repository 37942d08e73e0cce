"""Adds to a run what needs its checkpoint and images: crops and activation maps."""

import dataclasses
import shlex
from collections.abc import Sequence

import jax
import numpy as np

from gzjax.data import make_source
from gzjax.data.geometry import place, with_views
from gzjax.data.pipeline import LoadBatch
from gzjax.errors import UserError
from gzjax.evaluation.report import galaxies
from gzjax.evaluation.report.runs import NO_MAPS, ActivationMap, RunReport
from gzjax.models import make_model, network_input
from gzjax.models.pair import Pair
from gzjax.models.probes.cam import ablation_cam, overlay
from gzjax.models.probes.layer_maps import check_layer, layer_shapes
from gzjax.ops.colour import adjust_colour
from gzjax.progress import say
from gzjax.training.open_run import TrainedRun, open_run, read_run, use_data
from gzjax.trees import Tree

_EXPLAINED = "spiral_arms"  # beside the first question, where the tree has it


def add_images(
    run: RunReport,
    cam_layer: str,
    cam_answers: Sequence[str],
    data_dir: str,
    pixel_scale: float | None,
) -> RunReport:
    """Returns the run with crops and maps, or with a note of why it has none.

    The arguments are those of :func:`gzjax.evaluation.report.report.report`.

    Raises:
        UserError: there is no layer ``cam_layer``.
    """
    say(f"{run.folder}: looking at galaxies")
    try:
        # The galaxies scored stand in for the images, which may be gone.
        saved = read_run(run.folder, str(run.scores["step"]))
        trained = open_run(saved, find_source=lambda _: run.targets)
    except (UserError, OSError) as error:
        return _noted(run, f"Neither images nor activation maps can be shown: {error}")
    run = dataclasses.replace(
        run,
        command=_command(run, trained),
        run=trained.run,
        num_params=sum(x.size for x in jax.tree.leaves(trained.state.params)),
    )
    explained = [] if cam_layer == NO_MAPS else _explained(run.tree, cam_answers)
    if explained and isinstance(trained.experiment.programs.model, Pair):
        explained = []
        run = _noted(run, "No activation maps: two networks answer together.")
    telling = galaxies.telling_galaxies(run.targets.votes, run.tree, explained)
    errors = galaxies.galaxy_errors(run.predictions.votes, run.targets.votes)
    shown = galaxies.extremes(errors, galaxies.NUM_SHOWN)
    shown = np.unique([*np.ravel(shown), *telling])
    try:
        batch = _load(trained, run, shown, data_dir, pixel_scale)
    except (UserError, OSError) as error:
        return _noted(run, f"The images cannot be shown: {error}")
    ids = run.targets.ids
    crops = dict(zip(ids[shown].tolist(), batch["images"][:, 0], strict=True))
    run = dataclasses.replace(run, crops=crops)
    if not telling:
        return run
    chosen = {key: x[np.searchsorted(shown, telling)] for key, x in batch.items()}
    layer, maps = _explain(trained, run.tree, chosen, explained, cam_layer)
    maps = dict(zip(ids[telling].tolist(), maps, strict=True))
    return dataclasses.replace(run, maps=maps, cam_layer=layer)


def choose_layer(names: Sequence[str]) -> str:
    """Returns the second batch norm, or the second convolution, or the second layer.

    That is deep enough to know shapes, and early enough to tell places apart. ``names``
    are in the order of their work, nested ones included.
    """
    for kind in ("norm", "conv", ""):
        having = [name for name in names if name.split("/")[-1].startswith(kind)]
        if len(having) > 1:
            return having[1]
    return names[0]


def _explained(tree: Tree, answers: Sequence[str]) -> list[str]:
    questions = {tree.questions[0].name, _EXPLAINED}
    return list(answers) or [
        name for name in tree.answer_names if name.split(".", 1)[0] in questions
    ]


def _command(run, trained) -> str:
    """Returns the run's command, with the data if the config names none or others."""
    data, evaluated = trained.experiment.config.data, run.scores["data"]
    if evaluated in (data.dir, data.kind):
        return run.command
    command = run.command.removesuffix(" --data=FOLDER")
    return f"{command} {shlex.quote(f'--data={evaluated}')}"


def _load(trained: TrainedRun, run: RunReport, shown, data_dir, pixel_scale) -> dict:
    """Returns a batch of galaxies, neither turned nor centred by a draw."""
    config = trained.experiment.config.copy_and_resolve_references()
    evaluated = run.scores["data"]
    data_dir = data_dir or ("" if evaluated == config.data.kind else evaluated)
    use_data(run.folder, data_dir, pixel_scale, "")(config)
    config.data.check_images = False  # of few galaxies; these are decoded
    source = make_source(config, run.tree)
    if source.fingerprint != run.scores["fingerprint"]:
        raise UserError(
            f"those in {data_dir or config.data.kind} are other data than were "
            "evaluated; give --data=FOLDER, and --pixel_scale if they are copies"
        )
    rows = np.searchsorted(source.ids, run.targets.ids[shown])
    warps = with_views(place(), config.view.angles_deg)
    return LoadBatch(source, config.view, None, config.seed, warps).map((rows, rows))


def _explain(
    trained: TrainedRun, tree: Tree, batch, answers, cam_layer
) -> tuple[str, list[list[ActivationMap]]]:
    """Returns the layer, and for each galaxy of the batch a map of each answer."""
    experiment = trained.experiment
    config = experiment.config.copy_and_resolve_references()
    config.compute_dtype = ""  # rounding would pass for an effect of a channel
    model = make_model(config, tree.num_answers)
    variables = trained.state.eval_variables()
    view, crops = config.view, batch["images"]
    images = adjust_colour(crops, batch["colour"], view.mean, view.std, config.dtype)
    images = network_input(model, images)
    layer = cam_layer or choose_layer(list(layer_shapes(model, variables, images)))
    rectified = _is_rectified(model, variables, images, layer)
    head = experiment.programs.head(trained.step)

    def explain(answer):
        say(f"{trained.workdir}: activation maps of {answer}")
        heat = ablation_cam(
            model, variables, images, answer, layer, tree, head, rectified
        )
        pixels = np.asarray(heat.pixels).reshape(len(images), -1, *images.shape[-3:-1])
        rows = zip(heat.score, crops[:, 0], pixels[:, 0], strict=True)
        return [
            ActivationMap(answer, float(score), overlay(crop, hot), not hot.any())
            for score, crop, hot in rows
        ]

    return layer, [list(row) for row in zip(*map(explain, answers), strict=True)]


def _is_rectified(model, variables, images, layer) -> bool:
    """Returns whether a ReLU follows the layer: nothing reads its negative values."""
    try:
        check_layer(model, variables, images, layer, rectified=True)
    except UserError:
        return False
    return True


def _noted(run, note):
    return dataclasses.replace(run, notes=(*run.notes, note))
