"""Builds what a config stands for: devices, network, data, splits and programs."""

import contextlib
from collections.abc import Iterator

import jax
import numpy as np
from jax.sharding import Mesh

from gzjax.data import make_source
from gzjax.data.averaging import AVERAGING_SETS
from gzjax.data.familiar.classifier import Reference
from gzjax.data.geometry import FRAME_PX, frame_px
from gzjax.data.pipeline import eval_batches
from gzjax.data.sources.base import Source
from gzjax.data.splits import split_by_id
from gzjax.data.warps import SharedWarps, share_warps
from gzjax.metrics import dead_questions, rmse
from gzjax.progress import Progress, console, say
from gzjax.steps.compiled import Programs
from gzjax.steps.mesh import make_mesh, to_devices
from gzjax.steps.state import TrainState
from gzjax.training.check_config import check_config
from gzjax.trees import Tree

MAX_WARPS = 40  # of a galaxy, in a batch of full size: the host holds several batches
_AHEAD = 2  # batches that the device works on while the host waits for none


class Experiment:
    """A config and what it stands for.

    Args:
        source: images instead of those that the config names; they are not split.
        to_train: whether the devices here are to train it.

    Attributes:
        leads: whether this is the process that reports and writes for all.
        programs: the network, its phases of training, and their compiled programs.
        source: the images and votes.
        splits: ``train``, ``valid``, ``test`` → ascending positions in the source.
        frame_px: original pixels that the first image spans; the challenge's 424.

    Raises:
        UserError: the config is invalid, or the data are wrong.
    """

    def __init__(
        self, config, tree: Tree, source: Source | None = None, to_train: bool = False
    ):
        self.leads = jax.process_index() == 0
        console.quiet = not self.leads
        self.config, self.tree = config, tree
        self.mesh = make_mesh()
        phases = check_config(config, self.mesh.size if to_train else 0)
        self.programs = Programs(phases, tree, self.mesh)
        self.source, self.splits, self.frame_px = source, {}, FRAME_PX
        if source is None:
            with Progress("checking images", 1) as bar:
                self.source = make_source(
                    self.config, self.tree, lambda done, n: bar.update(done, "", n)
                )
            image, pixel_scale = self.source.decode(0), self.source.pixel_scale
            if pixel_scale is not None:  # else each image spans the challenge's frame
                self.frame_px = frame_px(image, pixel_scale)
            if self.frame_px != FRAME_PX:
                say(_frame_note(image.shape, pixel_scale, self.config.data))
            ids, targets = self.source.ids, self.source.targets
            self.splits = split_by_id(ids, targets, tree, config.split)

    def predict(
        self,
        state: TrainState,
        step: int,
        indices: np.ndarray,
        placements: np.ndarray,
        on_device: np.ndarray | bool = True,
    ) -> np.ndarray:
        """Returns float32 ``[n m a]``: vote fractions after ``step`` updates.

        See :func:`gzjax.data.warps.share_warps` for the last two arguments.
        """
        shared = share_warps(placements, self.config.view.angles_deg, on_device)
        warps, position = shared.once_each()
        program = self.programs.predict_step(step)
        results, done = [], 0
        with Progress("predicting", len(indices)) as progress:
            for votes, *_ in self._batches(program, state, indices, warps):
                results.append(votes)
                done += len(votes)
                progress.update(min(done, len(indices)), "galaxies")
        return np.concatenate(results)[: len(indices), position]

    def predict_batches(
        self,
        program,
        state: TrainState,
        indices: np.ndarray,
        placements: np.ndarray,
        reference: Reference | None = None,
    ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Yields :func:`run_batches` of images some of which may be bad."""
        warps = share_warps(placements, self.config.view.angles_deg)
        return self._batches(program, state, indices, warps, True, reference)

    def _batches(self, program, state, indices, warps, keep_bad=False, reference=None):
        return run_batches(
            program,
            state.eval_variables(),
            self.source,
            indices,
            warps,
            self.config,
            self.mesh,
            keep_bad,
            reference,
        )

    def batch_size(self, placements: np.ndarray) -> int:
        """Returns the number of galaxies in a batch of predictions."""
        warps = share_warps(placements, self.config.view.angles_deg)
        return _batch_size(self.config, warps, self.mesh)

    def valid_rmse(self, state: TrainState, step: int) -> float:
        """Returns the RMSE on the validation split, without averaging.

        It reports which questions are dead.
        """
        valid = self.splits["valid"]
        votes = self.predict(state, step, valid, AVERAGING_SETS["none"])[:, 0]
        dead = dead_questions(votes, self.tree)
        if dead:
            say(
                f"note: step {step} answers {', '.join(dead)} with 0 for every galaxy: "
                "dead under the head. A smaller config.learning_rate or dropout, or a "
                "longer config.head_warmup_steps, keeps them alive"
            )
        return rmse(votes, self.source.targets[valid])


def run_batches(
    program,
    variables: dict,
    source: Source,
    indices: np.ndarray,
    warps: SharedWarps,
    config,
    mesh: Mesh,
    keep_bad: bool = False,
    reference: Reference | None = None,
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yields the program's ``[b m ...]`` and what the host found, batch by batch.

    That is the codes of bad images and how unlike the reference's all images are.

    Args:
        program: a predict or embed step of :class:`gzjax.steps.compiled.Programs`.
        indices: int ``[n]``, n ≥ 1; each runs once, in this order.
        warps: m placements; each is one forward pass per galaxy.
        keep_bad: whether images may be bad. If so the codes are uint8 ``[b]``, 0 for a
            good image (:class:`gzjax.data.pipeline.LoadBatch`); if not they are empty.
        reference: if given, the third array is ``unlike`` of the same class, float32
            ``[b 2]``; if not it is empty.
    """
    batches = eval_batches(
        source,
        indices,
        warps.placements,
        _batch_size(config, warps, mesh),
        config,
        process_index=jax.process_index(),
        num_processes=jax.process_count(),
        keep_bad=keep_bad,
        reference=reference,
    )
    under_way = []
    with contextlib.closing(batches):
        for batch in to_devices(batches, mesh):
            results = program(
                variables, batch["images"], batch["colour"], warps.warp, warps.element
            )
            found = (batch.get(name, ()) for name in ("bad", "unlike"))
            under_way.append((results, *found))
            if len(under_way) > _AHEAD:
                yield tuple(map(np.asarray, under_way.pop(0)))
    for results in under_way:
        yield tuple(map(np.asarray, results))


def _batch_size(config, warps: SharedWarps, mesh: Mesh) -> int:
    """Returns ``config.eval_batch_size``, cut for many warps, fit for the devices."""
    batch_size = config.eval_batch_size // -(-len(warps.placements) // MAX_WARPS)
    return max(1, -(-batch_size // mesh.size)) * mesh.size


def _frame_note(shape, pixel_scale: float, data) -> str:
    height, width = shape[:2]
    whole = FRAME_PX / (max(height, width) * data.decode_scale)
    whole = 0 if data.kind == "survey" else whole
    return (
        f"note: the first image has {width} x {height} px; at pixel_scale "
        f"{pixel_scale:g} that is not the {FRAME_PX} px frame of the challenge. Copies "
        f"of whole frames need pixel_scale={whole:g}"
    )
