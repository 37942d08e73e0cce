"""Computes the error of every blend from a few Gram matrices.

A blend of predictions p_i with weights w that add up to 1 errs by Σ w_i e_i, where
e_i = p_i - truth. Its mean square error over galaxies is therefore wᵀ G w, with the
Gram matrix G_ij = mean(e_i e_j), one for each answer: the predictions are read once,
and to score a blend costs nothing.

Axes: m models, n galaxies, a answers. Weights are [m], or [a m] if they differ between
answers.
"""

import itertools

import numpy as np

from gzjax.data.draws import hash64

WEIGHTS = ("uniform", "model", "answer")
MAX_EXHAUSTIVE = 20  # models: 2^20 subsets take seconds


def fitting_half(ids: np.ndarray) -> np.ndarray:
    """Returns bool [n]: which galaxies weights are fitted on; the others score them.

    It is the half (rounded up) of ``ids`` (int64 [n], unique, not negative) with the
    lowest hashes, whatever their order.
    """
    order = np.argsort(hash64(0, ids))
    fits = np.zeros(len(ids), bool)
    fits[order[: (len(ids) + 1) // 2]] = True
    return fits


def gram_matrices(votes: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Returns G [a m m] of ``votes`` [m n a] and the truth ``targets`` [n a], n ≥ 1."""
    errors = np.transpose(votes - targets, (2, 0, 1))  # [a m n]
    return errors @ np.swapaxes(errors, 1, 2) / errors.shape[-1]


def blend_rmse(gram: np.ndarray, weights: np.ndarray) -> float:
    """Returns the RMSE over galaxies × answers, sqrt(mean_a wᵀ G_a w), of G [a m m]."""
    square = np.einsum("...i,...ij,...j->...", weights, gram, weights).mean()
    return float(np.sqrt(max(square, 0.0)))  # rounding can make a 0 negative


def blend(votes: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Returns the weighted mean [n a] of ``votes`` [m n a]."""
    num_models, _, num_answers = votes.shape
    weights = np.broadcast_to(weights, (num_answers, num_models))
    return np.einsum("mna,am->na", votes, weights)


def fit_weights(kind: str, gram: np.ndarray) -> np.ndarray:
    """Returns weights, positive and adding up to 1, for the least mean square error.

    "uniform" fits nothing, "model" fits a weight per model, [m], and "answer" a weight
    per model for each answer, [a m]. G [a m m] is that of the galaxies to fit on.
    """
    if kind == "uniform":
        return np.full(gram.shape[-1], 1 / gram.shape[-1])
    if kind == "model":
        return _fit(gram.mean(axis=0))
    return np.stack([_fit(answer) for answer in gram])


def square_error(z: np.ndarray, gram: np.ndarray) -> tuple[float, np.ndarray]:
    """Returns f = wᵀ G w of one G [m m] at w = softmax(z), and its gradient by z [m].

    With g = ∂f/∂w = 2 G w and ∂w_i/∂z_j = w_i (δ_ij - w_j): ∂f/∂z = w (g - w·g).
    """
    w = _softmax(z)
    g = 2 * gram @ w
    return w @ g / 2, w * (g - w @ g)


def best_subsets(gram: np.ndarray) -> np.ndarray:
    """Returns for each k the k models whose uniform blend has the least square error.

    It is bool [m m]; row k - 1 has k members. G [m m] is the mean over answers. Every
    subset is tried for up to ``MAX_EXHAUSTIVE`` models. If there are more, each row is
    the one before it and the one model that helps most.
    """
    num_models = len(gram)
    if num_models > MAX_EXHAUSTIVE:
        return _greedy_subsets(gram)
    rows = []
    for k in range(1, num_models + 1):
        members = np.array([*itertools.combinations(range(num_models), k)])
        masks = np.zeros((len(members), num_models), bool)
        np.put_along_axis(masks, members, True, axis=1)
        rows.append(masks[np.argmin(_uniform_squares(masks, gram))])
    return np.stack(rows)


def changes_without(gram: np.ndarray) -> np.ndarray:
    """Returns [m], of G [a m m]: the rise of the uniform blend's RMSE without each."""
    num_models = gram.shape[-1]
    others = (1 - np.eye(num_models)) / (num_models - 1)
    whole = blend_rmse(gram, fit_weights("uniform", gram))
    return np.array([blend_rmse(gram, weights) - whole for weights in others])


def _softmax(z: np.ndarray) -> np.ndarray:
    w = np.exp(z - z.max())
    return w / w.sum()


def _fit(gram: np.ndarray) -> np.ndarray:
    from scipy.optimize import minimize  # slow to import

    # The tolerances are absolute: scaled, the squares are about 1.
    scale = np.trace(gram) / len(gram) or 1.0
    result = minimize(
        square_error,
        np.zeros(len(gram)),
        args=(gram / scale,),
        method="L-BFGS-B",
        jac=True,
        options={"ftol": 1e-15, "gtol": 1e-10, "maxiter": 2000},
    )
    return _softmax(result.x)


def _uniform_squares(masks: np.ndarray, gram: np.ndarray) -> np.ndarray:
    """Returns [c], of the uniform blends of the subsets ``masks`` bool [c m]."""
    weights = masks / masks.sum(axis=1, keepdims=True)
    return np.sum(weights @ gram * weights, axis=1)


def _greedy_subsets(gram: np.ndarray) -> np.ndarray:
    rows, chosen = [], np.zeros(len(gram), bool)
    while not chosen.all():
        options = chosen | np.eye(len(gram), dtype=bool)[~chosen]
        chosen = options[np.argmin(_uniform_squares(options, gram))]
        rows.append(chosen)
    return np.stack(rows)
