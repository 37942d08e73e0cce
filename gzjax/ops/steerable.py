r"""Steerable group convolutions: filters that turn by any angle (Weiler & Cesa 2019).

A filter is a sum of circular harmonics on Gaussian rings. In polar coordinates (ρ, φ)
about its centre, on the disc ρ ≤ size / 2, these are

    exp(-(ρ - ρ_j)² / 2σ²) cos nφ  and  exp(-(ρ - ρ_j)² / 2σ²) sin nφ

for each ring j and n = 0 .. its highest frequency. An element s of the group maps the
harmonics of one ring and frequency to combinations of themselves:
φ_b(s⁻¹ x) = Σ_a φ_a(x) R[s]_ab. So filters turn by their coefficients, and no pixel is
interpolated.
"""

import dataclasses
import functools
import math

import chex
import jax
import jax.numpy as jnp
import numpy as np

from gzjax.ops.conv import as_filter, conv
from gzjax.ops.gconv import make_orbit
from gzjax.ops.groups import Group

_LEAST_NORM = 1e-6  # of a ring whose nearest pixel is five sigma away
_exact_einsum = functools.partial(jnp.einsum, precision="highest")


@dataclasses.dataclass(frozen=True)
class Rings:
    """The basis of a filter: its rings, and how fine the patterns on them are.

    Attributes:
        radii: distances of the rings from the filter's centre, in px.
        frequencies: how often the finest pattern of each ring repeats around it. One
            above the radius, rounded up to whole px, costs more equivariance than it
            gives.
        sigma: width of the rings, in px. A ring with ``radius + sigma > size / 2``
            reaches beyond the disc.

    Raises:
        ValueError: the numbers of radii and frequencies differ, or one is invalid.
    """

    radii: tuple[float, ...] = (0.0, 1.0, 1.8)
    frequencies: tuple[int, ...] = (0, 1, 2)
    sigma: float = 0.6

    def __post_init__(self):
        if len(self.radii) != len(self.frequencies) or not self.radii:
            raise ValueError(
                f"radii is {self.radii} and frequencies {self.frequencies}: give one "
                "frequency for each radius, and at least one of both"
            )
        whole = all(isinstance(n, int) and n >= 0 for n in self.frequencies)
        if not whole or not all(0 <= radius < math.inf for radius in self.radii):
            raise ValueError(
                f"radii is {self.radii} and frequencies {self.frequencies}: give "
                "finite radii from 0 on, and whole frequencies from 0 on"
            )
        if not 0 < self.sigma < math.inf:
            raise ValueError(f"sigma is {self.sigma}: give a finite one above 0")

    @property
    def num_functions(self) -> int:
        """Returns the number of basis functions."""
        return sum(2 * highest + 1 for highest in self.frequencies)

    def sample(self, size: int) -> np.ndarray:
        """Returns float64 ``[size * size, num_functions]``, row by row.

        The sum of squares of a function is 1, for frequencies above 0 in the mean over
        angles. At the centre, which has no angle, these are 0.

        Raises:
            ValueError: a ring has no pixel on the disc.
        """
        x = np.arange(size) - (size - 1) / 2
        rho, phi = np.hypot(x, x[:, None]).ravel(), np.arctan2(-x[:, None], x).ravel()
        functions = []
        for radius, highest in zip(self.radii, self.frequencies, strict=True):
            ring = np.exp(-((rho - radius) ** 2) / (2 * self.sigma**2))
            ring[rho > size / 2 + 1e-9] = 0
            off_centre = np.where(rho > 0, ring, 0)
            if np.linalg.norm(off_centre if highest else ring) < _LEAST_NORM:
                raise ValueError(
                    f"the ring at {radius:g} px with frequencies up to {highest} has "
                    f"no pixel in a filter of {size} px: give a larger filter or "
                    "feature map, or other rings"
                )
            functions.append(ring / np.linalg.norm(ring))
            if highest:
                ring = off_centre * (math.sqrt(2) / np.linalg.norm(off_centre))
            for n in range(1, highest + 1):
                functions += [ring * np.cos(n * phi), ring * np.sin(n * phi)]
        return np.stack(functions, axis=1)

    def representation(self, group: Group) -> np.ndarray:
        """Returns R of the module, float64 ``[order, num_functions, num_functions]``.

        R[s] R[t] = R[s·t], and each R[s] is orthogonal.
        """
        mirror, turn = np.divmod(np.arange(group.order), group.turns)
        angle = 2 * np.pi / group.turns * turn
        result = np.zeros((group.order, self.num_functions, self.num_functions))
        at = 0
        for highest in self.frequencies:
            result[:, at, at] = 1
            for n in range(1, highest + 1):
                i, j = at + 2 * n - 1, at + 2 * n
                # A mirror image takes φ to π - φ.
                sign = np.where(mirror, (-1) ** n, 1)
                result[:, i, i] = sign * np.cos(n * angle)
                result[:, j, i] = sign * np.sin(n * angle)
                sign = np.where(mirror, -sign, sign)
                result[:, i, j] = -sign * np.sin(n * angle)
                result[:, j, j] = sign * np.cos(n * angle)
            at += 2 * highest + 1
        return result


