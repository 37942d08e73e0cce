"""The two jit-compiled programs: one training step, one batch of predictions."""

import functools

import flax.linen as nn
import jax
import optax
from jax.sharding import Mesh

from gzjax.losses import LOSSES
from gzjax.ops.colour import adjust_colour
from gzjax.ops.heads import HEADS
from gzjax.sharding import replicated
from gzjax.train_state import TrainState
from gzjax.trees import Tree


def head_at(config, step: int) -> str:
    """The head in force at ``step``: "clip" during the warm-up."""
    return "clip" if step < config.head_warmup_steps else config.head


def make_train_step(model: nn.Module, tx, config, tree: Tree, mesh: Mesh, head: str):
    """``(state, batch) → (state, loss)``; the state is donated.

    The batch is one of :class:`gzjax.data.pipeline.LoadBatch` with one map per image,
    cut over the mesh; statistics, loss and gradients are those of the whole batch.
    """
    view = config.view

    def train_step(state: TrainState, batch: dict):
        images = adjust_colour(
            batch["images"], batch["colour"], view.mean, view.std, config.dtype
        )[:, 0]
        key = jax.random.fold_in(jax.random.key(config.seed), state.step)

        def loss_fn(params):
            logits, new = model.apply(
                {"params": params, "batch_stats": state.batch_stats},
                images,
                train=True,
                mutable=["batch_stats"],
                rngs={"dropout": key},
            )
            answer_probs, vote_fractions = HEADS[head](logits, tree)
            targets = batch["targets"].astype(logits.dtype)
            loss = LOSSES[config.loss](answer_probs, vote_fractions, targets, tree)
            return loss, new.get("batch_stats", {})

        (loss, batch_stats), grads = jax.value_and_grad(loss_fn, has_aux=True)(
            state.params
        )
        updates, opt_state = tx.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        ema_params = state.ema_params
        if ema_params is not None:
            ema_params = optax.incremental_update(
                params, ema_params, 1 - config.ema_decay
            )
        return TrainState(
            state.step + 1, params, batch_stats, opt_state, ema_params
        ), loss

    return jax.jit(train_step, donate_argnums=0, out_shardings=replicated(mesh))


def make_predict_step(model: nn.Module, config, tree: Tree, mesh: Mesh, head: str):
    """``(variables, images [b m h w c], colour [b 3 4]) → vote fractions [b m a]``."""
    view = config.view

    @functools.partial(jax.jit, out_shardings=replicated(mesh))
    def predict_step(variables: dict, images, colour):
        maps = images.shape[:2]
        x = adjust_colour(images, colour, view.mean, view.std, config.dtype)
        # Batch-major, so that a batch cut over devices stays where it is.
        logits = model.apply(variables, x.reshape(-1, *x.shape[2:]), train=False)
        _, vote_fractions = HEADS[head](logits, tree)
        return vote_fractions.reshape(*maps, -1)

    return predict_step
