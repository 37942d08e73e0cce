"""The heads: the published numbers, edge cases, and their probabilistic meaning."""

import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gzjax.ops.heads import HEADS, asked, divisive
from gzjax.trees import GZ2, Question, Tree


def test_ones_give_the_published_fractions():
    answer_probs, p = divisive(jnp.ones(37), GZ2)
    sizes = [3, 2, 2, 2, 4, 2, 3, 7, 3, 3, 6]
    values = [3, 6, 12, 12, 24, 2, 9, 14, 18, 36, 72]
    np.testing.assert_allclose(p, 1 / np.repeat(values, sizes), rtol=1e-6)
    np.testing.assert_allclose(answer_probs, 1 / np.repeat(sizes, sizes), rtol=1e-6)
    np.testing.assert_allclose(p.sum(), 4, rtol=1e-6)


def test_dead_questions_give_zeros_and_finite_gradients():
    z = -jnp.ones(37)
    assert not divisive(z, GZ2)[1].any()
    gradient_of = jax.jit(jax.grad(lambda z: (divisive(z, GZ2)[1] ** 2).sum()))
    for point in (z, jnp.zeros(37), jnp.ones(37), z.at[:3].set(1e-20)):
        assert np.isfinite(gradient_of(point)).all()
    gradient_of = jax.jit(jax.grad(lambda z: divisive(z, GZ2)[1].sum()))
    assert not gradient_of(jnp.zeros(37)).any()


def test_gradients_flow_through_the_parents():
    # P(bar) depends on the answers to the first question.
    gradient = jax.jit(jax.grad(lambda z: divisive(z, GZ2)[1][5]))(jnp.ones(37))
    assert (jnp.abs(gradient[:3]) > 1e-3).all()


@pytest.mark.skipif(
    "GZJAX_DATA" not in os.environ, reason="GZJAX_DATA names no folder of real labels"
)
def test_real_labels_pass_through_unchanged():
    folder = Path(os.environ["GZJAX_DATA"]) / "galaxy-zoo-600"
    rows = np.loadtxt(folder / "training_solutions_rev1.csv", delimiter=",", skiprows=1)
    targets = rows[:, 1:].astype(np.float32)
    np.testing.assert_allclose(divisive(targets, GZ2)[1], targets, atol=3e-6)


@pytest.mark.parametrize("name", ["divisive", "softmax"])
def test_heads_with_the_tree_keep_its_sums(name, key):
    z = jax.random.normal(key, (50, 37)) + 1
    _, p = HEADS[name](z, GZ2)
    sums = jnp.stack([p[:, s].sum(1) for s in GZ2.slices], 1)
    alive = sums > 0
    np.testing.assert_allclose(sums[alive], asked(p, GZ2)[alive], atol=1e-6)
    assert alive.mean() > 0.5


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("sigmoid", 1 / (1 + np.exp([1.0, 0.0, -3.0]))),
        ("clip", [0, 0, 1]),
        ("relu", [0, 0, 3]),
    ],
)
def test_direct_heads_by_hand(name, expected):
    tree = Tree("t", (Question("q", ("a", "b", "c")),))
    answer_probs, p = HEADS[name](jnp.array([-1.0, 0.0, 3.0]), tree)
    np.testing.assert_allclose(p, expected, rtol=1e-6)
    np.testing.assert_allclose(answer_probs, p / p.sum(), rtol=1e-6)


def test_several_parents_add_up():
    tree = Tree(
        "t",
        (
            Question("root", ("a", "b", "c")),
            Question("child", ("x", "y"), ("root.a", "root.c")),
        ),
    )
    _, p = divisive(jnp.array([1.0, 1.0, 2.0, 3.0, 1.0]), tree)
    np.testing.assert_allclose(p, [0.25, 0.25, 0.5, 0.5625, 0.1875], rtol=1e-6)
