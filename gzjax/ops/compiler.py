"""Compiler options under which a CPU convolves quickly."""

import functools
import os

import jax

# By default XLA hands convolutions to YNNPACK, whose gradients are slow; its sums, as
# those of batch norm, are quick and stay (benchmarks/train_step.py).
_OPTIONS = {
    "cpu": {"xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_REDUCE"}
}


def compiler_options(backend: str | None = None) -> dict[str, str]:
    """Returns what ``jax.jit(..., compiler_options=...)`` should be given.

    Options that the installed jaxlib does not know, and those that the user set in
    ``XLA_FLAGS``, are left out.

    Args:
        backend: "cpu", "gpu" or "tpu"; None: JAX's default.
    """
    given = os.environ.get("XLA_FLAGS", "")
    return {
        name: value
        for name, value in _OPTIONS.get(backend or jax.default_backend(), {}).items()
        if name not in given and _is_known(name, value)
    }


@functools.cache
def _is_known(name: str, value: str) -> bool:
    try:
        jax.jit(lambda: 0, compiler_options={name: value}).lower().compile()
    except jax.errors.JaxRuntimeError:
        return False
    return True
