"""Losses of Cao & Chen (2018), in the forms of the paper and of its code, and others.

All take ``(answer_probs, vote_fractions, targets, tree)``, each ``[b a]`` and return a
scalar, a mean over the batch.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from gzjax.ops.heads import asked, normalise

# A published fraction is rounded to 1e-6, so a question reached by less has no shares.
REACHED = 1e-6
# The logarithm's argument is kept this far from 0: a divisive head answers exactly 0.
TINY = 1e-6
ERROR_DECAY = 0.99  # of the running errors: some hundred steps


def coarse(answer_probs, vote_fractions, targets, tree):
    """Returns the MSE of the vote fractions: eq. 4 without its root, as coded."""
    del answer_probs, tree
    return jnp.mean((vote_fractions - targets) ** 2)


def local(answer_probs, targets, tree):
    """Returns the MSE of P(answer | asked), where the question was reached at all.

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
    """Returns ``MSE(local) + 3 MSE``: the fine loss as it was run."""
    near = coarse(answer_probs, vote_fractions, targets, tree)
    return local(answer_probs, targets, tree) + 3 * near


def fine_paper(answer_probs, vote_fractions, targets, tree):
    """Returns ``RMSE + 3 RMSE(local)``: eq. 5; the 3 stands on the other term."""
    near = coarse(answer_probs, vote_fractions, targets, tree)
    return _sqrt(near) + 3 * _sqrt(local(answer_probs, targets, tree))


def kl(answer_probs, vote_fractions, targets, tree):
    """Returns the mean over questions of the Kullback–Leibler divergence of shares.

    A question counts by its P(asked): by the chain rule the sum over questions is then
    the divergence of everything a volunteer answers on the way through the tree.
    """
    del vote_fractions
    shares = normalise(targets, tree)
    # A share of 0 adds nothing; its logarithm is never looked at.
    ratio = _log(shares) - _log(answer_probs)
    return jnp.sum(targets * ratio) / (len(targets) * len(tree.questions))


def bce(answer_probs, vote_fractions, targets, tree):
    """Returns the binary cross-entropy of vote fractions as soft labels (Ng 2024)."""
    del answer_probs, tree
    no = (1 - targets) * _log(1 - vote_fractions)
    return -jnp.mean(targets * _log(vote_fractions) + no)


def _sqrt(x):
    # The root's slope at 0 is infinite; 1e-12 moves an RMSE by at most 1e-6.
    return jnp.sqrt(x + 1e-12)


def _log(x):
    return jnp.log(jnp.maximum(x, TINY))


def focal(vote_fractions, targets, running_errors):
    """Returns the MSE, each answer weighted by its running share of the error.

    The weights are ``a e / Σ e`` over the a answers, 1 in the mean, where e is the
    running mean of each answer's square error, with the present batch in it. (As the
    authors coded it the weights summed to 1, and were 1/37 for most of each epoch.)

    Returns:
        The loss, a scalar, and the running errors ``[a]`` with this batch; they are
        zeros at the start.
    """
    errors = jnp.mean((vote_fractions - targets) ** 2, axis=0)
    running = ERROR_DECAY * running_errors
    running += (1 - ERROR_DECAY) * jax.lax.stop_gradient(errors)
    weights = running / jnp.maximum(running.mean(), 1e-30)
    return jnp.mean(weights * errors), running


def mutual(vote_fractions):
    """Returns the mean square difference of two answers to a galaxy, ``[b 2 ...]``.

    Of two networks this is deep mutual learning (Zhang et al. 2018) with the square
    error for its divergence; of a galaxy in two placements, their consistency.
    """
    return jnp.mean((vote_fractions[:, 0] - vote_fractions[:, 1]) ** 2)


# What ``config.loss`` names; besides FOCAL, which alone remembers earlier batches.
LOSSES: dict[str, Callable[..., jax.Array]] = {
    "coarse": coarse,
    "fine_code": fine_code,
    "fine_paper": fine_paper,
    "kl": kl,
    "bce": bce,
}
FOCAL = "focal"
LOSS_NAMES = (*LOSSES, FOCAL)
