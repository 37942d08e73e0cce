"""How far every layer's features move when the image is turned, shifted or enlarged.

Feature maps of a turned image are not turned back to be compared: a coarse map cannot
be turned without loss. Instead each is reduced to numbers that a turn leaves alone: the
mean over the group (or over a ViewNet's parts), then over concentric rings of pixels
about the map's centre, up to its edge; corners turn out of the image. Means hide what a
non-linearity brings to light, so that the mean of the positive values is taken too.

The error of a layer is the RMS change of these numbers, divided by their spread over
galaxies: 0 if the layer is equivariant, √2 if the change is as good as another galaxy.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import errors
from scipy import ndimage

from gzjax.models.probes.layer_maps import Call, read_calls
from gzjax.models.view_net import ViewNet
from gzjax.ops.groups import act

VIEW, OUTPUT = "view", "output"
# A spread below this share of the values' size counts as this.
_LEAST_SPREAD = 1e-4
_RING_SIGMA_PX = 0.75


class Reduced(NamedTuple):
    """What does not change of a feature: ``rings [b r c]``, and ``space [b c]``.

    The second is the mean over all pixels, which a shift changes less.
    """

    rings: jax.Array
    space: jax.Array


def layer_calls(
    model: nn.Module, variables: dict, images: jax.Array, **arguments
) -> list[Call]:
    """Returns the calls that are measured, in order, each with a name of its own.

    The first is named "view", and passes on the images. Calls that only pass on an
    array (a dropout in evaluation) or return no array ``[b ...]`` are left out. Arrays
    ``[b]`` and ``[b h w]``, of the input's h and w, get an axis of one feature.
    """
    views = isinstance(model, ViewNet)
    view = images.reshape(-1, *images.shape[2:]) if views else images
    calls = {VIEW: Call(VIEW, model, view, view)}
    seen = {id(view)}
    with jax.default_matmul_precision("highest"):
        every_call = read_calls(model, variables, images, **arguments)
    for call in every_call:
        arrays = [
            x for x in jax.tree.leaves(call.output) if _is_measured(x, images, views)
        ]
        for i, array in enumerate(arrays):
            if id(array) in seen or array is call.input:
                continue
            seen.add(id(array))
            name = call.name or OUTPUT
            name += f"[{i}]" if len(arrays) > 1 else ""
            again = sum(key.partition("#")[0] == name for key in calls)
            name += f"#{again + 1}" if again else ""
            # A layer that takes no array is compared with nothing.
            first = call.input if _is_measured(call.input, images, views) else array
            is_map = first.ndim > 3 and array.shape[1:] == first.shape[1:3]
            # The elements of a group may be as many as the pixels.
            if is_map and not hasattr(call.module, "group"):
                array = array[..., None]
            first, array = (x[:, None] if x.ndim == 1 else x for x in (first, array))
            calls[name] = Call(name, call.module, first, array)
    return list(calls.values())


def layer_table(
    model: nn.Module, variables: dict, images: jax.Array | np.ndarray, **arguments
) -> list[Call]:
    """Returns :func:`layer_calls` with shapes instead of arrays; computes nothing."""
    table = []

    def note(variables, images):
        for call in layer_calls(model, variables, images, **arguments):
            shapes = {"input": call.input.shape, "output": call.output.shape}
            table.append(call._replace(**shapes))

    jax.eval_shape(note, variables, images)
    return table


def reduce_calls(
    calls: Sequence[Call], batch_size: int
) -> list[tuple[Reduced, Reduced]]:
    """Returns what the input and the output of each call are reduced to."""
    return [
        (_reduced(call.input, batch_size), _reduced(call.output, batch_size))
        for call in calls
    ]


@jax.jit
def compare(before: Any, after: Any) -> Any:
    """Returns ``[2]`` for every array ``[b ...]``: mean squared change, and variance.

    The trees of arrays are alike. The variance is over b, and averaged over the rest.
    """

    def parts(x, y):
        variance = jnp.mean(jnp.var(x, axis=0, ddof=1))
        least = _LEAST_SPREAD**2 * jnp.mean(x * x)
        return jnp.stack([jnp.mean((y - x) ** 2), jnp.maximum(variance, least)])

    return jax.tree.map(parts, before, after)


def error_of(parts: Any) -> np.ndarray:
    """Returns the errors ``[...]`` of the two parts ``[... 2]``."""
    change, variance = np.moveaxis(np.asarray(parts, np.float64), -1, 0)
    return np.sqrt(change / np.where(variance > 0, variance, 1))


def equivariance_error(
    module: nn.Module,
    variables: dict,
    images: np.ndarray,
    *,
    elements: Sequence[int] = tuple(range(1, 8)),
    angles_deg: Sequence[float] = (22.5, 45.0),
    **arguments,
) -> dict[str, dict[str, float]]:
    """Measures how far each layer of a Flax module is from equivariance.

    Args:
        module: called as ``module(images, **arguments)``.
        images: ``[b n n c]``, numbers, of at least two different images.
        elements: of p4m, by which :func:`gzjax.ops.groups.act` moves the images.
        angles_deg: by which the images are turned, with cubic splines; what turns in at
            the corners is the mirrored image. Give smooth images, blank outside the
            disc that stays in view: a mean over the whole square sees the corners.

    Returns:
        Layer → {change → error}, in order. Changes are named ``"element 1"`` and
        ``"22.5°"``. The first layer, "view", is the images themselves: what turning
        them costs. See :mod:`gzjax.models.probes.equivariance` for the error.

    Raises:
        ValueError: the images are of another shape, not finite, or do not differ; or
            the module trains, or hides its layers in a transformation; or a number is
            given for a sequence.
    """
    for name, values in (("elements", elements), ("angles_deg", angles_deg)):
        if np.ndim(values) != 1:
            raise ValueError(f"{name} is {values}: give a sequence, as (1,)")
    images = np.asarray(images)
    images = images.astype(np.promote_types(images.dtype, np.float32))
    if images.ndim != 4 or len(images) < 2 or images.shape[1] != images.shape[2]:
        raise ValueError(f"images are {list(images.shape)}, not [b n n c] with b >= 2")
    if not np.isfinite(images).all():
        raise ValueError("the images are not finite: give others")
    if not np.ptp(images, axis=0).any():
        raise ValueError("the images do not differ: give others")
    moved = {f"element {i}": act(images, i) for i in elements}
    for angle in angles_deg:
        turned = ndimage.rotate(
            images, angle, axes=(2, 1), reshape=False, order=3, mode="mirror"
        )
        moved[f"{angle:g}°"] = turned

    @jax.jit
    def rings(variables, images):
        calls = layer_calls(module, variables, images, **arguments)
        return [output.rings for _, output in reduce_calls(calls, len(images))]

    try:
        before = rings(variables, images)
    except errors.ModifyScopeVariableError as error:
        raise ValueError("the module trains: call it with train=False") from error
    except jax.errors.UnexpectedTracerError as error:
        raise ValueError(
            "a layer is wrapped in nn.remat, nn.jit, nn.scan or nn.vmap: give a module "
            "without that"
        ) from error
    by_change = {
        change: error_of(compare(before, rings(variables, after)))
        for change, after in moved.items()
    }
    names = [call.name for call in layer_table(module, variables, images, **arguments)]
    return {
        name: {change: float(error[i]) for change, error in by_change.items()}
        for i, name in enumerate(names)
    }


def _is_measured(x, images, views) -> bool:
    if not isinstance(x, jax.Array) or x.ndim == 0:
        return False
    return len(x) == len(images) or (views and len(x) % len(images) == 0)


def _reduced(x: jax.Array, batch_size: int) -> Reduced:
    x = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    num_parts = len(x) // batch_size
    if x.ndim == 2 and num_parts == 1:
        return Reduced(x[:, None], x)
    x = jnp.concatenate([x, nn.relu(x)], axis=-1)
    x = x.reshape(batch_size, num_parts, *x.shape[1:])
    if x.ndim < 5:  # [b p c] and [b p g c] have no space
        features = x.mean(axis=range(1, x.ndim - 1))
        return Reduced(features[:, None], features)
    x = x.mean(axis=(1, *range(4, x.ndim - 1)))  # [b h w c]
    space = x.mean(axis=(1, 2))
    if x.shape[1] != x.shape[2]:
        return Reduced(space[:, None], space)
    weights = jnp.asarray(_rings(x.shape[1]), x.dtype)
    with jax.default_matmul_precision("highest"):
        return Reduced(jnp.einsum("rhw,bhwc->brc", weights, x), space)


def _rings(size: int) -> np.ndarray:
    """Returns weights ``[r size size]``: those of each ring have the sum 1.

    Rings of Gaussian profile; the mean over one of sharp edges changes when the map is
    turned, as other pixels fall into it.
    """
    offset = np.arange(size) - (size - 1) / 2
    radius = np.hypot(offset[:, None], offset)
    ring = np.arange(max(1, size // 2))[:, None, None]
    weights = np.exp(-((radius - ring) ** 2) / (2 * _RING_SIGMA_PX**2))
    return weights / weights.sum(axis=(1, 2), keepdims=True)
