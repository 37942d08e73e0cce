"""What needs a run's checkpoint and its images: crops and activation maps."""

import dataclasses
import shlex
from collections.abc import Sequence

import jax
import numpy as np

from gzjax.data import make_source
from gzjax.data.geometry import place, with_views
from gzjax.data.pipeline import LoadBatch
from gzjax.errors import UserError
from gzjax.evaluation.report.galaxies import (
    galaxy_errors,
    telling_galaxies,
    worst_and_best,
)
from gzjax.evaluation.report.galaxy_sections import NUM_SHOWN
from gzjax.evaluation.report.run_report import ActivationMap, RunReport
from gzjax.models import make_model, network_input
from gzjax.models.pair import Pair
from gzjax.models.probes.cam import ablation_cam, overlay
from gzjax.models.probes.layer_maps import check_layer, layer_shapes
from gzjax.ops.colour import adjust_colour
from gzjax.progress import say
from gzjax.training.open_run import TrainedRun, open_run, use_data
from gzjax.trees import Tree

NO_MAPS = "none"  # as --cam_layer
_EXPLAINED = "spiral_arms"  # beside the first question, where the tree has it


def look(
    run: RunReport,
    cam_layer: str,
    cam_answers: Sequence[str],
    data_dir: str,
    pixel_scale: float | None,
) -> RunReport:
    """The run with what its checkpoint and its images say; or a note of why not.

    Args:
        run: as read from its files.
        cam_layer: see :func:`gzjax.evaluation.report.report.report`, as for the next
            three.
        cam_answers: of the tree.
        data_dir: of the images.
        pixel_scale: of these images.

    Raises:
        UserError: there is no such layer.
    """
    try:
        # The galaxies scored stand in for the images, which may be gone.
        trained = open_run(
            run.folder, str(run.scores["step"]), find_source=lambda _: run.targets
        )
    except (UserError, OSError) as error:
        return _noted(run, f"Neither images nor activation maps can be shown: {error}")
    run = dataclasses.replace(
        run,
        command=_command(run, trained),
        run=trained.run,
        num_params=sum(x.size for x in jax.tree.leaves(trained.state.params)),
    )
    explained = list(cam_answers) or _explained_answers(run.tree)
    explained = [] if cam_layer == NO_MAPS else explained
    if explained and isinstance(trained.experiment.programs.model, Pair):
        explained = []
        run = _noted(run, "No activation maps: two networks answer together.")
    telling = telling_galaxies(run.targets.votes, run.tree, explained)
    errors = galaxy_errors(run.predictions.votes, run.targets.votes)
    shown = np.unique([*np.ravel(worst_and_best(errors, NUM_SHOWN)), *telling])
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
    """The second batch norm, else the second convolution, else the second layer.

    Deep enough to know shapes, and early enough to tell places apart.

    Args:
        names: of the layers, at least one, in the order of their work; those within
            another count too.
    """
    for kind in ("norm", "conv", ""):
        having = [name for name in names if name.split("/")[-1].startswith(kind)]
        if len(having) > 1:
            return having[1]
    return names[0]


def _command(run, trained) -> str:
    """The run's command, with the data where the config names none or others."""
    data, evaluated = trained.experiment.config.data, run.scores["data"]
    if evaluated in (data.dir, data.kind):
        return run.command
    command = run.command.removesuffix(" --data=FOLDER")
    return f"{command} {shlex.quote(f'--data={evaluated}')}"


def _load(trained: TrainedRun, run: RunReport, shown, data_dir, pixel_scale) -> dict:
    """A batch (:class:`gzjax.data.pipeline.LoadBatch`) of galaxies, as they lie."""
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


def _explained_answers(tree: Tree) -> list[str]:
    questions = {tree.questions[0].name, _EXPLAINED}
    return [name for name in tree.answer_names if name.split(".", 1)[0] in questions]


def _explain(
    trained: TrainedRun, tree: Tree, batch, answers, cam_layer
) -> tuple[str, list[list[ActivationMap]]]:
    """The layer, and for each galaxy of the batch a map of each answer."""
    experiment = trained.experiment
    config = experiment.config.copy_and_resolve_references()
    config.compute_dtype = ""  # rounding would pass for an effect of a channel
    model = make_model(config, tree.num_answers)
    variables = trained.state.eval_variables()
    view = config.view
    images = network_input(
        model,
        adjust_colour(
            batch["images"], batch["colour"], view.mean, view.std, config.dtype
        ),
    )
    layer = cam_layer or choose_layer(list(layer_shapes(model, variables, images)))
    rectified = _is_rectified(model, variables, images, layer)
    head = experiment.programs.head(trained.step)
    columns = []
    for answer in answers:
        say(f"{trained.workdir}: activation maps of {answer}")
        heat = ablation_cam(
            model, variables, images, answer, layer, tree, head, rectified
        )
        pixels = np.asarray(heat.pixels).reshape(len(images), -1, *images.shape[-3:-1])
        columns.append(
            [
                ActivationMap(answer, float(score), overlay(crop, hot), not hot.any())
                for score, crop, hot in zip(
                    heat.score, batch["images"][:, 0], pixels[:, 0], strict=True
                )
            ]
        )
    return layer, [list(row) for row in zip(*columns, strict=True)]


def _is_rectified(model, variables, images, layer) -> bool:
    """Whether a ReLU follows the layer; nothing reads its negative values then."""
    try:
        check_layer(model, variables, images, layer, rectified=True)
    except UserError:
        return False
    return True


def _noted(run, note):
    return dataclasses.replace(run, notes=(*run.notes, note))
