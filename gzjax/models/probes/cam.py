"""Class activation maps: which places of a layer's feature maps speak for an answer.

A layer is any of :func:`gzjax.models.probes.layer_maps.layer_shapes`. Its feature maps
are what the module returns, before a ReLU that the network applies itself. They can be
negative, and hot there although nothing reads negative values. ``rectified`` takes what
comes out of that ReLU instead, as the papers do.

A channel is one filter: a plane with all its group elements, the same in all parts of
all views. Setting one to zero, or averaging over it, commutes with turning the image,
so the heat of an exactly invariant network is equivariant.
"""

import functools
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from matplotlib import colormaps

from gzjax.errors import UserError
from gzjax.models.probes.field_of_view import lay_over
from gzjax.models.probes.layer_maps import check_layer, forward
from gzjax.ops.heads import HEADS
from gzjax.trees import Tree


class Heat(NamedTuple):
    """Where an answer comes from, float32; each galaxy's heat has maximum 1 or is 0.

    Attributes:
        score: ``[b]``, the answer's score, which is explained.
        weights: ``[b c]``, of the layer's channels.
        cells: ``[b h w]`` in the layer's resolution, or ``[b p h w]`` with the p = 8v
            parts of a ViewNet.
        pixels: ``[b H W]``, or ``[b v H W]`` for a ViewNet: the cells laid over the
            images (:func:`gzjax.models.probes.field_of_view.lay_over`).
    """

    score: jax.Array
    weights: jax.Array
    cells: jax.Array
    pixels: jax.Array


def ablation_cam(
    model: nn.Module,
    variables: dict,
    images: jax.Array,
    answer: str,
    layer: str,
    tree: Tree,
    head: str,
    rectified: bool = False,
    chunk: int = 8,
) -> Heat:
    """Returns the Ablation-CAM (Desai & Ramaswamy 2020): ``relu(Σ_k w_k A_k)``.

    ``w_k = (y - y_k) / y``, where y is the answer's vote fraction and y_k that without
    channel k (its feature maps A_k set to zero). If y is 0 there is nothing to explain:
    all weights and the heat are 0. So are weights that are within rounding of 0.

    Args:
        model: a network that is called as ``model(images, train)``.
        images: ``[b h w c]``, for a ViewNet ``[b v h w c]``, normalised.
        answer: ``"question.answer"``.
        layer: one of ``layer_shapes``.
        head: one of ``HEADS``.
        rectified: take the feature maps after the ReLU that follows the layer.
        chunk: channels ablated at a time, ≥ 1; memory grows with it.

    Raises:
        UserError: there is no such answer, layer or head (lists those that there are),
            or ``rectified`` and no ReLU follows the layer, or the model is a Pair.
    """
    _check("head", head, HEADS)
    column = _column(tree, answer)
    check_layer(model, variables, images, layer, rectified)
    return _ablation_cam(
        variables, images, column, model, layer, tree, head, rectified, chunk
    )


def grad_cam(
    model: nn.Module,
    variables: dict,
    images: jax.Array,
    answer: str,
    layer: str,
    tree: Tree,
    rectified: bool = False,
) -> Heat:
    """Returns the Grad-CAM (Selvaraju et al. 2017): ``w_k = mean ∂z/∂A_k``.

    As published, z is the answer's logit, before the head: through a head of ReLUs the
    gradient of an answer that is 0 vanishes, and through saturated shares nearly. What
    speaks for the question's other answers is therefore not considered. Arguments and
    errors are those of :func:`ablation_cam`.
    """
    column = _column(tree, answer)
    check_layer(model, variables, images, layer, rectified)
    return _grad_cam(variables, images, column, model, layer, rectified)


def overlay(image: np.ndarray, heat: np.ndarray, opacity: float = 0.7) -> np.ndarray:
    """Returns uint8 ``[h w 3]``: the heat in colours (inferno) over the image.

    Args:
        image: uint8 ``[h w 3]``, the view that the network saw.
        heat: ``[h w]`` in [0, 1]; cold places are transparent.
        opacity: where the heat is 1, in [0, 1].
    """
    if image.shape != (*heat.shape, 3):
        raise ValueError(f"an image {image.shape} and heat {heat.shape} do not match")
    heat = np.clip(heat, 0, 1).astype(np.float64)
    colours = 255 * colormaps["inferno"](heat)[..., :3]
    share = opacity * heat[..., None]
    return np.rint((1 - share) * image + share * colours).astype(np.uint8)


@functools.partial(
    jax.jit, static_argnames=("model", "layer", "tree", "head", "rectified", "chunk")
)
@jax.default_matmul_precision("highest")
def _ablation_cam(
    variables, images, answer, model, layer, tree, head, rectified, chunk
):
    def score(logits):
        return HEADS[head](logits, tree)[1][:, answer]

    def score_without(channel):
        ablated = features.at[..., channel].set(0)
        return score(forward(model, variables, images, layer, ablated)[0])

    logits, features = forward(model, variables, images, layer)
    features = nn.relu(features) if rectified else features
    y = score(logits)
    channels = jnp.arange(features.shape[-1])
    y_k = jax.lax.map(score_without, channels, batch_size=chunk).T  # [b c]
    weights = (y[:, None] - y_k) / jnp.where(y > 0, y, 1)[:, None]
    # Another order of the same sums is no effect, and must not be scaled up to one.
    known = (y > 0)[:, None] & (jnp.abs(weights) > 16 * jnp.finfo(y.dtype).eps)
    return _heat(model, images, y, jnp.where(known, weights, 0), features)


@functools.partial(jax.jit, static_argnames=("model", "layer", "rectified"))
@jax.default_matmul_precision("highest")
def _grad_cam(variables, images, answer, model, layer, rectified):
    def logit(features):
        z = forward(model, variables, images, layer, features)[0][:, answer]
        return z.sum(), z  # galaxies do not mix: of the sum, each gets its own gradient

    features = forward(model, variables, images, layer)[1]
    features = nn.relu(features) if rectified else features
    gradient, z = jax.grad(logit, has_aux=True)(features)
    weights = gradient.reshape(len(images), -1, features.shape[-1]).mean(axis=1)
    return _heat(model, images, z, weights, features)


def _heat(model, images, score, weights, features):
    if features.ndim == 5:
        features = features.mean(axis=3)
    features = features.reshape(len(images), -1, *features.shape[1:])  # [b p h w c]
    cells = _normalised(nn.relu(jnp.einsum("bphwc,bc->bphw", features, weights)))
    pixels = _normalised(lay_over(cells, model, images))
    if cells.shape[1] == 1:
        cells = cells[:, 0]
    return Heat(*(x.astype(jnp.float32) for x in (score, weights, cells, pixels)))


def _normalised(heat):
    largest = heat.max(axis=range(1, heat.ndim), keepdims=True)
    return heat / jnp.where(largest > 0, largest, 1)


def _column(tree, answer):
    _check("answer", answer, tree.answer_names)
    return tree.answer_names.index(answer)


def _check(what, name, known):
    if name not in known:
        raise UserError(f"no {what} '{name}'; there are: {', '.join(known)}")
