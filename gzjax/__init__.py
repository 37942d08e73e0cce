"""gzjax: galaxy morphology from images, in JAX.

Axes, wherever shapes are written: b batch, m map of an averaging set, v view,
h w pixels (row, column), c channels, g group element, q question, a answer.
"""

__version__ = "0.1.0"
