"""The jit-compiled programs: a training step, a batch of predictions or features."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh, PartitionSpec

from gzjax.models import network_input
from gzjax.models.devices import DATA_AXIS
from gzjax.models.probes.embedding import embed
from gzjax.ops.colour import adjust_colour
from gzjax.ops.compiler import compiler_options
from gzjax.ops.groups import act
from gzjax.ops.heads import HEADS
from gzjax.steps.accumulate import mean_over_pieces
from gzjax.steps.losses import FOCAL, LOSSES, focal, mutual
from gzjax.steps.mesh import replicated
from gzjax.steps.optim import constrain_norms
from gzjax.steps.state import TrainState
from gzjax.trees import Tree

_MOVES = [functools.partial(act, element=i) for i in range(8)]


def make_train_step(model: nn.Module, tx, config, tree: Tree, mesh: Mesh, head: str):
    """Compiles ``(state, batch) → (state, loss)``; the state is donated.

    The batch is one of :class:`gzjax.data.pipeline.LoadBatch`, cut over the mesh.
    Statistics, loss and gradients are those of the whole batch, or with
    ``config.accumulate_steps`` the means over its pieces.
    """
    view, num_pieces = config.view, config.accumulate_steps
    twice = config.loss_consistency > 0
    apply = _make_apply(model, mesh, twice)

    def train_step(state: TrainState, batch: dict):
        key = jax.random.fold_in(jax.random.key(config.seed), state.step)
        copies = jax.tree.map(
            lambda x: jnp.broadcast_to(x, (mesh.size, *x.shape)), state.params
        )

        def loss_fn(copies, images, targets, key):
            logits, batch_stats = apply(copies, state.batch_stats, images, key)
            targets = targets.astype(logits.dtype)
            if twice:
                logits = logits.reshape(-1, *logits.shape[2:])
                targets = jnp.repeat(targets, 2, axis=0)
            answers = HEADS[head](logits, tree)
            loss, running = total_loss(answers, targets, state.running_errors)
            if twice:
                both = answers[1].reshape(-1, 2, *answers[1].shape[1:])
                loss += config.loss_consistency * mutual(both)
            return loss, (batch_stats, running)

        def of_piece(piece, number):
            images = adjust_colour(
                piece["images"], piece["colour"], view.mean, view.std, config.dtype
            )
            piece_key = jax.random.fold_in(key, number) if num_pieces > 1 else key
            return jax.value_and_grad(loss_fn, has_aux=True)(
                copies, images, piece["targets"], piece_key
            )

        (loss, (batch_stats, running_errors)), grads = mean_over_pieces(
            of_piece, batch, num_pieces, mesh
        )
        grads = jax.tree.map(lambda x: x.sum(axis=0), grads)  # over devices, once
        updates, opt_state = tx.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        params = constrain_norms(params, state.step + 1, config.max_norm)
        ema_params = state.ema_params
        if ema_params is not None:
            ema_params = optax.incremental_update(
                params, ema_params, 1 - config.ema_decay
            )
        return TrainState(
            state.step + 1, params, batch_stats, opt_state, ema_params, running_errors
        ), loss

    def total_loss(answers, targets, running_errors):
        if config.loss == FOCAL:
            return focal(answers[1], targets, running_errors)
        loss = functools.partial(LOSSES[config.loss], tree=tree)
        if answers[1].ndim == 2:
            return loss(*answers, targets), None
        of_each = [loss(*(x[:, n] for x in answers), targets) for n in range(2)]
        return sum(of_each) + config.mutual_weight * mutual(answers[1]), None

    return _compiled(train_step, mesh, donate_argnums=0)


def _make_apply(model: nn.Module, mesh: Mesh, twice: bool):
    """Makes ``(copies, batch_stats, images, key) → (logits, new batch_stats)``.

    With ``twice`` the images are ``[b 2v h w c]`` and the logits ``[b 2 ...]``: the two
    placements of a galaxy get the same dropout, and each batch of b its own statistics.

    Each of the n devices computes its own rows with its own copy of the parameters. The
    gradient has the shape ``[n ...]``, and the caller sums it over the devices. Left to
    itself the partitioner sums the gradient of the transformed filters, which are order
    times as large.
    """

    def apply(copies, batch_stats, images, key):
        params = jax.tree.map(lambda x: x[0], copies)

        def answer(images):
            logits, new = model.apply(
                {"params": params, "batch_stats": batch_stats},
                network_input(model, images),
                train=True,
                mutable=["batch_stats"],
                rngs={"dropout": key},
            )
            return logits, new.get("batch_stats", {})

        if not twice:
            return answer(images)
        images = images.reshape(len(images), 2, -1, *images.shape[2:])
        logits, stats = jax.vmap(answer, in_axes=1, out_axes=(1, 0))(images)
        return logits, jax.tree.map(lambda x: x.mean(axis=0), stats)

    if mesh.size == 1:
        return apply
    rows, all_of_it = PartitionSpec(DATA_AXIS), PartitionSpec()
    return jax.shard_map(
        apply,
        mesh=mesh,
        in_specs=(rows, all_of_it, rows, all_of_it),
        out_specs=(rows, all_of_it),
        check_vma=False,  # the check cannot know that all copies are equal
    )


def make_predict_step(model: nn.Module, config, tree: Tree, mesh: Mesh, head: str):
    """Compiles :func:`predict_placements`."""
    return _compiled(predict_placements(model, config, tree, head), mesh)


def make_embed_step(model: nn.Module, config, mesh: Mesh):
    """Compiles the same for the last features ``[b m f]`` instead of vote fractions."""
    step = _over_placements(model, config, functools.partial(embed, model))
    return _compiled(step, mesh)


def _compiled(step, mesh: Mesh, **options):
    backend = mesh.devices.flat[0].platform
    return jax.jit(
        step,
        out_shardings=replicated(mesh),
        compiler_options=compiler_options(backend),
        **options,
    )


def predict_placements(model: nn.Module, config, tree: Tree, head: str):
    """Makes the step that predicts vote fractions ``[b m a]``.

    It takes the variables, ``images [b r h w c]``, ``colour [b 3 4]``, ``warp [m v]``
    and ``element [m v]``.

    View v of placement m is the image ``warp[m, v]`` moved by the element
    ``element[m, v]`` (:mod:`gzjax.ops.groups`). One placement follows the other, so
    that memory does not grow with their number. All that is float32 is float32 in full,
    so that rotation robustness is the network's and not that of TF32.
    """

    def answer(variables, views):
        votes = HEADS[head](model.apply(variables, views, train=False), tree)[1]
        return votes if votes.ndim == 2 else votes.mean(axis=1)  # of a pair

    return _over_placements(model, config, answer)


def _over_placements(model: nn.Module, config, answer):
    """Makes the step that calls ``answer(variables, views)`` for each placement."""
    view = config.view

    def step(variables: dict, images, colour, warp, element):
        x = adjust_colour(images, colour, view.mean, view.std, config.dtype)

        def one_placement(warp_and_element):
            warps, elements = warp_and_element  # [v]
            views = [
                jax.lax.switch(elements[v], _MOVES, x[:, warps[v]])
                for v in range(len(view.angles_deg))
            ]
            return answer(variables, network_input(model, jnp.stack(views, 1)))

        with jax.default_matmul_precision("highest"):
            answers = jax.lax.map(one_placement, (warp, element))
        return jnp.moveaxis(answers, 0, 1)

    return step
