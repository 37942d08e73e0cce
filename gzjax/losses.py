"""Losses of Cao & Chen (2018), in the forms of the paper and of its code.

All take ``(answer_probs, vote_fractions, targets, tree)``, each ``[b a]`` and return a
scalar, the mean over batch and answers.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from gzjax.ops.heads import asked, normalise
from gzjax.trees import Tree

Loss = Callable[[jax.Array, jax.Array, jax.Array, Tree], jax.Array]

# A published fraction is rounded to 1e-6, so a question reached by less has no shares.
REACHED = 1e-6


def coarse(answer_probs, vote_fractions, targets, tree):
    """Mean square error of the vote fractions: eq. 4 without its root, as coded."""
    del answer_probs, tree
    return jnp.mean((vote_fractions - targets) ** 2)


def local(answer_probs, targets, tree):
    """Mean square error of P(answer | asked), where the question was reached at all.

    Where nobody reached a question the target is 0/0; those terms are left out, and
    the sum of the others is divided by their number.
    """
    reached = asked(targets, tree) > REACHED  # [b q]
    sizes = [len(q.answers) for q in tree.questions]
    mask = jnp.repeat(
        reached, jnp.array(sizes), axis=-1, total_repeat_length=sum(sizes)
    )
    square = (answer_probs - normalise(targets, tree)) ** 2
    return jnp.sum(square * mask) / jnp.maximum(mask.sum(), 1)


def fine_code(answer_probs, vote_fractions, targets, tree):
    """``MSE(local) + 3 MSE``: the fine loss as it was run."""
    near = coarse(answer_probs, vote_fractions, targets, tree)
    return local(answer_probs, targets, tree) + 3 * near


def fine_paper(answer_probs, vote_fractions, targets, tree):
    """``RMSE + 3 RMSE(local)``: eq. 5; the 3 stands on the other term."""
    near = coarse(answer_probs, vote_fractions, targets, tree)
    return _sqrt(near) + 3 * _sqrt(local(answer_probs, targets, tree))


def _sqrt(x):
    # The root's slope at 0 is infinite; 1e-12 moves an RMSE by at most 1e-6.
    return jnp.sqrt(x + 1e-12)


# What ``config.loss`` names.
LOSSES: dict[str, Loss] = {
    "coarse": coarse,
    "fine_code": fine_code,
    "fine_paper": fine_paper,
}
