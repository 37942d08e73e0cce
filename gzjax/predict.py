"""Vote fractions for every galaxy of a split, once each and in order."""

import contextlib

import jax
import numpy as np
from jax.sharding import Mesh

from gzjax.data.pipeline import eval_batches
from gzjax.data.source import Source
from gzjax.progress import Progress
from gzjax.sharding import to_devices

MAX_VIEWS = 32  # of a galaxy, in a batch of full size: the host holds several batches


def predict(
    predict_step,
    variables: dict,
    source: Source,
    indices: np.ndarray,
    maps: np.ndarray,
    config,
    mesh: Mesh,
) -> np.ndarray:
    """float32 ``[n m a]`` vote fractions, the same for any batch size and device count.

    Args:
        predict_step: from :func:`gzjax.steps.make_predict_step`.
        variables: of the model.
        source: the images.
        indices: int ``[n]``, n ≥ 1.
        maps: ``[m 2 3]`` placements; each is one forward pass per galaxy.
        config: the run's; ``eval_batch_size`` is rounded up to what the devices share,
            and is cut down if a galaxy has more than ``MAX_VIEWS`` views in all maps.
        mesh: of the devices.
    """
    views = len(maps) * len(config.view.angles_deg)
    batch_size = config.eval_batch_size // -(-views // MAX_VIEWS)
    batch_size = max(1, -(-batch_size // mesh.size)) * mesh.size
    batches = eval_batches(
        source,
        indices,
        maps,
        batch_size,
        config,
        jax.process_index(),
        jax.process_count(),
    )
    results = []
    with (
        contextlib.closing(batches),
        Progress("predicting", len(indices)) as progress,
    ):
        for batch in to_devices(batches, mesh):
            results.append(predict_step(variables, batch["images"], batch["colour"]))
            if len(results) > 2:  # let the device run ahead, but not without bound
                results[-3] = np.asarray(results[-3])
            done = min(len(results) * batch_size, len(indices))
            progress.update(done, "galaxies")
    return np.concatenate([np.asarray(r) for r in results])[: len(indices)]
