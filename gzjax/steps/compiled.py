"""The network of a config in each phase of its training, and what is compiled of it."""

import bisect
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from gzjax.errors import UserError
from gzjax.models import make_model
from gzjax.models.pair import Pair
from gzjax.steps.check_phase import check_phase
from gzjax.steps.losses import FOCAL
from gzjax.steps.mesh import replicated
from gzjax.steps.optim import check_max_norm, make_optimizer
from gzjax.steps.phases import Phase, make_phases
from gzjax.steps.state import TrainState, make_train_state, restart
from gzjax.steps.steps import make_embed_step, make_predict_step, make_train_step
from gzjax.trees import Tree


class Programs:
    """Compiles on use, and once: programs go when their owner goes.

    Args:
        config: see ``configs/base.py``.
        tree: of the answers.
        mesh: the devices.

    Attributes:
        phases: of the training, at least one (:mod:`gzjax.steps.phases`).
        model: the network; phases differ only in what it does in training.

    Raises:
        UserError: the network or a phase cannot be.
    """

    def __init__(self, config, tree: Tree, mesh: Mesh):
        self._config, self._tree, self._mesh = config, tree, mesh
        self.phases = make_phases(config)
        self.model = make_model(config, tree.num_answers)
        built = [self._build(phase) for phase in self.phases]
        self._models, self._optimizers = zip(*built, strict=True)
        check_max_norm(self.abstract_state().params, config.max_norm)

    def _build(self, phase: Phase):
        """The network and the optimiser of a phase."""
        try:
            check_phase(phase.config)
            if phase.config.loss == FOCAL and isinstance(self.model, Pair):
                raise UserError("config.loss is 'focal', which no pair is trained with")
            model = make_model(phase.config, self._tree.num_answers)
            return model, make_optimizer(phase.config)
        except UserError as error:
            if not phase.name:
                raise
            raise UserError(f"config.phases.{phase.name}: {error}") from error

    @functools.cached_property
    def make_state(self) -> Callable[[], TrainState]:
        """Makes the state of step 0, on all devices."""
        first = self._models[0], self._optimizers[0], self.phases[0].config
        return jax.jit(
            lambda: make_train_state(*first), out_shardings=replicated(self._mesh)
        )

    def abstract_state(self, step: int = 0) -> TrainState:
        """Shapes, types and places of the state at ``step``: what restoring needs."""
        index = self._phase_before(step)
        state = jax.eval_shape(lambda: self._restarted(index, self.make_state()))
        return jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(
                x.shape, x.dtype, sharding=replicated(self._mesh)
            ),
            state,
        )

    def enter(self, phase: Phase, state: TrainState) -> TrainState:
        """The state that ``phase`` starts with, after that of the phase before."""
        index = self.phases.index(phase)
        start = jax.jit(
            functools.partial(self._restarted, index),
            out_shardings=replicated(self._mesh),
        )
        return start(state.replace(step=jnp.int32(phase.start)))

    def _restarted(self, index: int, state: TrainState) -> TrainState:
        config = self.phases[index].config
        return restart(state, self._optimizers[index], config, self._tree.num_answers)

    def train_step(self, step: int):
        """The compiled program that makes the update from ``step`` to ``step + 1``."""
        index = self._phase_before(step + 1)
        return self._train_step(index, self.phases[index].head(step))

    def predict_step(self, step: int):
        """The compiled program that predicts with the state after ``step`` updates."""
        return self._predict_step(self.head(step))

    @functools.cached_property
    def embed_step(self):
        """The compiled program of the last features.

        See :mod:`gzjax.models.probes.embedding`.
        """
        return make_embed_step(self.model, self._config, self._mesh)

    def head(self, step: int) -> str:
        """What turns outputs into vote fractions after ``step`` updates."""
        return self.phases[self._phase_before(step)].head(step)

    @functools.cached_property
    def _train_step(self) -> Callable:
        def make(index, head):
            return make_train_step(
                self._models[index], self._optimizers[index], self.phases[index].config,
                self._tree, self._mesh, head,
            )  # fmt: skip

        return functools.cache(make)

    @functools.cached_property
    def _predict_step(self) -> Callable:
        fixed = self.model, self._config, self._tree, self._mesh
        return functools.cache(functools.partial(make_predict_step, *fixed))

    def _phase_before(self, step: int) -> int:
        """The position of the phase that made the update to ``step``."""
        stops = [phase.stop for phase in self.phases]
        return min(bisect.bisect_left(stops, step), len(stops) - 1)
