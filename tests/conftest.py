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

# Whole files are shared out (--dist loadfile): the long ones first, or a worker has one
# left when the other has none.
LONGEST = ("systems", "compare", "predict_images", "faults", "dieleman",
           "report_runs", "train", "phases", "evaluate", "distributed",
           "resnet", "robustness", "pipeline", "group_cnn", "export", "view_net",
           "survey")  # fmt: skip


def pytest_collection_modifyitems(items):
    """Sorts the long files to the front; all else stays in order."""
    rank = {f"test_{name}.py": i for i, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path.name, len(rank)))


@pytest.fixture
def key():
    """The one JAX key of a test."""
    return jax.random.key(0)
