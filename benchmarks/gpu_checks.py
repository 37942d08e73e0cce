"""What must hold on an accelerator before its speed counts.

Every check is a row ``{"what", "value", "limit"}``; it holds if the value is at most
the limit, and a limit of None only reports. "highest" is float32 in full, "default" is
what JAX computes unless asked otherwise: TF32 on recent GPUs.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from train_step import JaxStep, make_batch, randomised

from gzjax.data.synthetic.source import SyntheticSource
from gzjax.metrics import rotation_distances
from gzjax.models import make_model, network_input
from gzjax.ops.groups import GROUPS, act, act_on_features
from gzjax.ops.heads import HEADS
from gzjax.steps.losses import LOSSES, focal, mutual
from gzjax.steps.mesh import make_mesh, replicated
from gzjax.trees import GZ2

PRECISIONS = ("highest", "default")


def row(what: str, value: float, limit: float | None) -> dict:
    """Makes a check; see the module."""
    return {"what": what, "value": float(value), "limit": limit}


def holds(check: dict) -> bool:
    """Tells whether the value is at most the limit; NaN is not."""
    return check["limit"] is None or check["value"] <= check["limit"]


def distance(found, expected) -> float:
    """Returns the largest difference of two arrays, relative to the largest number."""
    found, expected = (np.asarray(x, np.float64) for x in (found, expected))
    return float(abs(found - expected).max() / max(abs(expected).max(), 1e-30))


def check_losses() -> list[dict]:
    """Compares every loss under every head, and its gradient, with the CPU's."""
    rng = np.random.default_rng(0)
    targets = SyntheticSource(8, size_px=64).targets
    logits = rng.normal(0.3, 1, targets.shape).astype(np.float32)
    errors = rng.uniform(0.01, 0.1, targets.shape[1]).astype(np.float32)

    def all_of_them(logits, targets, errors):
        found = {}

        def add(name, loss):
            found[name] = jax.value_and_grad(loss)(logits)

        for head, of_logits in HEADS.items():
            for name, loss in LOSSES.items():
                add(
                    f"{head}, {name}",
                    lambda z, h=of_logits, f=loss: f(*h(z, GZ2), targets, GZ2),
                )
            add(
                f"{head}, focal",
                lambda z, h=of_logits: focal(h(z, GZ2)[1], targets, errors)[0],
            )
            add(
                f"{head}, mutual",
                lambda z, h=of_logits: mutual(jnp.stack([h(z, GZ2)[1], targets], 1)),
            )
        return found

    program, arguments = jax.jit(all_of_them), (logits, targets, errors)
    found, expected = (
        jax.device_get(program(*jax.device_put(arguments, device)))
        for device in (jax.devices()[0], jax.devices("cpu")[0])
    )
    values, gradients = (
        max((distance(found[name][i], expected[name][i]), name) for name in found)
        for i in range(2)
    )
    return [
        row(f"{len(found)} losses: value (most: {values[1]})", values[0], 1e-5),
        row(f"their gradients (most: {gradients[1]})", gradients[0], 1e-4),
    ]


def check_update(name: str, config, batch_size: int) -> list[dict]:
    """Compares one update of a training, dropout included, with the CPU's."""
    batch = make_batch(config, GZ2.num_answers, batch_size)
    cpu, card = jax.devices("cpu")[0], jax.devices()[0]
    config.compute_dtype = ""
    with jax.default_matmul_precision("highest"):
        expected = JaxStep(config, GZ2, batch, devices=[cpu])
    first, rows = jax.device_get(expected.state), []
    params, loss = update(expected, first, cpu)
    moved = optax.global_norm(jax.tree.map(np.subtract, params, first.params))
    limits = {"highest": (1e-5, 5e-3), "default": (1e-2, 0.2), "bfloat16": (None, None)}
    for kind, (loss_limit, update_limit) in limits.items():
        config.compute_dtype = kind if kind == "bfloat16" else ""
        with jax.default_matmul_precision(kind if kind in PRECISIONS else None):
            step = JaxStep(config, GZ2, batch, devices=[card])
        its_params, its_loss = update(step, first, card)
        off = optax.global_norm(jax.tree.map(np.subtract, its_params, params))
        rows += [
            row(f"{name}, {kind}: loss", distance(its_loss, loss), loss_limit),
            row(f"{name}, {kind}: update", off / moved, update_limit),
        ]
    return rows


def update(step: JaxStep, first, device) -> tuple:
    """Returns the parameters after one update of the first state, and the loss."""
    step.state = jax.device_put(first, replicated(make_mesh([device])))
    state, loss = step()
    return jax.device_get(state.params), float(loss)


def check_equivariance(config, batch_size: int) -> list[dict]:
    """Moves galaxies by all elements of an exact network's group, and compares.

    Feature maps must move along, and answers stay.

    R is that of all elements, of votes that differ between galaxies.
    """
    group, size = GROUPS[config.model.group], config.view.size_px
    images = np.random.default_rng(0).normal(size=(batch_size, 1, size, size, 3))
    moved = np.stack([act(images, g, (2, 3)) for g in range(group.order)])
    rows, limits = [], {"highest": (1e-4, 1e-5), "default": (5e-3, 1e-3)}
    limits["bfloat16"] = (5e-2, 5e-3)
    for kind, (maps_limit, robustness_limit) in limits.items():
        config.compute_dtype = kind if kind == "bfloat16" else ""
        model = make_model(config, GZ2.num_answers)

        def answer(variables, x, model=model):
            logits, seen = model.apply(
                variables,
                network_input(model, x),
                train=False,
                capture_intermediates=lambda _, method: method == "features",
            )
            maps = seen["intermediates"]["features"][0].astype(jnp.float32)
            return maps, HEADS["sigmoid"](logits, GZ2)[1]

        x = moved.astype(np.float32)
        with jax.default_matmul_precision(kind if kind in PRECISIONS else None):
            make = jax.jit(
                lambda x, model=model: model.init(jax.random.key(0), x, False)
            )
            variables = randomised(jax.device_get(make(network_input(model, x[0]))))
            program = jax.jit(answer)
            maps, votes = zip(
                *(jax.device_get(program(variables, y)) for y in x), strict=True
            )
        rest = [
            distance(maps[g], act_on_features(maps[0], g, group))
            for g in range(group.order)
        ]
        robustness = rotation_distances(np.stack(votes, axis=1)).mean()
        rows += [
            row(f"equivariance, {kind}: maps", max(rest), maps_limit),
            row(f"equivariance, {kind}: R", robustness, robustness_limit),
        ]
    spread = float(np.std(votes[0], axis=0).max())
    return [*rows, row("answers alike (1 - spread of votes)", 1 - spread, 0.999)]
