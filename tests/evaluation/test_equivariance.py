"""The verdict names what was planted; the command measures every kind of network."""

import functools
import json
import types

import flax.linen as nn
import numpy as np
import pytest
from ml_collections import ConfigDict
from tiny import (
    make_config,
    make_pair_config,
    make_plain_config,
    make_view_config,
)

from gzjax.data.synthetic.source import SyntheticSource
from gzjax.errors import UserError
from gzjax.evaluation.equivariance import equivariance as command
from gzjax.evaluation.equivariance.equivariance import equivariance
from gzjax.evaluation.equivariance.measure import (
    Layer,
    fresh_networks,
    make_changes,
    measure,
)
from gzjax.evaluation.equivariance.verdict import find_verdict, sentences
from gzjax.evaluation.evaluate import train_and_evaluate
from gzjax.models.layers import GroupBatchNorm, GroupConv, WholeMapGroupConv
from gzjax.models.pools import BlurPool, GroupPool, MaxPool
from gzjax.models.probes.layer_maps import Call
from gzjax.ops.steerable import Rings
from gzjax.ops.windows import Window
from gzjax.trees import GZ2

CHANGES = make_changes((22.5, 45.0, 90.0), (), ())


class Planted(nn.Module):
    """A D_12 network of two convolutions; every field can plant one cause."""

    group: str = "d12"
    rings: Rings | None = Rings()
    pool: type = BlurPool
    window: Window = Window("pool1", 6, 2)
    shared_norm: bool = True
    flat: bool = False

    @nn.compact
    def __call__(self, images, train):
        x = GroupConv(self.group, 3, 5, rings=Rings(), name="conv1")(
            images[..., None, :]
        )
        x = nn.relu(GroupBatchNorm(not train, name="norm1")(x))
        x = self.pool(self.window, name="pool1")(x)
        x = GroupConv(self.group, 4, 5, rings=self.rings, name="conv2")(x)
        norm = GroupBatchNorm(not train, shared=self.shared_norm, name="norm2")
        x = nn.relu(norm(x))
        if self.flat:
            x = nn.Dense(6, name="hidden")(x.reshape(len(x), -1))
        else:
            size = x.shape[1]
            rings = Rings((0.0, 0.15 * size, 0.3 * size), sigma=0.1 * size)
            x = WholeMapGroupConv(self.group, 6, rings, name="hidden")(x)
            x = GroupBatchNorm(not train, name="hidden_norm")(x)
            x = GroupPool(name="group_pool")(nn.relu(x))
        return nn.Dense(GZ2.num_answers, name="outputs")(x)


def study(model, scale=7.0):
    """Returns the layers of an untrained network, and the verdict."""
    view = {"view__size_px": 40, "view__scale": scale, "view__samples": 2}
    config = make_config(**view, eval_batch_size=16)
    experiment = types.SimpleNamespace(
        config=config,
        source=SyntheticSource(16, size_px=212),
        tree=GZ2,
        programs=types.SimpleNamespace(model=model, head=lambda step: "softmax"),
    )
    indices = np.arange(16)
    networks = fresh_networks(experiment, 1, indices)
    layers = measure(experiment, networks, 0, indices, CHANGES)
    return layers, find_verdict(layers, CHANGES, model, config.view)


PLANTED = {  # what is wrong → the network, the kind of change, the layer, the advice
    "window": (
        Planted(window=Window("pool1", 5, 2)),
        "exact",
        "pool1",
        "Sizes that work: 33, 35, 37, 39",
    ),
    "norm": (Planted(shared_norm=False), "exact", "norm2", "GroupBatchNorm(shared="),
    "flat": (Planted(flat=True), "exact", "hidden", "WholeMapGroupConv"),
    "max": (
        Planted(pool=MaxPool, window=Window("pool1", 3, 3)),
        "between",
        "pool1",
        "take a blur pool",
    ),
    "high": (
        Planted(rings=Rings((0.0, 1.0, 1.8), (0, 4, 4))),
        "between",
        "conv2",
        "lower them",
    ),
    "free": (Planted("d4", None), "between", "conv2", "take steerable filters"),
}


@pytest.mark.parametrize("wrong", PLANTED)
def test_the_planted_cause_is_named(wrong):
    model, kind, layer, advice = PLANTED[wrong]
    _, verdict = study(model)
    assert verdict[kind]["layer"] == layer
    assert advice in verdict[kind]["what_to_do"]
    if kind == "between":
        assert verdict["exact"]["layer"] is None


ERRORS = {  # of a layer's input and output, at all changes
    "view": (0.0, 0.001),
    "conv1": (0.01, 0.02),
    "pool1": (0.4, 0.4),
    "conv2": (0.4, 0.5),
}


@pytest.mark.parametrize(
    ("conv1", "layer", "up_to", "cause"),
    [
        (GroupConv("p4m", 3, 5), "conv1", "conv2", "free filters"),
        (GroupConv("d12", 3, 5, rings=Rings()), "conv1", "pool1", "no known fault"),
    ],
)
def test_what_an_activation_reveals_counts_for_the_layer_before_it(
    conv1, layer, up_to, cause
):
    layers = []
    for name, errors in ERRORS.items():
        module = {"conv1": conv1, "pool1": BlurPool(Window("pool1", 6, 2))}.get(
            name, GroupConv("d12", 3, 5, rings=Rings())
        )
        call = Call(name, module, (4, 40, 40, 24, 3), (4, 36, 36, 24, 3))
        names = [change.name for change in CHANGES]
        layers.append(Layer(call, *(dict.fromkeys(names, e) for e in errors)))
    found = find_verdict(layers, CHANGES, Planted(), make_config().view)["between"]
    assert (found["layer"], found["up_to"]) == (layer, up_to)
    assert cause in found["cause"]


