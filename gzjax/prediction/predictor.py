"""Runs as functions: ``gzjax.load(run)(images)`` → vote fractions with their names."""

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gzjax.data.averaging import averaging_set
from gzjax.data.familiar.wrong_kinds import KINDS
from gzjax.data.images.read_image import FLAGS
from gzjax.data.images.stretch import DEFAULT_STRETCH, Stretch, parse_stretch
from gzjax.data.sources.base import Source
from gzjax.data.sources.unlabelled import GivenImages, GivenSource
from gzjax.data.warps import share_warps
from gzjax.errors import UserError
from gzjax.evaluation.calibration.storage import Calibration, find_calibration
from gzjax.metrics.intervals import apply_intervals
from gzjax.prediction.runs import computing_change, source_like
from gzjax.training.open_run import open_run, read_run
from gzjax.training.run_files import DEFAULT

if TYPE_CHECKING:
    from gzjax.training.experiment import Experiment


@dataclasses.dataclass(frozen=True, eq=False)
class Votes:
    """Predictions for n images.

    Attributes:
        votes: float32 ``[n a]``, vote fractions in [0, 1]: of all volunteers, how many
            gave the answer. NaN where an image cannot be used.
        names: a names of the answers, ``"question.answer"``.
        columns: a names of the answers in the labels' catalogue.
        flags: n :data:`gzjax.data.images.read_image.FLAGS`: ``"ok"``, or why not.

    These are None unless the run has a calibration (``gzjax calibrate``):

    Attributes:
        unlike: float32 ``[n]`` in [0, 1], how unlike the training galaxies the images
            are; more than 0.5 is not familiar. NaN where an image cannot be used.
        resembles: n words: what an image that is not familiar resembles, or "".
        low: ``[n a]``, the lower ends of the 90 % intervals of the true fractions.
        high: ``[n a]``, the upper ends.
    """

    votes: np.ndarray
    names: tuple[str, ...]
    columns: tuple[str, ...]
    flags: tuple[str, ...]
    unlike: np.ndarray | None = None
    resembles: tuple[str, ...] | None = None
    low: np.ndarray | None = None
    high: np.ndarray | None = None

    def to_dict(self) -> dict[str, np.ndarray]:
        """Returns float32 ``[n]`` by name."""
        return dict(zip(self.names, self.votes.T, strict=True))

    def __getitem__(self, name: str) -> np.ndarray:
        """Returns float32 ``[n]`` of one answer; a KeyError lists the known names."""
        if name not in self.names:
            raise KeyError(f"no answer '{name}'; there are: {', '.join(self.names)}")
        return self.votes[:, self.names.index(name)]


