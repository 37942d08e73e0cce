"""Measures every layer's error over galaxies, for each change of the raw image."""

import functools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import jax
import numpy as np

from gzjax.data.geometry import place, with_views
from gzjax.data.pipeline import LoadBatch
from gzjax.errors import UserError
from gzjax.models import network_input
from gzjax.models.layers import GroupBatchNorm
from gzjax.models.probes.equivariance import (
    compare,
    error_of,
    layer_calls,
    layer_table,
    reduce_calls,
)
from gzjax.models.probes.layer_maps import Call
from gzjax.ops.colour import adjust_colour
from gzjax.ops.compiler import compiler_options
from gzjax.ops.heads import HEADS
from gzjax.progress import Progress

VOTES = "vote fractions"
EXACT, BETWEEN, OTHER = "exact", "between", "other"


class Change(NamedTuple):
    """A change of the raw image.

    Attributes:
        kind: ``EXACT`` for quarter turns and mirror images, ``BETWEEN`` for other
            angles; ``OTHER`` for zooms and shifts, which change features honestly.
        placement: ``[2 3]`` (:func:`gzjax.data.geometry.place`).
    """

    name: str
    kind: str
    placement: np.ndarray


class Layer(NamedTuple):
    """A layer and its errors, by change.

    Attributes:
        call: its module, and the shapes of its input and output.
        before: the error of what enters it.
        error: that of what it returns.
    """

    call: Call
    before: dict[str, float]
    error: dict[str, float]


def make_changes(
    angles_deg: Sequence[float], zooms: Sequence[float], shifts_px: Sequence[float]
) -> list[Change]:
    """Returns turns, then the mirror image, zooms, and shifts to the right."""
    turns = [
        Change(f"{angle:g}°", BETWEEN if angle % 90 else EXACT, place(angle))
        for angle in angles_deg
    ]
    return [
        *turns,
        Change("mirror", EXACT, place(mirror=True)),
        *(Change(f"zoom {zoom:g}", OTHER, place(zoom=zoom)) for zoom in zooms),
        *(
            Change(f"shift {shift:g}", OTHER, place(shift_px=(-shift, 0.0)))
            for shift in shifts_px
        ),
    ]


def measure(
    experiment,
    networks: Sequence[dict],
    step: int,
    indices: np.ndarray,
    changes: Sequence[Change],
) -> list[Layer]:
    """Returns the layers in order, "view" first and the vote fractions last.

    Turns and mirror images are judged by the means over rings, zooms and shifts by
    those over all pixels. Several networks' errors are averaged in squares.

    Args:
        experiment: a :class:`gzjax.training.experiment.Experiment`.
        networks: the variables of one network or several.
        step: the updates that they have had, which choose the head.
        indices: positions of at least 2 galaxies in the source.

    Raises:
        UserError: the images do not differ, or a layer gives numbers that are not
            finite (names the first).
    """
    model, tree = experiment.programs.model, experiment.tree
    head = HEADS[experiment.programs.head(step)]

    @functools.partial(jax.jit, compiler_options=compiler_options())
    def reduce(variables, images):
        calls = layer_calls(model, variables, images, train=False)
        logits = calls[-1].output
        votes = Call(VOTES, model, logits, head(logits, tree)[1])
        return reduce_calls([*calls, votes], len(images))

    parts: np.ndarray | float = 0.0
    differ = False
    with Progress("measuring layers", len(indices)) as bar:
        for done, before, after in _batches(experiment, indices, changes):
            differ |= bool(np.ptp(before, axis=0).any())
            parts = parts + np.stack(
                [_parts_of(reduce, variables, before, after) for variables in networks]
            )
            bar.update(done, "galaxies")
    if not differ:
        raise UserError("the images do not differ: give others (--data, --split)")
    # [change layer (input, output) (rings, space)]
    errors = np.sqrt(np.mean(error_of(parts) ** 2, axis=0))
    errors = np.stack(
        [errors[m, ..., int(c.kind == OTHER)] for m, c in enumerate(changes)]
    )
    errors[:, 0, 0] = 0  # nothing is before the view
    calls = layer_table(model, networks[0], before, train=False)
    calls.append(calls[-1]._replace(name=VOTES))
    names = [change.name for change in changes]
    for i, call in enumerate(calls):
        if not np.isfinite(errors[:, i]).all():
            raise UserError(
                f"{call.name} gives numbers that are not finite: look at its weights "
                "and at the sizes of its input and filter"
            )
    return [
        Layer(
            call, *(dict(zip(names, x.tolist(), strict=True)) for x in errors[:, i].T)
        )
        for i, call in enumerate(calls)
    ]


def fresh_networks(experiment, num_seeds: int, indices: np.ndarray) -> list[dict]:
    """Returns the variables of untrained networks, from ``config.seed`` on.

    Batch norms get the statistics of the galaxies: those of a fresh one would leave
    the layers' outputs too small to be told apart.
    """
    model, config = experiment.programs.model, experiment.config
    _, images, _ = next(_batches(experiment, indices, []))
    momentum = GroupBatchNorm.momentum

    @functools.partial(jax.jit, compiler_options=compiler_options(once=True))
    def make(key):
        variables = model.init(key, images[:1], train=False)
        if "batch_stats" not in variables:
            return variables
        _, moved = model.apply(
            variables,
            images,
            train=True,
            mutable=["batch_stats"],
            rngs={"dropout": key},
        )
        # A step keeps a share of the old statistics; this takes it out again.
        stats = jax.tree.map(
            lambda old, new: (new - momentum * old) / (1 - momentum),
            variables["batch_stats"],
            moved["batch_stats"],
        )
        return {"params": variables["params"], "batch_stats": stats}

    return [make(jax.random.key(config.seed + i)) for i in range(num_seeds)]


def _parts_of(reduce, variables, before, after) -> np.ndarray:
    """Returns ``[change layer (input, output) (rings, space) 2]``."""
    unchanged = reduce(variables, before)
    return np.stack(
        [np.array(compare(unchanged, reduce(variables, images))) for images in after]
    )


def _batches(
    experiment, indices: np.ndarray, changes: Sequence[Change]
) -> Iterator[tuple[int, np.ndarray, list[np.ndarray]]]:
    """Yields batches of at least two galaxies: how many are done, unchanged, changed.

    The images are what the network takes, normalised.
    """
    config, model = experiment.config, experiment.programs.model
    view, done = config.view, 0
    placements = np.stack([place(), *(change.placement for change in changes)])
    warps = with_views(placements, view.angles_deg)  # [m v 2 3]
    load = LoadBatch(
        experiment.source, view, None, config.seed, warps.reshape(-1, 2, 3)
    )
    size = min(len(indices), max(2, config.eval_batch_size))
    for batch in np.array_split(indices, len(indices) // size):
        loaded, done = load.map((batch, batch)), done + len(batch)
        normalised = adjust_colour(
            loaded["images"], loaded["colour"], view.mean, view.std, config.dtype
        )
        images = np.asarray(normalised).reshape(
            len(batch), *warps.shape[:2], *normalised.shape[2:]
        )
        before, *after = (
            np.asarray(network_input(model, images[:, m])) for m in range(len(warps))
        )
        yield done, before, after
