"""Compiler options: given to a CPU, known to this jaxlib, and the user's to change."""

import jax
import pytest

from gzjax.ops import compiler
from gzjax.ops.compiler import compiler_options
from gzjax.ops.conv import conv

YNN = "xla_cpu_experimental_ynn_fusion_type"


@pytest.fixture
def no_flags(monkeypatch):
    monkeypatch.delenv("XLA_FLAGS", raising=False)


def test_every_option_is_known_to_this_jaxlib(no_flags):
    assert compiler_options("cpu") == compiler._OPTIONS["cpu"] != {}
    assert compiler_options("cpu", once=True) == compiler._ONCE["cpu"] != {}


def test_accelerators_get_none(no_flags):
    assert compiler_options("gpu") == compiler_options("tpu") == {}


def test_the_default_backend_is_jax_s(no_flags):
    assert compiler_options() == compiler_options(jax.default_backend())


def test_what_the_user_sets_is_left_out(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", f"--{YNN}=LIBRARY_FUSION_TYPE_DOT")
    assert compiler_options("cpu") == {}


def test_unknown_options_are_dropped(no_flags, monkeypatch):
    known = compiler._OPTIONS["cpu"]
    more = {"cpu": {**known, "xla_no_such_option": "1"}}
    monkeypatch.setattr(compiler, "_OPTIONS", more)
    assert compiler_options("cpu") == known


def test_sums_stay_with_ynnpack_and_convolutions_leave_it(no_flags):
    def convolve_and_sum(x, w):  # as before batch norm
        y = conv(x, w)
        return y, y.sum((0, 1, 2))

    shapes = [
        jax.ShapeDtypeStruct(s, "float32") for s in ((16, 60, 60, 32), (5, 5, 32, 64))
    ]
    with jax.default_matmul_precision("default"):  # as users have it
        lowered = jax.jit(convolve_and_sum).lower(*shapes)
    by_default, ours = (
        lowered.compile(options).as_text().partition("ENTRY")[2]
        for options in ({}, compiler_options("cpu"))
    )
    assert "convolution(" not in by_default
    assert "convolution(" in ours
    assert "__ynn_fusion" in ours
