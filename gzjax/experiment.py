"""Everything that a config decides before the first step of training or evaluation."""

import bisect
import functools
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np

from gzjax.averaging import AVERAGING_SETS, averaging_set
from gzjax.data import make_source
from gzjax.data.geometry import FRAME_PX, frame_px
from gzjax.data.shared_warps import share_warps
from gzjax.data.source import Source, pixel_scale_of
from gzjax.data.splits import split_by_id
from gzjax.errors import UserError
from gzjax.losses import FOCAL, LOSS_NAMES
from gzjax.metrics import rmse
from gzjax.models import make_model
from gzjax.models.pair import Pair
from gzjax.ops.heads import HEADS
from gzjax.optim import check_max_norm, make_optimizer
from gzjax.phases import Phase, make_phases
from gzjax.predict import choose_batch_size, predict_batches
from gzjax.progress import Progress, console, say
from gzjax.sharding import make_mesh, replicated
from gzjax.steps import make_predict_step, make_train_step
from gzjax.train_state import TrainState, make_train_state, restart
from gzjax.trees import Tree


class Experiment:
    """A config and what it stands for: devices, network, data, splits and programs.

    Args:
        config: see ``configs/base.py``.
        tree: of the labels.
        source: images instead of those that the config names; they are not split.

    Attributes:
        phases: of the training, at least one (:mod:`gzjax.phases`).
        model: the network; phases may differ in what it does in training.
        source: the images and votes.
        splits: ``train``, ``valid``, ``test`` → ascending positions in the source.
        frame_px: original pixels that the first image spans; the challenge's 424.

    Raises:
        UserError: the config cannot be, or the data are wrong.
    """

    def __init__(self, config, tree: Tree, source: Source | None = None):
        self.config, self.tree = config, tree
        console.quiet = jax.process_index() > 0  # one process speaks for all
        self.mesh = make_mesh()
        self._check()
        self.phases = make_phases(config)
        for phase in self.phases:
            self._check_phase(phase.config)
        self.model = make_model(config, tree.num_answers)
        self._models = [make_model(p.config, tree.num_answers) for p in self.phases]
        self._optimizers = [make_optimizer(phase.config) for phase in self.phases]
        check_max_norm(self.abstract_state().params, config.max_norm)
        self._check_networks()
        self.source, self.splits, self.frame_px = source, {}, FRAME_PX
        if source is None:
            self.source = self._open_source()
            self.splits = split_by_id(
                self.source.ids, self.source.targets, tree, config.split
            )

    def _check(self):
        config = self.config
        _check_known("dtype", config.dtype, ("float32", "float64"))
        averaging_set(config.averaging)
        if config.init_keep_head and not config.init_from:
            raise UserError("config.init_keep_head: give config.init_from, too")
        for key in ("eval_batch_size", "log_every_steps",
                    "eval_every_steps", "checkpoint_every_steps"):  # fmt: skip
            if config[key] < 1:
                raise UserError(f"config.{key} is {config[key]}, not at least 1")
        for key, value in config.view.items():
            numbers = value if isinstance(value, list | tuple) else [value]
            if not numbers or not all(isinstance(x, int | float) for x in numbers):
                raise UserError(f"config.view.{key} is {value}: give at least 1 number")
        if len(config.view.mean) != 3 or len(config.view.std) != 3:
            raise UserError("config.view.mean and std need 3 numbers: R, G, B")
        for key, value in (
            ("view.scale", config.view.scale),
            ("data.num_threads", config.data.num_threads),
        ):
            if not value > 0:
                raise UserError(f"config.{key} is {value}, not above 0")
        if not 0 <= config.seed < 2**32:
            raise UserError(f"config.seed is {config.seed}, not in 0 .. 2^32 - 1")
        if config.dtype == "float64" and not jax.config.jax_enable_x64:
            raise UserError("config.dtype is float64: set JAX_ENABLE_X64=1")

    def _check_phase(self, config):
        _check_known("head", config.head, HEADS)
        _check_known("loss", config.loss, LOSS_NAMES)
        if config.num_train_steps < 1:
            raise UserError(
                f"config.num_train_steps is {config.num_train_steps}, not at least 1"
            )
        for key, value in (
            ("learning_rate", config.learning_rate),
            ("augment.zoom", config.augment.zoom),
        ):
            if not value > 0:
                raise UserError(f"config.{key} is {value}, not above 0")
        if config.mutual_weight < 0:
            raise UserError(f"config.mutual_weight is {config.mutual_weight}, below 0")

    def _check_networks(self):
        first = self._parameter_shapes(0)
        for index, phase in enumerate(self.phases):
            if phase.config.loss == FOCAL and isinstance(self.model, Pair):
                raise UserError("config.loss is 'focal', which no pair is trained with")
            if self._parameter_shapes(index) != first:
                raise UserError(
                    f"config.phases.{phase.name} changes the network's parameters"
                )

    def _open_source(self) -> Source:
        with Progress("checking images", 1) as bar:
            source = make_source(
                self.config, self.tree, lambda done, total: bar.update(done, "", total)
            )
        image = source.decode(0)
        height, width = image.shape[:2]
        pixel_scale = pixel_scale_of(source, image)
        self.frame_px = frame_px(image, pixel_scale)
        if self.frame_px != FRAME_PX:
            is_survey = self.config.data.kind == "survey"
            whole = 0 if is_survey else FRAME_PX / max(height, width)
            say(
                f"note: the first image has {width} x {height} px; at pixel_scale "
                f"{pixel_scale:g} that is not the {FRAME_PX} px frame of the "
                f"challenge. Copies of whole frames need pixel_scale={whole:g}"
            )
        return source

    @functools.cached_property
    def make_state(self) -> Callable[[], TrainState]:
        """Makes the state of step 0, on all devices."""
        first = self._models[0], self._optimizers[0], self.phases[0].config
        return jax.jit(
            lambda: make_train_state(*first),
            out_shardings=replicated(self.mesh),
        )

    def _parameter_shapes(self, index: int):
        of_phase = self._models[index], self._optimizers[index], self.config
        state = jax.eval_shape(lambda: make_train_state(*of_phase))
        return jax.tree.map(lambda x: (x.shape, x.dtype), state.params)

    def abstract_state(self, step: int = 0) -> TrainState:
        """Shapes, types and places of the state at ``step``: what restoring needs."""
        index = self._phase_before(step)
        state = jax.eval_shape(lambda: self._restarted(index, self.make_state()))
        return jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(
                x.shape, x.dtype, sharding=replicated(self.mesh)
            ),
            state,
        )

    def enter(self, phase: Phase, state: TrainState) -> TrainState:
        """The state that ``phase`` starts with, after that of the phase before."""
        index = self.phases.index(phase)
        start = jax.jit(
            functools.partial(self._restarted, index),
            out_shardings=replicated(self.mesh),
        )
        return start(state.replace(step=jnp.int32(phase.start)))

    def _restarted(self, index: int, state: TrainState) -> TrainState:
        config = self.phases[index].config
        return restart(state, self._optimizers[index], config, self.tree.num_answers)

    @functools.cached_property
    def _train_step(self) -> Callable:
        # Of a phase and a head. Cached in the experiment: several come and go.
        def make(index, head):
            return make_train_step(
                self._models[index], self._optimizers[index], self.phases[index].config,
                self.tree, self.mesh, head,
            )  # fmt: skip

        return functools.cache(make)

    @functools.cached_property
    def _predict_step(self) -> Callable:
        fixed = self.model, self.config, self.tree, self.mesh
        return functools.cache(functools.partial(make_predict_step, *fixed))

    def train_step(self, step: int):
        """The compiled program that makes the update from ``step`` to ``step + 1``."""
        index = self._phase_before(step + 1)
        return self._train_step(index, self.phases[index].head(step))

    def head(self, step: int) -> str:
        """What turns outputs into vote fractions after ``step`` updates."""
        return self.phases[self._phase_before(step)].head(step)

    def _phase_before(self, step: int) -> int:
        """The position of the phase that made the update to ``step``."""
        stops = [phase.stop for phase in self.phases]
        return min(bisect.bisect_left(stops, step), len(stops) - 1)

    def predict(
        self,
        state: TrainState,
        step: int,
        indices: np.ndarray,
        maps: np.ndarray,
        on_device: np.ndarray | bool = True,
    ) -> np.ndarray:
        """float32 ``[n m a]`` vote fractions by the state after ``step`` updates.

        See :func:`gzjax.data.shared_warps.share_warps` for the last two arguments.
        """
        shared = share_warps(maps, self.config.view.angles_deg, on_device)
        warps, position = shared.once_each()
        results, done = [], 0
        with Progress("predicting", len(indices)) as progress:
            for votes, _ in self._batches(state, step, indices, warps):
                results.append(votes)
                done += len(votes)
                progress.update(min(done, len(indices)), "galaxies")
        return np.concatenate(results)[: len(indices), position]

    def predict_batches(
        self, state: TrainState, step: int, indices: np.ndarray, maps: np.ndarray
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The same in batches of :meth:`batch_size`, and which images are bad.

        See :func:`gzjax.predict.predict_batches`.
        """
        warps = share_warps(maps, self.config.view.angles_deg)
        return self._batches(state, step, indices, warps, keep_bad=True)

    def _batches(self, state, step, indices, warps, keep_bad=False):
        program = self._predict_step(self.head(step))
        return predict_batches(
            program, state.eval_variables(), self.source, indices, warps, self.config,
            self.mesh, keep_bad,
        )  # fmt: skip

    def batch_size(self, maps: np.ndarray) -> int:
        """Galaxies in a batch of predictions over ``maps``."""
        warps = share_warps(maps, self.config.view.angles_deg)
        return choose_batch_size(self.config, warps, self.mesh)

    def valid_rmse(self, state: TrainState, step: int) -> float:
        """Over the validation split, each galaxy seen once, as it lies."""
        valid = self.splits["valid"]
        predictions = self.predict(state, step, valid, AVERAGING_SETS["none"])
        return rmse(predictions[:, 0], self.source.targets[valid])


def _check_known(key: str, value: str, known) -> None:
    if value not in known:
        raise UserError(f"config.{key} is '{value}'; there are: {', '.join(known)}")
