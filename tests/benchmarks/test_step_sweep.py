"""Every cell of the sweep is a network that exists; ratios are to the fastest."""

import pytest
from step_sweep import AXES, BATCH, cells, row
from train_step import beside_fastest

from gzjax.models import make_model
from gzjax.training.load_config import load_config

FOUND = {
    "batch": 16,
    "images_per_sec": 100.0,
    "memory_mb": {"gzjax": 60.0, "eager NCHW": 30.0, "compiled NCHW": 20.0},
    "times": {"gzjax": {"cpu_ms": 160.0, "others": 0.25}},
    "over": {
        "eager NCHW": {"wall": 0.9, "cpu": 1.3},
        "compiled NCHW": {"wall": 1.1, "cpu": 1.2},
    },
}


def test_cells_change_one_thing_at_a_time():
    found = cells("p4m:small")
    assert tuple(found) == AXES
    for axis, of_axis in found.items():
        assert len(set(of_axis)) >= (1 if axis == "cores" else 3)
        for arguments in of_axis.values():
            overrides = [a for a in arguments if a.startswith("--config.")]
            make_model(load_config("p4m:small", overrides), 37)
            assert (axis == "batch") or f"--batch={BATCH}" in arguments
            assert len(arguments) == (1 if axis == "batch" else 2)


def test_ratios_are_those_to_the_fastest_by_each_clock():
    assert beside_fastest(FOUND) == {"wall": 1.1, "cpu": 1.3, "memory": 3.0}
    assert row("16", FOUND) == ["16", 100.0, 10.0, 1.1, 1.3, 60.0, 3.0, "25 %"]
    alone = FOUND | {"over": {}}
    assert beside_fastest(alone) == {}
    assert row("16", alone)[3:5] == [None, None]


@pytest.mark.parametrize("name", ["p4m:small", "p4m"])
def test_widths_are_multiples_of_the_configs(name):
    planes = load_config(name, []).model.planes
    assert f"{planes[0]} to {planes[-1]}" in cells(name)["planes"]