class Predictor:
    """A trained network; made by :func:`load`.

    Programs are compiled on use, one for each averaging set and size of batch; the
    sizes are powers of two up to ``config.eval_batch_size``.

    Attributes:
        names: see :class:`Votes`, also for ``columns``.
        run: its description (:func:`gzjax.training.identity.describe_run`).
        step: updates made in its training.
        variables: ``{"params": ..., "batch_stats": ...}``.
        experiment: what the config stands for, without images of its own.
        calibration: what ``gzjax calibrate`` measured; None if it was not run.
    """

    def __init__(
        self,
        experiment: "Experiment",
        variables: dict,
        step: int,
        run: dict,
        calibration: Calibration | None = None,
    ):
        self.names = experiment.tree.answer_names
        self.columns = experiment.tree.columns
        self.config, self.run, self.step = experiment.config, run, step
        self.variables, self.experiment = variables, experiment
        self.calibration = calibration

    @functools.cached_property
    def num_features(self) -> int:
        """Returns f of :meth:`embed`."""
        from gzjax.models.probes.embedding import num_features

        model = self.experiment.programs.model
        return num_features(model, len(self.config.view.angles_deg))

    def __call__(
        self,
        images: np.ndarray | Sequence,
        *,
        averaging: str = "",
        pixel_scale: float | None = None,
        stretch: str = DEFAULT_STRETCH,
    ) -> Votes:
        """Predicts images: the numbers of ``gzjax predict``, to float error.

        Args:
            images: uint8 RGB ``[n h w 3]``; or a list of arrays ``[h w 3]`` and paths
                of files, of any sizes and of the formats of ``gzjax predict``.
            averaging: see :func:`gzjax.data.averaging.averaging_set`; "" for the run's
                own.
            pixel_scale: original px per px; None if the longer side of each image spans
                the challenge's 424 px frame, about 8.5 Petrosian radii R90.
            stretch: how values become pixels in FITS and other images without a range
                of their own, see :func:`gzjax.data.images.stretch.parse_stretch`.

        Raises:
            UserError: an image or an argument is invalid.
        """
        program = self.experiment.programs.predict_step(self.step)
        values, flags, unlike = self._run(
            program, images, averaging, pixel_scale, stretch
        )
        votes = np.clip(values.reshape(-1, len(self.names)), 0, 1)  # of no image too
        votes = Votes(votes, self.names, self.columns, flags)
        if self.calibration is None:
            return votes
        low, high = apply_intervals(self.calibration.intervals, votes.votes)
        is_bad, kinds = np.isnan(votes.votes[:, 0]), unlike[:, 1].astype(int)
        return dataclasses.replace(
            votes,
            unlike=np.where(is_bad, np.nan, unlike[:, 0]),
            resembles=tuple(np.array(KINDS)[np.where(is_bad, 0, kinds)].tolist()),
            low=low,
            high=high,
        )

    def embed(
        self,
        images: np.ndarray | Sequence,
        *,
        averaging: str = "",
        pixel_scale: float | None = None,
        stretch: str = DEFAULT_STRETCH,
    ) -> np.ndarray:
        """Returns the last features (:mod:`gzjax.models.probes.embedding`).

        They are float32 ``[n f]``, averaged over the averaging set; NaN where an image
        cannot be used. The arguments are those of a call.
        """
        program = self.experiment.programs.embed_step
        features, *_ = self._run(program, images, averaging, pixel_scale, stretch)
        return features.reshape(-1, self.num_features)

    def _run(self, program, images, averaging, pixel_scale, stretch):
        """Returns float32 ``[n ...]``, the mean over the placements; flags; ``[n 2]``.

        The last says how unlike the training galaxies the images are.
        """
        from gzjax.training.experiment import run_batches

        found = self.calibration
        placements = averaging_set(averaging or self.config.averaging)
        parsed, given = parse_stretch(stretch), GivenImages(images)
        source = source_like(self.run, given, pixel_scale, parsed, GivenSource)
        if not (n := len(given)):
            return np.zeros((0, 0), np.float32), (), np.zeros((0, 2), np.float32)
        config = self.config.copy_and_resolve_references()
        config.eval_batch_size = min(config.eval_batch_size, 1 << (n - 1).bit_length())
        batches = run_batches(
            program,
            self.variables,
            source,
            np.arange(n),
            share_warps(placements, config.view.angles_deg),
            config,
            self.experiment.mesh,
            keep_bad=True,
            reference=found.reference if found else None,
        )
        means = [
            (np.float32(values.mean(axis=1, dtype=np.float64)), *of_host)
            for values, *of_host in batches
        ]
        values, bad, unlike = (np.concatenate(x)[:n] for x in zip(*means, strict=True))
        values[bad != 0] = np.nan
        return values, tuple(FLAGS[code] for code in bad), unlike


def load(
    path: str | Path = DEFAULT, checkpoint: str = "newest", dtype: str = ""
) -> Predictor:
    """Opens a trained network, to predict with.

    Args:
        path: the folder of a training run, or one that ``export --kind=safetensors``
            wrote, or the name of a network that comes with the package.
        checkpoint: which one of a run: "newest", "best" (by validation RMSE) or a step.
        dtype: "float32" or "bfloat16", of convolutions and dense layers; "": the run's
            own.

    Raises:
        UserError: the network is missing, damaged or not of gzjax.
    """
    path = Path(path).expanduser()
    if path.is_file():
        raise UserError(
            f"{path} is a file: give the folder of a run or an export of weights. "
            "A program of export is opened by jax.export.deserialize"
        )
    saved = read_run(path, checkpoint)
    calibration = find_calibration(saved)
    trained = open_run(saved, computing_change(dtype), _no_images)
    variables = trained.state.eval_variables()
    return Predictor(
        trained.experiment, variables, trained.step, trained.run, calibration
    )


def _no_images(run: dict) -> Source:
    return source_like(run, GivenImages([]), None, Stretch(), GivenSource)
