"""Fits the classifier of :mod:`gzjax.data.familiar` to examples."""

import dataclasses
import itertools

import numpy as np

from gzjax.data.familiar.classifier import Reference, log_odds
from gzjax.data.familiar.statistics import NAMES
from gzjax.data.familiar.wrong_kinds import KINDS, ORDERS, UNKNOWN
from gzjax.evaluation.calibration.examples import Examples

FALSE_FLAGS = 0.02  # the share of held-out galaxies that is flagged
_FAR = 0.005  # the share of them that is flagged for its distance alone
_HIDDEN = (128, 128)
_BATCH, _STEPS, _RATE, _DECAY = 1024, 10_000, 3e-3, 3e-2
_JITTER = 0.5  # deviations of the noise, which tells how a file was compressed
_GALAXIES = 0.4  # their share of a batch
_LIMIT = 12.0  # standard deviations beyond which a statistic says no more


def fit_reference(examples: Examples, held_out: Examples, seed: int) -> Reference:
    """Fits a reference to examples; others decide what is flagged.

    Of the galaxies of ``held_out``, ``FALSE_FLAGS`` are flagged.
    """
    values, kind = examples
    galaxies = values[kind == 0]
    mean, deviation = galaxies.mean(axis=0), galaxies.std(axis=0) + 1e-3
    standard = np.clip((galaxies - mean) / deviation, -_LIMIT, _LIMIT)
    covariance = np.cov(standard.T) + 0.01 * np.eye(len(mean))
    reference = Reference(
        mean=mean,
        deviation=deviation,
        whitening=np.linalg.inv(np.linalg.cholesky(covariance)).T,
        far=np.float32(1),
        offset=np.float32(0),
        kernels=(),
        biases=(),
    )
    kernels, biases = _train(reference.clipped(values), kind, seed)
    reference = dataclasses.replace(reference, kernels=kernels, biases=biases)
    galaxies = held_out.statistics[held_out.kind == 0]
    distance = reference.distance(galaxies)
    far = np.quantile(distance, 1 - _FAR)
    odds = log_odds(reference.logits(galaxies))[distance <= far]
    share = FALSE_FLAGS - (distance > far).mean()
    offset = np.quantile(odds, 1 - max(share, 0))
    return dataclasses.replace(
        reference, far=np.float32(far), offset=np.float32(offset)
    )


def flagged_shares(reference: Reference, held_out: Examples) -> dict[str, float]:
    """Returns which share of each kind is flagged; "galaxies" is the first."""
    is_flagged = reference.judge_statistics(held_out.statistics).kind > 0
    groups = {"galaxies": [0], "bands in another order": [*range(1, 1 + len(ORDERS))]}
    groups |= {KINDS[kind]: [kind] for kind in range(1 + len(ORDERS), UNKNOWN)}
    return {
        name: float(is_flagged[np.isin(held_out.kind, kinds)].mean())
        for name, kinds in groups.items()
    }


def _train(
    inputs: np.ndarray, kind: np.ndarray, seed: int
) -> tuple[tuple[np.ndarray, ...], tuple[np.ndarray, ...]]:
    """Returns the kernels and the biases of a classifier of ``inputs [n s]``."""
    import jax
    import jax.numpy as jnp
    import optax

    rng = np.random.default_rng(seed)
    counts = np.bincount(kind, minlength=UNKNOWN)
    share = np.where(np.arange(UNKNOWN) == 0, _GALAXIES, 1) / np.maximum(counts, 1)
    share[1:] *= (1 - _GALAXIES) / (UNKNOWN - 1)
    chances = share[kind] / share[kind].sum()
    batches = rng.choice(len(kind), (_STEPS, _BATCH), p=chances)
    widths = (inputs.shape[1], *_HIDDEN, UNKNOWN)
    params = [
        (np.float32(rng.normal(size=(f, g)) * np.sqrt(2 / f)), np.zeros(g, np.float32))
        for f, g in itertools.pairwise(widths)
    ]
    tx = optax.adamw(optax.cosine_decay_schedule(_RATE, _STEPS), weight_decay=_DECAY)
    jitter = _JITTER * np.float32([name.startswith("noise") for name in NAMES])
    inputs, kind = jnp.asarray(inputs, jnp.float32), jnp.asarray(kind)

    def loss(params, number, rows):
        drawn = jax.random.normal(jax.random.key(number), (_BATCH, len(jitter)))
        x = inputs[rows] + jitter[None] * drawn
        for kernel, bias in params[:-1]:
            x = jax.nn.relu(x @ kernel + bias[None])
        logits = x @ params[-1][0] + params[-1][1][None]
        errors = optax.softmax_cross_entropy_with_integer_labels(logits, kind[rows])
        return errors.mean()

    def step(carry, batch):
        params, state = carry
        updates, state = tx.update(jax.grad(loss)(params, *batch), state, params)
        return (optax.apply_updates(params, updates), state), None

    @jax.jit
    def fit(params):
        numbered = jnp.arange(_STEPS), batches
        return jax.lax.scan(step, (params, tx.init(params)), numbered)[0][0]

    return tuple(zip(*jax.device_get(fit(params)), strict=True))
