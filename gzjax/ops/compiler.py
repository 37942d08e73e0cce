"""Compiler options under which a CPU convolves quickly, or compiles quickly."""

import functools
import os

import jax

# By default XLA hands convolutions to YNNPACK, whose gradients are slow; its sums, as
# those of batch norm, are quick and stay (benchmarks/train_step.py).
_OPTIONS = {
    "cpu": {"xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_REDUCE"}
}
_ONCE = {"cpu": {"xla_backend_optimization_level": "1"}}


def compiler_options(backend: str | None = None, once: bool = False) -> dict[str, str]:
    """Returns what ``jax.jit(..., compiler_options=...)`` should be given.

    Options that the installed jaxlib does not know, and those that the user set in
    ``XLA_FLAGS``, are left out.

    Args:
        backend: "cpu", "gpu" or "tpu"; None: JAX's default.
        once: for a program that runs once: it is to be compiled quickly.
    """
    given, options = os.environ.get("XLA_FLAGS", ""), _ONCE if once else _OPTIONS
    return {
        name: value
        for name, value in options.get(backend or jax.default_backend(), {}).items()
        if name not in given and _is_known(name, value)
    }


@functools.cache
def _is_known(name: str, value: str) -> bool:
    try:
        jax.jit(lambda: 0, compiler_options={name: value}).lower().compile()
    except jax.errors.JaxRuntimeError:
        return False
    return True
