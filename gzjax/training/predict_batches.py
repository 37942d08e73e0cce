"""Vote fractions or features for galaxies, once each and in order."""

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
    """``config.eval_batch_size``, rounded up to what the devices share.

    It is cut down before, if a galaxy needs more than ``MAX_WARPS`` warps.
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
        predict_step: from :func:`gzjax.steps.steps.make_predict_step` or
            ``make_embed_step``.
        variables: of the model.
        source: the images.
        indices: int ``[n]``, n ≥ 1.
        warps: of m placements; each is one forward pass per galaxy.
        config: the run's.
        mesh: of the devices.
        keep_bad: whether images may be bad; codes are uint8 ``[b]``, 0 where one is
            not (:class:`gzjax.data.pipeline.LoadBatch`). If not, they are empty.
    """
    batches = eval_batches(
        source,
        indices,
        warps.placements,
        choose_batch_size(config, warps, mesh),
        config,
        jax.process_index(),
        jax.process_count(),
        keep_bad,
    )
    under_way = []
    with contextlib.closing(batches):
        for batch in to_devices(batches, mesh):
            votes = predict_step(
                variables,
                batch["images"],
                batch["colour"],
                warps.warp,
                warps.element,
            )
            under_way.append((votes, batch.get("bad", ())))
            if len(under_way) > _AHEAD:
                yield tuple(map(np.asarray, under_way.pop(0)))
    for results in under_way:
        yield tuple(map(np.asarray, results))
