"""How far a network over a group is from invariant, before and after training."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from gzjax.ops.groups import GROUPS, act


@functools.partial(jax.jit, static_argnums=(0, 3))
def logits_of(model, variables, images, train):
    return model.apply(variables, images, train, mutable=["batch_stats"])[0]


def largest_change(model, variables, images, train):
    """max over elements and outputs of |f(g x) - f(x)|, relative to the spread of f."""
    logits = functools.partial(logits_of, model, variables, train=train)
    y = logits(images)
    elements = range(1, len(GROUPS[model.group].exact_elements))
    changes = [np.abs(logits(act(images, g)) - y).max() for g in elements]
    return max(changes) / np.std(y)


def trained(model, variables, images, steps=3):
    def loss(params):
        out, new = model.apply(
            {**variables, "params": params}, images, True, mutable=["batch_stats"]
        )
        return ((out - jnp.arange(5.0)[None]) ** 2).mean(), new

    params = variables["params"]
    gradient_of = jax.jit(jax.grad(loss, has_aux=True))
    for _ in range(steps):
        gradient, stats = gradient_of(params)
        params = jax.tree.map(lambda p, g: p - 0.05 * g, params, gradient)
    return {"params": params, **stats}
