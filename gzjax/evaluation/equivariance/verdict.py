"""Names the layer that loses most, and what would mend it."""

from collections.abc import Iterator, Sequence

import flax.linen as nn
import numpy as np

from gzjax.evaluation.equivariance.causes import (
    Cause,
    Causes,
    causes_of,
    is_flattened,
)
from gzjax.evaluation.equivariance.measure import (
    BETWEEN,
    EXACT,
    VOTES,
    Change,
    Layer,
)
from gzjax.models.probes.equivariance import OUTPUT

FLOAT_NOISE = 1e-4  # errors up to this count as none
FINE = 0.05  # errors up to this need no mending
_FAULTLESS = (
    "it has no known fault",
    "measure it alone with gzjax.layers.equivariance_error; between quarter turns a "
    "finer view (config.view) or larger feature maps may help",
)
_SHORTCUT = "downsample"  # it runs beside its block, and ends no chain
_WHERE = {EXACT: "at quarter turns and mirror images", BETWEEN: "between them"}


def find_verdict(
    layers: Sequence[Layer], changes: Sequence[Change], model: nn.Module, view
) -> dict:
    """Returns what is lost, where, and why, JSON-ready.

    *At quarter turns and mirror images* an equivariant layer loses nothing: the first
    whose error is ten times that of its input is at fault. If every layer only passes
    on what it gets, the rounding of the view is. *Between them* every layer loses
    something. The share of a layer is how much log(1 + (error / 0.05)²) grows from its
    input to the next layer's; what grows in layers without a cause (:mod:`.causes`)
    counts for the nearest one before them that has one. If that is the view, they are
    innocent together; the one that loses most, with its activation, is named without a
    cause.

    Returns:
        ``exact`` and ``between``, each None if no such change was measured, or a dict:
        ``worst`` (the largest error of all layers), ``at`` (its change) and ``layer``.
        That is None if nothing is to be mended, or a name; then there are ``layer_at``
        (the change at which it loses most), ``before`` (the error of its input there),
        ``error`` (that of ``up_to``, the worst layer that counts for it), ``cause`` and
        ``what_to_do``.
    """
    leaves = list(_leaves(layers, model, view))
    verdict: dict = {}
    for kind, limit in ((EXACT, FLOAT_NOISE), (BETWEEN, FINE)):
        names = [change.name for change in changes if change.kind == kind]
        if not names:
            verdict[kind] = None
            continue
        worst, at = max(
            (layer.error[name], name)
            for layer in layers
            for name in names
            if layer.call.name != VOTES  # an untrained head divides by little
        )
        verdict[kind] = {"worst": worst, "at": at, "layer": None}
        if worst <= limit:
            continue
        choose = _first_that_loses if kind == EXACT else _largest_share
        layer, end, cause = choose(leaves, names)
        lost = {name: end.error[name] - layer.before[name] for name in names}
        at = max(names, key=lost.__getitem__)
        verdict[kind] |= {
            "layer": layer.call.name,
            "layer_at": at,
            "before": layer.before[at],
            "up_to": end.call.name,
            "error": end.error[at],
            "cause": cause[0],
            "what_to_do": cause[1],
        }
    return verdict


def sentences(verdict: dict) -> list[str]:
    """Returns the verdict in words, a sentence or two for each kind of change."""
    lines = []
    blamed = None
    for kind, found in verdict.items():
        if found is None:
            continue
        if found["layer"] is None:
            lines.append(
                f"{_WHERE[kind]}: nothing to mend; the largest error is "
                f"{found['worst']:.2g}, at {found['at']}"
            )
            continue
        lost = "loses it first" if kind == EXACT else "loses most"
        end = f" (up to {found['up_to']})" * (found["up_to"] != found["layer"])
        text = (
            f"{_WHERE[kind]}: {found['layer']} {lost}, {found['before']:.2g} → "
            f"{found['error']:.2g} at {found['layer_at']}{end}"
        )
        if found["cause"] != blamed:
            text += f": {found['cause']}\nWhat to do: {found['what_to_do']}"
        blamed = found["cause"]
        lines.append(text)
    return [line[0].upper() + line[1:] for line in lines]


def _leaves(layers, model, view) -> Iterator[tuple[Layer, Causes]]:
    """Yields the layers that call no other, with their causes, and blocks' outputs."""
    names = [layer.call.name for layer in layers]
    previous = layers[0]
    for layer in layers:
        name = layer.call.name
        if name in (OUTPUT, VOTES):
            continue
        is_block = any(n.startswith(f"{name}/") for n in names)
        causes = Causes()
        if not is_block:
            causes = causes_of(layer.call, previous.call, model, view)
        if is_block or is_flattened(layer.call, previous.call):
            # What is side by side moves when the image does: not an error of its own.
            layer = layer._replace(before=previous.error)
        yield layer, causes
        if _SHORTCUT not in name:
            previous = layer


def _first_that_loses(leaves, names) -> tuple[Layer, Layer, Cause]:
    def loses(layer):
        limits = (max(FLOAT_NOISE, 10 * layer.before[name]) for name in names)
        pairs = zip(names, limits, strict=True)
        return any(layer.error[name] > limit for name, limit in pairs)

    view, *rest = leaves
    layer, causes = next((leaf for leaf in rest if loses(leaf[0])), view)
    return layer, layer, causes.exact or _FAULTLESS


def _largest_share(leaves, names) -> tuple[Layer, Layer, Cause]:
    leaves = [leaf for leaf in leaves if _SHORTCUT not in leaf[0].call.name]
    shares, rises = np.zeros((2, len(leaves)))
    ends = list(range(len(leaves)))  # the worst layer that counts for each
    suspect, error = 0, 0.0
    for i, (layer, causes) in enumerate(leaves):
        before = _growth(layer.before, names)
        revealed = max(0, before - error)  # by an activation, for example
        shares[suspect] += revealed
        rises[max(0, i - 1)] += revealed
        suspect = i if causes.between is not None else suspect
        error = _growth(layer.error, names)
        if error > _growth(leaves[ends[suspect]][0].error, names):
            ends[suspect] = i
        rises[i] = error - before
        shares[suspect] += rises[i]
    i = int(shares.argmax())
    layer, causes = leaves[i]
    if i == 0 and rises[0] < shares[0] / 2:
        i = int(rises.argmax())
        pair = [leaf for leaf, _ in leaves[i : i + 2]]
        end = max(pair, key=lambda layer: _growth(layer.error, names))
        return leaves[i][0], end, _FAULTLESS
    return layer, leaves[ends[i]][0], causes.between or _FAULTLESS


def _growth(errors: dict[str, float], names) -> float:
    return sum(float(np.log1p((errors[name] / FINE) ** 2)) for name in names)
