"""Losses against values by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gzjax.steps.losses import LOSSES, focal, mutual
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
# Of the shares (0.5 0.5 0.2 0.8) and (0 1 - -), each times its P(asked) 1, 0.5, 1, 0.
FIRST = 0.5 * np.log(0.5 / 0.4) + 0.5 * np.log(0.5 / 0.6)
SECOND = 0.2 * np.log(0.2 / 0.5) + 0.8 * np.log(0.8 / 0.5)
KL = (FIRST + 0.5 * SECOND + np.log(1 / 0.8)) / 4
PAIRS = list(zip(np.ravel(TARGETS), np.ravel(VOTES), strict=True))
BCE = -sum(t * np.log(p) + (1 - t) * np.log(1 - p) for t, p in PAIRS) / 8


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("kl", KL),
        ("bce", BCE),
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


def test_kl_of_the_targets_themselves_is_zero_and_of_dead_answers_finite():
    shares = jnp.array([[0.5, 0.5, 0.2, 0.8], [0.0, 1.0, 0.0, 0.0]])
    np.testing.assert_allclose(LOSSES["kl"](shares, VOTES, TARGETS, TREE), 0, atol=1e-6)
    for name in ("kl", "bce"):
        dead = jnp.zeros_like(VOTES)
        value, slopes = jax.value_and_grad(LOSSES[name], argnums=(0, 1))(
            dead, dead, TARGETS, TREE
        )
        assert np.isfinite(value)
        assert value > 1
        assert all(np.isfinite(slope).all() for slope in slopes)


def test_focal_weighs_answers_by_their_running_share_of_the_error():
    errors = np.array([0.01 + 0.04, 0.01 + 0.04, 0.01 + 0.01, 0.04 + 0.01]) / 2
    loss, running = focal(VOTES, TARGETS, jnp.zeros(4))
    np.testing.assert_allclose(running, 0.01 * errors, rtol=1e-5)
    # At the start the weights are this batch's shares, 1 in the mean.
    weights = errors / errors.mean()
    np.testing.assert_allclose(loss, (weights * errors).mean(), rtol=1e-5)

    before = np.array([0.4, 0.1, 0.1, 0.2])
    loss, running = focal(VOTES, TARGETS, jnp.array(before))
    expected = 0.99 * before + 0.01 * errors
    np.testing.assert_allclose(running, expected, rtol=1e-5)
    weights = expected / expected.mean()
    np.testing.assert_allclose(loss, (weights * errors).mean(), rtol=1e-5)
    # The weights are constants: the gradient is theirs times that of the errors.
    slope = jax.grad(lambda v: focal(v, TARGETS, jnp.array(before))[0])(VOTES)
    by_hand = 2 * np.asarray(VOTES - TARGETS) * weights / 8
    np.testing.assert_allclose(slope, by_hand, rtol=1e-5)


def test_mutual_is_the_mean_square_between_two_networks():
    pair = jnp.stack([VOTES, TARGETS], axis=1)  # [b 2 a]
    np.testing.assert_allclose(mutual(pair), COARSE, rtol=1e-5)
    assert mutual(jnp.stack([VOTES, VOTES], axis=1)) == 0