def mask_corners(images: jax.Array) -> jax.Array:
    """Returns images ``[b n n ...]`` that fade to 0 at the edge of the largest disc.

    A turn brings other things into the corners, which no layer could know of.

    Raises:
        ValueError: the images are not square, or not floats.
    """
    size = images.shape[1]
    if images.shape[2] != size or not jnp.issubdtype(images.dtype, jnp.floating):
        raise ValueError(
            f"images are {images.dtype} {list(images.shape)}: give floats [b n n ...]"
        )
    x = np.arange(size) - (size - 1) / 2
    rho = np.hypot(x, x[:, None]) / size
    mask = np.clip(0.5 + 20 * (0.5 - rho), 0, 1)  # over a twentieth of the size
    mask = mask.reshape(1, size, size, *(1,) * (images.ndim - 3))
    return images * jnp.asarray(mask, images.dtype)


def steerable_filter(c: jax.Array, group: Group, size: int, rings: Rings) -> jax.Array:
    """Returns the planar filter ``[k k T·in order·out]`` of coefficients.

    For output element s and input element t it is Σ_b φ_b(s⁻¹ x) c[s⁻¹ t, b].

    Args:
        c: ``[T num_functions in out]``, T = 1 (lifting) or the order.
        size: k, in px.
    """
    chex.assert_axis_dimension(c, 1, rings.num_functions)
    depth, _, features_in, features_out = c.shape
    turn = jnp.asarray(rings.representation(group), c.dtype)
    sample = jnp.asarray(rings.sample(size), c.dtype)
    if depth > 1:
        c = make_orbit(group, 1, lifting=False)(c)  # [T s B in out]
        c = _exact_einsum("sab,tsbio->atiso", turn, c)
    else:
        c = _exact_einsum("sab,bio->aiso", turn, c[0])
    planar = _exact_einsum("pa,ax->px", sample, c.reshape(len(c), -1))
    return planar.reshape(size, size, depth * features_in, group.order * features_out)


def steerable_conv(
    x: jax.Array,
    c: jax.Array,
    group: Group,
    size: int,
    rings: Rings,
    stride: int = 1,
    padding: int = 0,
) -> jax.Array:
    """Returns a lifting or group convolution with a steerable filter, without bias.

    The arguments and the result are those of :func:`gzjax.ops.gconv.group_conv`, except
    that c is as in :func:`steerable_filter`.
    """
    chex.assert_rank(x, 5)
    w = steerable_filter(c, group, size, rings)
    y = conv(x.reshape(*x.shape[:3], -1), w, stride, padding)
    return y.reshape(*y.shape[:3], group.order, c.shape[-1])


def whole_map_steerable_conv(
    x: jax.Array, c: jax.Array, group: Group, rings: Rings
) -> jax.Array:
    """Returns ``[b order out]`` for a steerable filter as large as ``x [b n n T in]``.

    The coefficients of the feature map, not of the filter, are moved by the inverse
    elements (:func:`gzjax.ops.gconv.whole_map_group_conv`).

    Args:
        c: ``[order num_functions in out]``.
    """
    batch, size, _, order, features_in = x.shape
    chex.assert_shape(c, (order, rings.num_functions, features_in, None))
    sample = jnp.asarray(rings.sample(size), x.dtype)
    turn = jnp.asarray(rings.representation(group), x.dtype)
    z = jnp.einsum("bpi,pf->fbi", x.reshape(batch, size * size, -1), sample)
    z = jnp.moveaxis(z.reshape(-1, batch, order, features_in), 2, 0)  # [t f b i]
    z = make_orbit(group, 1, lifting=False, inverse_elements=True)(z)  # [t s f b i]
    z = jnp.einsum("tsfbi,sfg->bstgi", z, turn).reshape(batch, order, -1)
    return z @ as_filter(c, x).reshape(-1, c.shape[-1])