def test_a_shortcut_ends_no_chain_and_small_filters_need_no_larger_group():
    names, layers = [change.name for change in CHANGES], []
    for name, size, errors in (
        ("view", 7, (0.0, 0.001)),
        ("block/conv1", 3, (0.01, 0.4)),
        ("block/downsample_conv", 1, (0.01, 0.02)),
        ("block", 3, (0.01, 0.1)),
        ("block2/conv1", 3, (0.1, 0.15)),
    ):
        module = GroupConv("d8", 3, size, rings=Rings((0.0, 1.0), (0, 1)))
        call = Call(name, module, (4, 40, 40, 16, 3), (4, 36, 36, 16, 3))
        layers.append(Layer(call, *(dict.fromkeys(names, e) for e in errors)))
    found = find_verdict(layers, CHANGES, Planted(), make_config().view)["between"]
    assert found["layer"] == found["up_to"] == "block/conv1"
    assert "filters of 3 px" in found["cause"]


def test_a_view_that_rounds_is_not_blamed_for_more_than_that():
    _, verdict = study(PLANTED["window"][0], scale=7.3)
    assert verdict["exact"]["layer"] == "pool1"
    assert verdict["exact"]["before"] > 1e-5


def test_a_network_without_fault_has_nothing_to_mend_but_a_warp_that_rounds():
    layers, verdict = study(Planted())
    assert [found["layer"] for found in verdict.values()] == [None, None]
    assert max(layer.error["90°"] for layer in layers) < 1e-5
    assert 0 < layers[0].error["45°"] < 0.02 < layers[-1].error["45°"] < 0.05
    assert all("nothing to mend" in text for text in sentences(verdict))
    _, verdict = study(Planted(), scale=7.3)
    assert verdict["exact"]["layer"] == "view"
    assert "7.3 / 2 px, is not a small binary fraction" in verdict["exact"]["cause"]


RESNET = {
    "name": "resnet",
    "group": "p4m",
    "planes": (1, 1, 2, 2),
    "exact": True,
    "hidden": (),
    "dropout_rates": (0.0,),
}
STEERABLE = {
    "name": "steerable_cnn",
    "planes": (1, 1, 1, 1),
    "paddings": (0, 0, 2, 2),
    "pool_sizes": (6, 4),
    "pool_strides": (2, 2),
    "hidden": 2,
}


def of_network(model, size_px):
    config = make_config(view__size_px=size_px)
    config.model = ConfigDict(model)
    return config


KINDS = {  # → its config, and whether quarter turns and mirror images are exact
    "group_cnn": (make_config, True),
    "resnet": (functools.partial(of_network, RESNET, 33), True),
    "steerable_cnn": (functools.partial(of_network, STEERABLE, 40), True),
    "plain_cnn": (make_plain_config, False),
    "view_net": (make_view_config, False),
    "pair": (make_pair_config, False),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_network_is_measured(kind, tmp_path, monkeypatch, capsys):
    make, is_exact = KINDS[kind]
    monkeypatch.setattr(command, "load_config", lambda *_: make())
    study = equivariance(
        config=f"{kind}.py", num_galaxies=5, angles_deg=(45.0, 90.0), output=tmp_path
    )
    assert study["layers"][0]["layer"] == "view"
    assert study["layers"][-1]["layer"] == "vote fractions"
    for layer in study["layers"]:
        assert list(layer["error"]) == ["45°", "90°", "mirror", "zoom 1.1", "shift 8"]
        assert all(np.isfinite([*layer["error"].values(), *layer["before"].values()]))
    assert (study["verdict"]["exact"]["layer"] is None) == is_exact
    assert json.loads((tmp_path / "equivariance.json").read_text()) == study
    assert (tmp_path / "equivariance.png").read_bytes().startswith(b"\x89PNG")
    head, first, *_ = capsys.readouterr().out.splitlines()
    assert head.split()[:4] == ["layer", "45°", "90°", "mirror"]
    assert first.split()[0] == "view"


def test_a_trained_run_is_measured_where_it_lies(tmp_path):
    train_and_evaluate(make_plain_config(num_train_steps=2), tmp_path)
    study = equivariance(workdir=tmp_path, num_galaxies=4, angles_deg=(), zooms=())
    assert study["step"] == 2
    assert study["verdict"]["between"] is None
    assert study["verdict"]["exact"]["layer"] == "conv1"
    assert "planar" in study["verdict"]["exact"]["cause"]
    assert (tmp_path / "equivariance.png").exists()
    with pytest.raises(UserError, match="galaxies: 4 there, 5 here"):
        equivariance(workdir=tmp_path, num_galaxies=5, angles_deg=(), zooms=())
    with pytest.raises(UserError, match="--checkpoint=best: give it with --workdir"):
        equivariance(config="p4m:demo", checkpoint="best")


def test_one_galaxy_is_too_few(tmp_path, monkeypatch):
    monkeypatch.setattr(command, "load_config", lambda *_: make_plain_config())
    monkeypatch.setattr(command, "select", lambda *_: np.arange(1))
    with pytest.raises(UserError, match="'all' has one galaxy: give --data=FOLDER"):
        equivariance(config="plain.py", split="all", output=tmp_path)
