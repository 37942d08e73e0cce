"""Runs galaxies through a compiled program, once each and in order."""

import contextlib
from collections.abc import Iterator

import jax
import numpy as np
from jax.sharding import Mesh

from gzjax.data.pipeline import eval_batches
from gzjax.data.sources.base import Source
from gzjax.data.warps import SharedWarps
from gzjax.steps.mesh import to_devices

MAX_WARPS = 40  # of a galaxy, in a batch of full size: the host holds several batches
_AHEAD = 2  # batches that the device works on while the host waits for none


def choose_batch_size(config, warps: SharedWarps, mesh: Mesh) -> int:
    """Returns ``config.eval_batch_size``, rounded up to what the devices share.

    It is cut down before that if a galaxy needs more than ``MAX_WARPS`` warps.
    """
    batch_size = config.eval_batch_size // -(-len(warps.placements) // MAX_WARPS)
    return max(1, -(-batch_size // mesh.size)) * mesh.size


def predict_batches(
    predict_step,
    variables: dict,
    source: Source,
    indices: np.ndarray,
    warps: SharedWarps,
    config,
    mesh: Mesh,
    keep_bad: bool = False,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields the program's ``[b m ...]`` and the codes of bad images, batch by batch.

    Args:
        predict_step: made by :func:`gzjax.steps.steps.make_predict_step` or
            ``make_embed_step``.
        variables: the model's.
        source: the images.
        indices: int ``[n]``, n ≥ 1.
        warps: m placements; each is one forward pass per galaxy.
        config: the run's.
        mesh: the devices.
        keep_bad: whether images may be bad. If so the codes are uint8 ``[b]``, 0 for a
            good image (:class:`gzjax.data.pipeline.LoadBatch`); if not they are empty.
    """
    batch_size = choose_batch_size(config, warps, mesh)
    process = jax.process_index(), jax.process_count()
    placements = warps.placements
    batches = eval_batches(
        source, indices, placements, batch_size, config, *process, keep_bad
    )
    under_way = []
    with contextlib.closing(batches):
        for batch in to_devices(batches, mesh):
            inputs = batch["images"], batch["colour"], warps.warp, warps.element
            votes = predict_step(variables, *inputs)
            under_way.append((votes, batch.get("bad", ())))
            if len(under_way) > _AHEAD:
                yield tuple(map(np.asarray, under_way.pop(0)))
    for results in under_way:
        yield tuple(map(np.asarray, results))
