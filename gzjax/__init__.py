"""gzjax: galaxy morphology from images, in JAX.

``gzjax.load(run)`` opens a trained network (:func:`gzjax.prediction.predictor.load`).

Axes, wherever shapes are written: b batch, m placement of an averaging set, v view,
h w pixels (row, column), c channels, g group element, q question, a answer.
"""

__version__ = "0.1.0"
__all__ = ["__version__", "load"]


def __getattr__(name: str):
    # On use: "import gzjax" and the command line's --help need not wait for JAX.
    if name == "load":
        from gzjax.prediction.predictor import load

        return load
    raise AttributeError(f"module 'gzjax' has no attribute '{name}'")
