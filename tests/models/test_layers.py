"""The public layers are as their pages say: the code runs, the table is whole."""

import doc_blocks
import jax
import numpy as np
import pytest

import gzjax.layers
from gzjax.layers import GROUPS, GroupConv, WholeMapGroupConv


def run_page(page="layers.md"):
    names = {}
    for block in doc_blocks.blocks_of(page):
        if block.language == "python":
            exec(compile(block.code, f"docs/{page}", "exec"), names)
    return names


def test_the_example_runs_and_is_exact():
    names = run_page()
    assert np.ptp(names["answers"]) > 0.01
    assert names["features"].shape == (4, 29, 29, 8, 16)
    assert max(of_change["45°"] for of_change in names["errors"].values()) < 0.01


def test_the_network_of_those_who_know_escnn_runs_and_is_exact():
    names = run_page("from_escnn.md")
    assert names["features"].shape == (2, 16)
    assert names["features"].std(axis=0).min() > 1e-4


def test_the_example_would_notice_a_broken_layer(monkeypatch):
    def per_element(x):
        return x[..., 0, :]  # of the first element alone

    monkeypatch.setattr(gzjax.layers, "group_pool", per_element)
    with pytest.raises(AssertionError, match="Mismatched"):
        run_page()


def test_a_filter_of_one_pixel_needs_no_rings():
    layer, group = GroupConv("d12", 2, 1), gzjax.layers.GROUPS["d12"]
    x = np.random.default_rng(0).normal(size=(2, 5, 5, 24, 3)).astype(np.float32)
    variables = layer.init(jax.random.key(0), x)
    y = layer.apply(variables, x)
    for element in range(24):  # a pixel turns by any angle
        source = group.cayley[group.inverse[element]]
        moved = layer.apply(variables, x[..., source, :])
        np.testing.assert_allclose(moved, y[..., source, :], atol=1e-5)
    assert np.abs(y[..., source, :] - y).max() > 0.1


def test_all_that_is_public_is_in_the_table():
    page = (doc_blocks.DOCS / "layers.md").read_text(encoding="utf-8")
    table = page.partition("## What there is")[2]
    assert {name for name in gzjax.layers.__all__ if name not in table} == set()
    for name in gzjax.layers.__all__:
        assert getattr(gzjax.layers, name).__doc__


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (GroupConv("p6m", 2, 3), (1, 9, 9, 1, 3), "is 'p6m'; there are: p1, p4, p4m"),
        (
            GroupConv("p4", 2, 3),
            (1, 9, 9, 3),
            r"images\[..., None, :\].*\[1, 9, 9, 3\]",
        ),
        (
            GroupConv("d8", 2, 3),
            (1, 9, 9, 1, 3),
            "is 'd8'; .* with rings also the others",
        ),
        (GroupConv("p4m", 2, 3), (1, 9, 9, 4, 3), r"with g = 8.*\[1, 9, 9, 4, 3\]"),
        (GroupConv("p4", 2, 5), (1, 4, 9, 1, 3), "GroupConv has a window of 5 px"),
        (GroupConv(GROUPS["p4"], 2, 3), (1, 9, 9, 1, 3), "the name of one"),
        (GroupConv("p4", 2, (3, 3)), (1, 9, 9, 1, 3), "whole numbers"),
        (GroupConv("p4", 2, 3, 1, "SAME"), (1, 9, 9, 1, 3), "whole numbers"),
        (WholeMapGroupConv("p4", 2), (1, 9, 9, 1, 3), "with g = 4; this is"),
        (WholeMapGroupConv("p4", 2), (1, 9, 8, 4, 3), "are 9 x 8, not square"),
    ],
)
def test_maps_of_another_form_are_refused(layer, shape, message):
    with pytest.raises(ValueError, match=message):
        layer.init(jax.random.key(0), np.ones(shape, np.float32))
