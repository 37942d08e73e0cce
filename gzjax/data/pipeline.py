"""The Grain pipeline: batches of indices in, uint8 views and votes out.

One map loads, draws, warps and stacks a whole batch. The stream of training examples
is a function of the seed alone: which galaxy stands at position n, and how it is placed
and coloured, does not depend on batch size, workers, processes or where a run was
resumed.
"""

import dataclasses
import functools
import os
import sys

import cv2
import grain
import numpy as np
from absl import flags

from gzjax.data.augment import (
    UNCHANGED_COLOUR,
    colour_matrices,
    random_colour_shifts,
    random_colours,
    random_placements,
)
from gzjax.data.draws import shuffled
from gzjax.data.familiar.classifier import Reference
from gzjax.data.familiar.statistics import SIZE_PX, crop
from gzjax.data.geometry import compose, pixel_matrix, view_matrix, warp, with_views
from gzjax.data.images.decode_jpeg import BadImageError
from gzjax.data.sources.base import Source, pixel_scale_of
from gzjax.data.workers import num_cores, ready_worker
from gzjax.errors import UserError


@dataclasses.dataclass(frozen=True)
class LoadBatch:
    """Loads a batch, a dict of arrays, for ``(positions [b], indices [b])``.

    * ``images``: uint8 ``[b v h w c]``, v views of the config, or else v warps, each
      rounded as :func:`gzjax.data.geometry.warp` says; with ``twice`` the views of the
      galaxy, then those of the same galaxy turned and mirrored anew;
    * ``colour``: float32 ``[b 3 4]``, to be applied on the device;
    * ``targets``: float32 ``[b a]``.

    With ``keep_bad``, an image that cannot be decoded is black, and there is a further
    array ``bad``: uint8 ``[b]``, 0 or the reason's code. With a ``reference`` there is
    ``unlike``: float32 ``[b 2]``, the two arrays of
    :class:`gzjax.data.familiar.classifier.Familiarity`.
    """

    source: Source
    view: object  # ``config.view``
    augment: object | None  # ``config.augment`` for training; None: see ``warps``
    seed: int
    warps: np.ndarray | None = None  # [v 2 3] fixed placements if nothing is augmented
    keep_bad: bool = False
    twice: bool = False
    reference: Reference | None = None

    def map(self, element):
        """Loads the batch; see the class."""
        positions, indices = element
        if self.augment is None:
            placements = np.broadcast_to(self.warps, (len(indices), *self.warps.shape))
            colours, shifts = np.broadcast_to(UNCHANGED_COLOUR, (len(indices), 4)), 0.0
        else:
            draw = (self.augment, self.seed, positions)
            # One draw for all views: the view's own turn comes first.
            placements = np.concatenate(
                [
                    with_views(random_placements(*draw, anew), self.view.angles_deg)
                    for anew in (False, True)[: 1 + self.twice]
                ],
                axis=1,
            )
            colours, shifts = random_colours(*draw), random_colour_shifts(*draw)
        images, bad, crops = self._views(indices, placements)
        mean_rgb = np.zeros((len(images), 3))
        if (colours[:, 1] != 1).any():  # contrast alone asks for it
            mean_rgb = np.array([cv2.mean(views[0])[:3] for views in images]) / 255
        batch = {
            "images": images,
            "colour": colour_matrices(colours, mean_rgb, shifts),
            "targets": self.source.targets[indices],
        }
        if self.reference:
            familiarity = self.reference.judge(crops)
            batch["unlike"] = np.stack(familiarity, axis=1, dtype=np.float32)
        return batch | ({"bad": bad} if self.keep_bad else {})

    def _views(self, indices, placements):
        """Returns uint8 ``[b v h w c]``, black for bad images, and codes ``[b]``.

        Also returns the crops that the reference judges, uint8 ``[b h w c]``.
        """
        view = self.view
        matrices = view_matrix(
            placements, view.size_px * view.samples, view.scale / view.samples
        )
        shape = (*matrices.shape[:2], view.size_px, view.size_px, 3)
        images = np.empty(shape, np.uint8)
        bad = np.zeros(len(indices), np.uint8)
        crops = np.zeros((len(indices), SIZE_PX, SIZE_PX, 3), np.uint8)
        # One after the other: an image is warped while the caches still hold it.
        for n, index in enumerate(indices.tolist()):
            try:
                image = self.source.decode(index)
            except BadImageError as error:
                if not self.keep_bad:
                    raise
                images[n], bad[n] = 0, error.code
                continue
            matrix, placement = matrices[n], self.source.placement(index, image)
            if placement is not None:
                matrix = compose(placement, matrix)
            pixel_scale = pixel_scale_of(self.source, image)
            if self.reference:
                crops[n] = crop(image, pixel_scale, placement)
            matrix = pixel_matrix(matrix, pixel_scale, image.shape[:2])
            warp(image, matrix, view.size_px, view.samples, images[n])
        return images, bad, crops


