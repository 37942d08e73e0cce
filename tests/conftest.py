"""A harsher world than the users': see also the warning filter in pyproject.toml."""

import os
import tempfile

from compiling import QUICKLY

# Four devices on one CPU, so that sharding is exercised. Set before JAX starts.
os.environ["XLA_FLAGS"] = " ".join(
    [
        os.environ.get("XLA_FLAGS", ""),
        "--xla_force_host_platform_device_count=4",
        QUICKLY,
    ]
)
os.environ["JAX_PLATFORMS"] = "cpu"
# Programs that several tests (or their subprocesses) run are compiled once, whichever
# worker of pytest-xdist runs them: all inherit the first process's folder, or that of
# the environment, which keeps them for the next run. A limit of its size makes JAX lock
# it.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    _cache = tempfile.TemporaryDirectory(prefix="gzjax-tests-")
    os.environ["JAX_COMPILATION_CACHE_DIR"] = _cache.name
    os.environ["JAX_COMPILATION_CACHE_MAX_SIZE"] = str(2**33)
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.2"

import jax
import pytest

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_debug_nans", True)
jax.config.update("jax_default_matmul_precision", "highest")


@pytest.fixture
def key():
    """The one JAX key of a test."""
    return jax.random.key(0)
