"""Losses against values by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gzjax.losses import LOSSES
from gzjax.trees import Question, Tree

TREE = Tree(
    "t", (Question("root", ("a", "b")), Question("child", ("x", "y"), ("root.a",)))
)
# Two galaxies; nobody reaches the second question of the second.
TARGETS = jnp.array([[0.5, 0.5, 0.1, 0.4], [0.0, 1.0, 0.0, 0.0]])
VOTES = jnp.array([[0.4, 0.6, 0.2, 0.2], [0.2, 0.8, 0.1, 0.1]])
ANSWERS = jnp.array([[0.4, 0.6, 0.5, 0.5], [0.2, 0.8, 0.5, 0.5]])

COARSE = (0.1**2 * 2 + 0.1**2 + 0.2**2 + 0.2**2 * 2 + 0.1**2 * 2) / 8
# P(answer | asked) of the targets: (0.5 0.5 0.2 0.8) and (0 1 - -): six terms.
LOCAL = (0.1**2 * 2 + 0.3**2 * 2 + 0.2**2 * 2) / 6


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("coarse", COARSE),
        ("fine_code", LOCAL + 3 * COARSE),
        ("fine_paper", COARSE**0.5 + 3 * LOCAL**0.5),
    ],
)
def test_losses_by_hand(name, expected):
    loss = LOSSES[name](ANSWERS, VOTES, TARGETS, TREE)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_gradients_are_finite_at_a_perfect_prediction(name):
    conditional = jnp.array([[0.5, 0.5, 0.2, 0.8], [0.0, 1.0, 0.0, 0.0]])
    gradients = jax.grad(LOSSES[name], argnums=(0, 1))(
        conditional, TARGETS, TARGETS, TREE
    )
    assert all(np.isfinite(g).all() for g in gradients)


@pytest.mark.parametrize("name", ["fine_code", "fine_paper"])
def test_unreached_questions_pull_nowhere(name):
    gradient = jax.grad(LOSSES[name])(ANSWERS, VOTES, TARGETS, TREE)
    assert not gradient[1, 2:].any()
    assert gradient[0].all()
