"""The model of scale: what programs send is read right, and its equations by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from collectives import Collective, find_collectives
from compiled_step import measure, sends_gradients_once
from scaling_model import (
    MOST,
    Rates,
    Step,
    all_reduce_seconds,
    pays_up_to,
    predict,
    strong_efficiency,
    weak_efficiency,
)

from gzjax.steps.mesh import by_batch, make_mesh, replicated

PROGRAM = """HloModule jit_f

%add (x: f32[], y: f32[]) -> f32[] {
  ROOT %z = f32[] add(%x, %y)
}

%body (p: (s32[], f32[3])) -> (s32[], f32[3]) {
  %a.1 = (f32[2,3]{1,0}, /*index=1*/bf16[5]{0}) all-reduce(%q, %r), to_apply=%add
  ROOT %t = (s32[], f32[3]) tuple(%i, %s)
}

%yes (p: f32[3]) -> f32[8] {
  ROOT %g = f32[8]{0} all-gather(%p), dimensions={0}
}

%no (p: f32[3]) -> f32[8] {
  ROOT %z = f32[8]{0} pad(%p, %q), padding=0_5
}

ENTRY %main (p: f32[3]) -> f32[3] {
  %w = (s32[], f32[3]) while(%init), condition=%c, body=%body, TRIPS
  %b = f32[8]{0} conditional(%i, %p, %p), branch_computations={%no, %yes}
  ROOT %r = pred[] all-reduce(%u), to_apply=%add
}
"""
TRIPS = 'backend_config={"known_trip_count":{"n":"4"}}'
RATES = Rates(
    flops=1e9,
    within=1e6,
    across=1e5,
    latency_within=1e-6,
    latency_across=1e-3,
    devices_per_host=4,
    overlap=0.0,
)


def test_collectives_in_loops_and_branches_are_found_with_their_bytes():
    assert find_collectives(PROGRAM.replace("TRIPS", TRIPS)) == [
        Collective("all-reduce", 2 * 3 * 4 + 5 * 2, times=4),
        Collective("all-gather", 8 * 4, times=1),
        Collective("all-reduce", 1, times=1),
    ]
    with pytest.raises(ValueError, match="of unknown length"):
        find_collectives(PROGRAM.replace("TRIPS", ""))
    with pytest.raises(ValueError, match="no ENTRY"):
        find_collectives("")


def test_all_to_all_of_a_real_program_is_found():
    mesh = make_mesh()
    rows = by_batch(mesh)
    turned = jax.jit(jnp.transpose, in_shardings=rows, out_shardings=rows)
    gathered = jax.jit(jnp.negative, in_shardings=rows, out_shardings=replicated(mesh))
    x = jax.ShapeDtypeStruct((8, 8), np.float32)
    kinds = [
        [c.kind for c in find_collectives(program.lower(x).compile().as_text())]
        for program in (turned, gathered)
    ]
    assert kinds == [["all-to-all"], ["all-gather"]]


@pytest.mark.parametrize(
    ("name", "changes", "counts"),
    [
        ("p4m:small", ["view.size_px=62", "accumulate_steps=2"], [1, 2, 4]),
        ("p4m_resnet:exact", ["view.size_px=33", "remat=True"], [4]),
        ("mutual:p4m,small", ["loss=fine_paper"], [4]),
        ("dieleman:part_dense,quick", ["model.input_noise=0.1"], [2]),
        ("ng:cbam,small", ["view.size_px=32", "loss=focal"], [4]),
    ],
)
def test_each_step_sends_the_parameters_once(name, changes, counts):
    result = measure(name, [f"--config.{c}" for c in changes], counts, images=2)
    assert sends_gradients_once(result), result


def test_what_else_is_sent_is_seen():
    row = {"devices": 4, "bytes": 102, "others": {}}
    result = {"parameter_bytes": 100, "compiled": [row]}
    assert sends_gradients_once(result)
    for wrong in ({"bytes": 103}, {"bytes": 0}, {"devices": 1}, {"others": {"x": 1}}):
        assert not sends_gradients_once(result | {"compiled": [row | wrong]})


def test_ring_and_tree_by_hand():
    assert all_reduce_seconds(10**6, 1, RATES) == 0
    ring = 2 * 3 / 4 * 1.0 + 6e-6
    assert all_reduce_seconds(10**6, 4, RATES) == pytest.approx(ring)
    tree = 2 * 6 * (1e-5 + 1e-3)  # 1 byte to 64 devices of 16 hosts
    assert all_reduce_seconds(1, 64, RATES) == pytest.approx(tree)


def test_efficiencies_by_hand():
    step = Step(flops_per_image=1e6, all_reduces=(10**6,))
    sent = all_reduce_seconds(10**6, 4, RATES)
    assert weak_efficiency(step, 100, 1, RATES) == 1
    assert weak_efficiency(step, 100, 4, RATES) == pytest.approx(0.1 / (0.1 + sent))
    shared = 0.1 / 4 + sent
    assert strong_efficiency(step, 100, 4, RATES) == pytest.approx(0.1 / (4 * shared))
    assert strong_efficiency(step, 100, 128, RATES) == 0
    assert pays_up_to([(1, 1.0), (2, 0.8), (4, 0.4), (8, 0.6)], 0.5) == 2


def test_prediction_says_what_the_input_must_deliver():
    compiled = [
        {"devices": 1, "gflop_per_image": 0.001, "all_reduces": (), "others": {}},
        {"devices": 8, "gflop_per_image": 0.001, "all_reduces": (4,), "others": {}},
    ]
    weak = predict({"compiled": compiled}, RATES, 1000, 1000, 0.5)["weak"]
    largest = weak["pays_up_to"]
    assert largest == MOST  # 1 s of work, and some messages of a millisecond
    efficiency = 1 / (1 + 2 * 12 * (4 / RATES.across + RATES.latency_across))
    assert weak["images_per_sec"] == pytest.approx(1000 * largest * efficiency)
