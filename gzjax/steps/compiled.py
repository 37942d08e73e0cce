"""The network of a config in each phase of its training, and what is compiled of it."""

import bisect
import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from gzjax.models import make_model
from gzjax.ops.compiler import compiler_options
from gzjax.steps.mesh import replicated
from gzjax.steps.optim import check_max_norm, make_optimizer
from gzjax.steps.phases import Phase
from gzjax.steps.state import TrainState, make_train_state, restart
from gzjax.steps.steps import make_embed_step, make_predict_step, make_train_step
from gzjax.trees import Tree


class Programs:
    """The networks and optimisers of a run's phases, and their compiled programs.

    Each program is compiled on first use and kept for the lifetime of this object.

    Attributes:
        phases: at least one.
        model: the network; phases differ only in what it does in training.

    Raises:
        UserError: ``config.model`` or ``config.max_norm`` is invalid.
    """

    def __init__(self, phases: Sequence[Phase], tree: Tree, mesh: Mesh):
        self.phases, self._tree, self._mesh = phases, tree, mesh
        self._everywhere = replicated(mesh)
        self._optimizers = [make_optimizer(phase.config) for phase in phases]
        self._models = []
        for phase in phases:
            with phase.named_in_errors():
                self._models.append(make_model(phase.config, tree.num_answers))
        self.model = self._models[0]
        self._make = functools.partial(
            make_train_state, self.model, self._optimizers[0], phases[0].config
        )
        self._train_step = functools.cache(self._make_train_step)
        self._predict_step = functools.cache(
            functools.partial(
                make_predict_step, self.model, phases[0].config, tree, mesh
            )
        )
        check_max_norm(self.abstract_state().params, phases[0].config.max_norm)

    @functools.cached_property
    def make_state(self) -> Callable[[], TrainState]:
        """Makes the state of step 0, on all devices."""
        # It runs once, and takes longer to compile well than a training step.
        options = compiler_options(once=True)
        return jax.jit(
            self._make, out_shardings=self._everywhere, compiler_options=options
        )

    @functools.cached_property
    def _fresh(self) -> TrainState:
        return jax.eval_shape(self._make)

    def abstract_state(self, step: int = 0) -> TrainState:
        """Returns the shapes, types and places of the state at ``step``."""
        index = self._phase_before(step)
        restarted = functools.partial(self._restarted, index)
        state = jax.eval_shape(restarted, self._fresh)
        return jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=self._everywhere),
            state,
        )

    def enter(self, phase: Phase, state: TrainState) -> TrainState:
        """Returns the state that ``phase`` starts with, after the phase before."""
        start = functools.partial(self._restarted, self.phases.index(phase))
        start = jax.jit(start, out_shardings=self._everywhere)
        return start(state.replace(step=jnp.int32(phase.start)))

    def _restarted(self, index: int, state: TrainState) -> TrainState:
        config = self.phases[index].config
        return restart(state, self._optimizers[index], config, self._tree.num_answers)

    def train_step(self, step: int):
        """Returns the program that makes the update from ``step`` to ``step + 1``."""
        index = self._phase_before(step + 1)
        return self._train_step(index, self.phases[index].head(step))

    def predict_step(self, step: int):
        """Returns the program that predicts with the state after ``step`` updates."""
        return self._predict_step(self.head(step))

    @functools.cached_property
    def embed_step(self):
        """Returns the compiled program of :mod:`gzjax.models.probes.embedding`."""
        return make_embed_step(self.model, self.phases[0].config, self._mesh)

    def head(self, step: int) -> str:
        """Returns what turns outputs into vote fractions after ``step`` updates."""
        return self.phases[self._phase_before(step)].head(step)

    def _make_train_step(self, index: int, head: str) -> Callable:
        return make_train_step(
            self._models[index],
            self._optimizers[index],
            self.phases[index].config,
            self._tree,
            self._mesh,
            head,
        )

    def _phase_before(self, step: int) -> int:
        """Returns the position of the phase that made the update to ``step``."""
        stops = [phase.stop for phase in self.phases]
        return min(bisect.bisect_left(stops, step), len(stops) - 1)