def train_batches(
    source: Source,
    indices: np.ndarray,
    config,
    start_step: int,
    process_index: int = 0,
    num_processes: int = 1,
):
    """Returns the batches of steps ``start_step .. num_train_steps - 1``.

    Each of ``num_processes``, which must divide the number of rows, gets an equal share
    of the rows of every batch, in order. A row is an image, or with
    ``config.loss_consistency`` two of one galaxy. ``indices`` int ``[n]`` are the
    training split.

    Returns:
        A generator of :class:`LoadBatch`'s dicts; close it to end the workers.
    """
    twice = config.loss_consistency > 0
    rows = config.batch_size // (1 + twice)
    local = rows // num_processes
    mine = slice(process_index * local, (process_index + 1) * local)
    load = LoadBatch(source, config.view, config.augment, config.seed, twice=twice)

    def load_step(step):
        positions = np.arange(step * rows, (step + 1) * rows)[mine]
        return load.map((positions, indices[shuffled(config.seed, positions, n)]))

    n = len(indices)
    steps = grain.MapDataset.range(start_step, config.num_train_steps)
    return _iterate(steps.map(load_step), config.data)


def eval_batches(
    source: Source,
    indices: np.ndarray,
    warps: np.ndarray,
    batch_size: int,
    config,
    process_index: int = 0,
    num_processes: int = 1,
    keep_bad: bool = False,
    reference: Reference | None = None,
):
    """Returns batches that hold every galaxy of ``indices`` once, in order.

    The last batch is filled up with the last galaxy: keep the first ``len(indices)``
    rows. ``indices`` are int ``[n]``, n ≥ 1; ``batch_size`` is that of all processes
    together; for the arguments from ``warps`` on see :class:`LoadBatch`.
    """
    padded = np.pad(indices, (0, -len(indices) % batch_size), mode="edge")
    batches = padded.reshape(-1, num_processes, batch_size // num_processes)
    load = LoadBatch(
        source, config.view, None, config.seed, warps, keep_bad, reference=reference
    )
    dataset = grain.MapDataset.source(batches[:, process_index]).map(
        lambda rows: load.map((rows, rows))
    )
    return _iterate(dataset, config.data)


def _iterate(dataset, data):
    if not flags.FLAGS.is_parsed():  # Grain asks absl; a notebook never parsed
        flags.FLAGS.mark_as_parsed()
    # JPEG decoding and warping release the lock of Python's threads.
    num_threads = data.num_threads or max(1, num_cores() // max(1, data.num_workers))
    # Elements are whole batches: Grain's default would buffer 500 of them.
    options = grain.ReadOptions(
        num_threads=num_threads, prefetch_buffer_size=num_threads + 2
    )
    dataset = dataset.to_iter_dataset(options)
    if data.num_workers:
        _mute_tracker()
        dataset = dataset.mp_prefetch(
            grain.MultiprocessingOptions(data.num_workers, per_worker_buffer_size=2),
            worker_init_fn=functools.partial(_init_worker, os.getpid()),
        )
    return _guard(iter(dataset))


def _mute_tracker() -> None:
    # Batches that lie ready when a run stops are in shared memory, which Python's
    # tracker process frees at the end; it would call them leaks.
    muted, given = "ignore:resource_tracker", os.environ.get("PYTHONWARNINGS", "")
    if muted not in given:
        os.environ["PYTHONWARNINGS"] = ",".join(filter(None, [given, muted]))


def _guard(batches):
    try:
        yield from batches
    except RuntimeError as error:
        if "Worker process was terminated" not in str(error):
            raise
        raise UserError(
            f"a loader process died, perhaps for want of memory ({error}). The same "
            "command resumes from the newest checkpoint; fewer "
            "config.data.num_workers need less"
        ) from error
    finally:
        batches.close()


def _init_worker(parent: int, worker_index: int, worker_count: int) -> None:
    """Keeps a worker from taking the accelerator and from outliving ``parent``."""
    os.environ["JAX_PLATFORMS"] = "cpu"
    if "jax" in sys.modules:  # Grain imports it, and it has read the variable
        sys.modules["jax"].config.update("jax_platforms", "cpu")
    ready_worker(parent)
