"""From a network's raw outputs to vote fractions.

Every head maps logits ``[... a]`` to a pair ``(answer_probs, vote_fractions)``:
P(answer | question asked), and P(answer), the 37 numbers the challenge scores. Heads
that predict the vote fractions directly divide them to get the first.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from gzjax.trees import Tree

# Dieleman's constant. A question whose units are all 0 gives zeros, not a uniform
# distribution; relu's gradient of 0 at 0 keeps its slope of 1e12 out of the network.
EPSILON = 1e-12

Head = Callable[[jax.Array, Tree], tuple[jax.Array, jax.Array]]


def normalise(x: jax.Array, tree: Tree) -> jax.Array:
    """Divides each question's values ``[... a]`` ≥ 0 by their sum (+ 1e-12)."""
    parts = [x[..., columns] for columns in tree.slices]
    return jnp.concatenate(
        [part / (part.sum(-1, keepdims=True) + EPSILON) for part in parts], axis=-1
    )


def asked(vote_fractions: jax.Array, tree: Tree) -> jax.Array:
    """Returns P(asked) ``[... q]``, summed over the answers that lead to a question."""
    ones = jnp.ones_like(vote_fractions[..., 0])
    return jnp.stack(
        [
            sum(vote_fractions[..., p] for p in parents) if parents else ones
            for parents in tree.parents
        ],
        axis=-1,
    )


def descend(answer_probs: jax.Array, tree: Tree) -> jax.Array:
    """Returns P(answer) = P(answer | asked) · P(asked), parents before children."""
    columns: list[jax.Array] = []
    for here, parents in zip(tree.slices, tree.parents, strict=True):
        factor = sum(columns[p] for p in parents) if parents else 1.0
        columns += [answer_probs[..., i] * factor for i in range(here.start, here.stop)]
    return jnp.stack(columns, axis=-1)


def divisive(logits: jax.Array, tree: Tree) -> tuple[jax.Array, jax.Array]:
    """Normalises divisively (Dieleman, Willett & Dambre 2015, section 5.4)."""
    answer_probs = normalise(jax.nn.relu(logits), tree)
    return answer_probs, descend(answer_probs, tree)


def softmax(logits: jax.Array, tree: Tree) -> tuple[jax.Array, jax.Array]:
    """Applies a softmax per question, then descends the tree."""
    answer_probs = jnp.concatenate(
        [jax.nn.softmax(logits[..., columns]) for columns in tree.slices], axis=-1
    )
    return answer_probs, descend(answer_probs, tree)


def _direct(activation: Callable[[jax.Array], jax.Array]) -> Head:
    def head(logits, tree):
        vote_fractions = activation(logits)
        return normalise(vote_fractions, tree), vote_fractions

    return head


# Heads whose answers to a question add up to those that lead to it.
TREE_HEADS = ("divisive", "softmax")
# What ``config.head`` names. "clip" is what a divisive head is warmed up with; "relu"
# is the output of Cao & Chen's networks without head.
HEADS: dict[str, Head] = {
    "divisive": divisive,
    "softmax": softmax,
    "sigmoid": _direct(jax.nn.sigmoid),
    "clip": _direct(lambda z: jnp.clip(z, 0.0, 1.0)),
    "relu": _direct(jax.nn.relu),
}
