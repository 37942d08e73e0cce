"""Everything that a config decides before the first step of training or evaluation."""

import functools
from collections.abc import Callable

import jax
import numpy as np

from gzjax.averaging import AVERAGING_SETS
from gzjax.data import make_source
from gzjax.data.source import Source
from gzjax.data.splits import split_by_id
from gzjax.errors import UserError
from gzjax.losses import LOSSES
from gzjax.metrics import rmse
from gzjax.models import make_model
from gzjax.ops.heads import HEADS
from gzjax.optim import make_optimizer
from gzjax.predict import predict
from gzjax.progress import Progress, console
from gzjax.sharding import check_divisible, make_mesh, replicated
from gzjax.steps import head_at, make_predict_step, make_train_step
from gzjax.train_state import TrainState, make_train_state
from gzjax.trees import Tree


class Experiment:
    """A config and what it stands for: devices, network, data, splits and programs.

    Args:
        config: see ``configs/base.py``.
        tree: of the labels.

    Attributes:
        source: the images and votes.
        splits: ``train``, ``valid``, ``test`` → ascending positions in the source.

    Raises:
        UserError: the config cannot be, or the data are wrong.
    """

    def __init__(self, config, tree: Tree):
        self.config, self.tree = config, tree
        console.quiet = jax.process_index() > 0  # one process speaks for all
        self.mesh = make_mesh()
        self._check()
        self.model = make_model(config, tree.num_answers)
        self.tx = make_optimizer(config)
        self.source = self._open_source()
        self.splits = split_by_id(
            self.source.ids, self.source.targets, tree, config.split
        )

    def _check(self):
        config = self.config
        check_divisible("batch_size", config.batch_size, self.mesh)
        check_divisible("eval_batch_size", config.eval_batch_size, self.mesh)
        for key, value, table in (
            ("head", config.head, HEADS),
            ("loss", config.loss, LOSSES),
            ("dtype", config.dtype, ("float32", "float64")),
        ):
            if value not in table:
                raise UserError(
                    f"config.{key} is '{value}'; there are: {', '.join(table)}"
                )
        if config.dtype == "float64" and not jax.config.jax_enable_x64:
            raise UserError("config.dtype is float64: set JAX_ENABLE_X64=1")

    def _open_source(self) -> Source:
        with Progress("checking images", 1) as bar:
            return make_source(
                self.config, self.tree, lambda done, total: bar.update(done, "", total)
            )

    @functools.cached_property
    def make_state(self) -> Callable[[], TrainState]:
        """Makes the state of step 0, on all devices."""
        return jax.jit(
            lambda: make_train_state(self.model, self.tx, self.config),
            out_shardings=replicated(self.mesh),
        )

    def abstract_state(self) -> TrainState:
        """Shapes, types and places of the state: what restoring needs."""
        return jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(
                x.shape, x.dtype, sharding=replicated(self.mesh)
            ),
            jax.eval_shape(self.make_state),
        )

    @functools.cache  # noqa: B019 - an experiment lives as long as the command
    def _train_step(self, head: str):
        return make_train_step(
            self.model, self.tx, self.config, self.tree, self.mesh, head
        )

    @functools.cache  # noqa: B019
    def _predict_step(self, head: str):
        return make_predict_step(self.model, self.config, self.tree, self.mesh, head)

    def train_step(self, step: int):
        """The compiled program that makes the update from ``step`` to ``step + 1``."""
        return self._train_step(head_at(self.config, step))

    def predict(self, state: TrainState, step: int, indices: np.ndarray, maps):
        """float32 ``[n m a]`` vote fractions by the state after ``step`` updates."""
        program = self._predict_step(head_at(self.config, step))
        return predict(
            program, state.eval_variables(), self.source, indices, maps, self.config,
            self.mesh,
        )  # fmt: skip

    def valid_rmse(self, state: TrainState, step: int) -> float:
        """Over the validation split, each galaxy seen once, as it lies."""
        valid = self.splits["valid"]
        predictions = self.predict(state, step, valid, AVERAGING_SETS["none"])
        return rmse(predictions[:, 0], self.source.targets[valid])
