"""Brightness becomes pixel values by the stated formula."""

import math

import numpy as np
import pytest

from gzjax.data.images.stretch import KINDS, Stretch, parse_stretch
from gzjax.errors import UserError


def formula(x, kind, a, b, s):
    """The docstring's, for one number."""
    t = min(max((x - a) / (b - a), 0), 1)
    f = {
        "linear": t,
        "asinh": math.asinh(t / s) / math.asinh(1 / s),
        "log": math.log(1 + t / s) / math.log(1 + 1 / s),
    }[kind]
    return math.floor(255 * f + 0.5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("softening", [0.02, 3.0])
def test_values_follow_the_formula(kind, softening):
    x = np.linspace(-3, 12, 60)
    out = Stretch(kind, -1.0, 10.0, softening, "value")(x.reshape(1, 6, 10))
    assert (out.dtype, out.shape) == (np.uint8, (6, 10, 3))
    assert out.flags.c_contiguous
    expected = [formula(v, kind, -1.0, 10.0, softening) for v in x]
    for channel in range(3):
        assert out[..., channel].ravel().tolist() == expected


def test_percentiles_are_of_all_planes_and_of_finite_values():
    planes = np.arange(303.0).reshape(3, 1, 101)
    planes[:, 0, 50] = np.nan, np.inf, -np.inf
    out = Stretch("linear", 10, 90)(planes)
    low, high = np.percentile(planes[np.isfinite(planes)], [10, 90])
    for plane in range(3):
        for i in {*range(101)} - {50}:
            expected = formula(planes[plane, 0, i], "linear", low, high, 1)
            assert out[0, i, plane] == expected
    assert out[0, 50].tolist() == [0, 255, 0]


def test_levels_that_are_equal_or_far_apart_give_black_and_white():
    assert not Stretch()(np.full((1, 4, 4), 7.0)).any()
    star = np.zeros((1, 50, 50), np.float32)
    star[0, 3, 4] = 1e-20
    assert np.argwhere(Stretch()(star)[..., 0]).tolist() == [[3, 4]]
    huge = np.array([[[-1.7e308, 0.0, 1.7e308]]])
    assert Stretch("linear", 0, 100)(huge).shape == (1, 3, 3)


def test_an_image_of_no_value_is_none():
    with pytest.raises(ValueError, match="finite"):
        Stretch()(np.full((1, 4, 4), np.nan))


def test_any_number_is_taken_whatever_its_type():
    counts = np.arange(12, dtype=">i2").reshape(1, 3, 4)
    expected = Stretch()(counts.astype(np.float64))
    np.testing.assert_array_equal(Stretch()(counts), expected)
    np.testing.assert_array_equal(counts.ravel(), np.arange(12))


@pytest.mark.parametrize(
    ("text", "stretch"),
    [
        ("asinh", Stretch()),
        ("asinh:0.5:99.5:0.1", Stretch("asinh", 0.5, 99.5, 0.1)),
        ("log:1:99", Stretch("log", 1.0, 99.0)),
        ("linear:-2:1e3:value", Stretch("linear", -2.0, 1000.0, levels="value")),
        ("asinh:0:8:0.01:value", Stretch("asinh", 0.0, 8.0, 0.01, "value")),
        (" linear:0:100:percentile", Stretch("linear", 0.0, 100.0)),
    ],
)
def test_parses(text, stretch):
    assert parse_stretch(text) == stretch


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "the kind '' is not one of asinh, linear, log"),
        ("sqrt:1:99", "the kind 'sqrt' is not one of asinh, linear, log"),
        ("asinh:1", "1 numbers after 'asinh'"),
        ("asinh:1:99:0.1:5", "4 numbers after 'asinh'"),
        ("linear:1:99:0.1", "3 numbers after 'linear'"),
        ("asinh:a:99", "could not convert string to float: 'a'"),
        ("asinh:99:1", "low (99.0) must be below high (1.0)"),
        ("asinh:5:5:value", "low (5.0) must be below high (5.0)"),
        ("asinh:nan:5:value", "both finite"),
        ("asinh:0:inf:value", "both finite"),
        ("asinh:-1:99", "percentiles are in 0 to 100"),
        ("asinh:1:101", "percentiles are in 0 to 100"),
        ("asinh:1:99:0", "softening must be positive, not 0.0"),
        ("asinh:1:99:-1", "softening must be positive, not -1.0"),
        ("asinh:1:99:1e-320", "softening must be positive"),
        ("asinh:1:99:inf", "softening must be positive"),
        ("asinh:1:99:nan", "softening must be positive"),
    ],
)
def test_says_what_is_no_stretch_and_what_is(text, problem):
    with pytest.raises(UserError) as error:
        parse_stretch(text)
    assert f"'{text}'" in str(error.value)
    assert problem in str(error.value)
    assert "for example asinh:0.5:99.5:0.1" in str(error.value)
