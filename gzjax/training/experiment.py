"""Builds what a config stands for: devices, network, data, splits and programs."""

from collections.abc import Iterator

import jax
import numpy as np

from gzjax.data import make_source
from gzjax.data.averaging import AVERAGING_SETS
from gzjax.data.geometry import FRAME_PX, frame_px
from gzjax.data.sources.base import Source, pixel_scale_of
from gzjax.data.splits import split_by_id
from gzjax.data.warps import share_warps
from gzjax.metrics import dead_questions, rmse
from gzjax.progress import Progress, console, say
from gzjax.steps.compiled import Programs
from gzjax.steps.mesh import make_mesh
from gzjax.steps.state import TrainState
from gzjax.training.check_config import check_config
from gzjax.training.predict_batches import choose_batch_size, predict_batches
from gzjax.trees import Tree


class Experiment:
    """A config and what it stands for.

    Args:
        config: see ``configs/base.py``.
        tree: the labels' questions and answers.
        source: images instead of those that the config names; they are not split.

    Attributes:
        mesh: all devices.
        programs: the network, its phases of training, and their compiled programs.
        source: the images and votes.
        splits: ``train``, ``valid``, ``test`` → ascending positions in the source.
        frame_px: original pixels that the first image spans; the challenge's 424.

    Raises:
        UserError: the config is invalid, or the data are wrong.
    """

    def __init__(self, config, tree: Tree, source: Source | None = None):
        console.quiet = jax.process_index() > 0  # one process reports for all
        self.config, self.tree = config, tree
        self.mesh = make_mesh()
        self.programs = Programs(check_config(config), tree, self.mesh)
        self.source, self.splits, self.frame_px = source, {}, FRAME_PX
        if source is None:
            self.source = self._open_source()
            ids, targets = self.source.ids, self.source.targets
            self.splits = split_by_id(ids, targets, tree, config.split)

    def _open_source(self) -> Source:
        with Progress("checking images", 1) as bar:
            source = make_source(
                self.config, self.tree, lambda done, total: bar.update(done, "", total)
            )
        data, image = self.config.data, source.decode(0)
        height, width = image.shape[:2]
        pixel_scale = pixel_scale_of(source, image)
        self.frame_px = frame_px(image, pixel_scale)
        if self.frame_px != FRAME_PX:
            whole = FRAME_PX / (max(height, width) * data.decode_scale)
            whole = 0 if data.kind == "survey" else whole
            say(
                f"note: the first image has {width} x {height} px; at pixel_scale "
                f"{pixel_scale:g} that is not the {FRAME_PX} px frame of the "
                f"challenge. Copies of whole frames need pixel_scale={whole:g}"
            )
        return source

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
        results, done = [], 0
        with Progress("predicting", len(indices)) as progress:
            program = self.programs.predict_step(step)
            for votes, _ in self._batches(program, state, indices, warps):
                results.append(votes)
                done += len(votes)
                progress.update(min(done, len(indices)), "galaxies")
        return np.concatenate(results)[: len(indices), position]

    def predict_batches(
        self, state: TrainState, step: int, indices: np.ndarray, placements: np.ndarray
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yields them in batches of :meth:`batch_size`, with codes of bad images."""
        warps = share_warps(placements, self.config.view.angles_deg)
        program = self.programs.predict_step(step)
        return self._batches(program, state, indices, warps, keep_bad=True)

    def embed_batches(
        self, state: TrainState, indices: np.ndarray, placements: np.ndarray
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yields the features ``[b m f]`` of :mod:`gzjax.models.probes.embedding`."""
        warps = share_warps(placements, self.config.view.angles_deg)
        program = self.programs.embed_step
        return self._batches(program, state, indices, warps, keep_bad=True)

    def _batches(self, program, state, indices, warps, keep_bad=False):
        images, how = (self.source, indices, warps), (self.config, self.mesh, keep_bad)
        return predict_batches(program, state.eval_variables(), *images, *how)

    def batch_size(self, placements: np.ndarray) -> int:
        """Returns the number of galaxies in a batch of predictions."""
        warps = share_warps(placements, self.config.view.angles_deg)
        return choose_batch_size(self.config, warps, self.mesh)

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
