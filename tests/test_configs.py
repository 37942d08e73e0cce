"""Every config builds what it says, has base's keys, and every key is read."""

import dataclasses
import functools
import itertools
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import make_config

from gzjax.configs import base, dieleman, resnet
from gzjax.data.splits import split_by_id
from gzjax.data.synthetic.folder import write_folder
from gzjax.data.synthetic.source import SyntheticSource
from gzjax.errors import UserError
from gzjax.evaluation.equivariance.causes import causes_of
from gzjax.evaluation.evaluate import train_and_evaluate
from gzjax.models import make_model, network_input
from gzjax.models.network import Network
from gzjax.models.probes.equivariance import layer_table
from gzjax.ops.heads import HEADS
from gzjax.steps.losses import LOSS_NAMES
from gzjax.steps.optim import check_max_norm, make_optimizer, make_schedule
from gzjax.steps.phases import make_phases
from gzjax.training.experiment import Experiment
from gzjax.training.identity import read_config
from gzjax.training.load_config import load_config
from gzjax.trees import GZ2, Tree

CONFIGS = Path(__file__).parent.parent / "configs"
PARAMETERS = {  # complete: a config or variant that is missing here fails
    "p4m": 4_793_605,
    "p4m:small": 281_237,
    "p4m:demo": 281_237,
    "p4": 5_373_413,
    "p4:small": 426_501,
    "dn": 2_303_841,
    "dn:small": 239_625,
    "dn:demo": 239_625,
    "dn:c4": 2_661_261,
    "dn:c8": 2_446_809,
    "dn:c12": 2_375_325,
    "dn:c16": 2_338_920,
    "dn:d4": 2_446_809,
    "dn:d8": 2_338_920,
    "dn:d12": 2_303_841,
    "dn:d16": 2_284_053,
    "dn:max": 2_303_841,
    "dn:free": 25_191_561,
    "gz2": 931_445,
    "gz2:all": 931_445,
    "dn_resnet": 2_273_139,
    "dn_resnet:small": 150_564,
    "p4m_paper": 4_796_629,
    "p4m_paper:nohead": 4_796_629,
    "p4m_paper:small": 675_965,
    # The 17 networks of the winner's blend, by the published widths.
    "dieleman": 42_377_125,
    "dieleman:rerun": 42_377_125,
    "dieleman:centred": 42_377_125,
    "dieleman:centred_rerun": 42_377_125,
    "dieleman:centred10": 42_377_125,
    "dieleman:big256": 76_081_061,
    "dieleman:max_norm": 42_377_125,
    "dieleman:maxout1": 33_984_421,
    "dieleman:maxout1_centred": 33_984_421,
    "dieleman:filters8": 42_356_389,
    "dieleman:filters8_centred": 42_356_389,
    "dieleman:filters8_maxout1": 33_963_685,
    "dieleman:filters8_maxout1_centred": 33_963_685,
    "dieleman:filters192_relu": 50_912_165,
    "dieleman:relu_centred": 34_060_197,
    "dieleman:part_dense": 17_469_861,
    "dieleman:part_dense512": 34_509_733,
    "dieleman:quick": 4_846_565,
    "tund": 19_468_133,
    "tund:nobn": 19_465_541,
    "tund:nohead": 19_468_133,
    "tund:small": 926_789,
    # The counts of every regime and depth: the regimes change no layer.
    **{
        f"resnet:{depth}{regime}": count
        for depth, count in {18: 11_451_549, 34: 21_559_709, 50: 24_551_069}.items()
        for regime in ["", *(f"-{name}" for name in resnet.REGIMES)]
    },
    "resnet": 11_451_549,
    "resnet:small": 723_381,
    "p4m_resnet": 10_552_028,
    "p4m_resnet:exact": 9_934_768,
    "p4m_resnet:small": 651_636,
    "mutual": 30_919_682,
    "mutual:p4m": 16_245_154,
    "mutual:small": 1_650_170,
    "ng": 19_460_645,
    "ng:cbam": 19_636_081,
    "ng:cbam_woo": 19_636_081,
    "ng:small_kernels": 17_242_149,
    "ng:all": 19_460_645,
    "ng:small": 442_661,
    "serrano": 1_308_901,
    "serrano:1": 1_308_901,
    "serrano:2": 522_469,
    "serrano:3": 344_805,
    # Without biases in the convolutions; Keras counts 24,655,781 with them and the
    # moving statistics. 50 layers are an assumption.
    "serrano:4": 24_576_101,
    "khunger": 207_205,
    "khunger:cnn": 207_205,
    "khunger:resnet50": 23_583_845,
    "khunger:plain": 207_205,
}


def flat(config):
    return {key for key, _ in items(config)}


def of_every_system(config):
    """Keys that all configs have."""
    own = ("model.", "phases.")
    return {key for key in flat(config) if not key.startswith(own)}


def items(config, prefix=""):
    for key, value in config.items():
        if hasattr(value, "items"):
            yield from items(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def test_table_is_complete():
    stems = {p.stem for p in CONFIGS.glob("*.py")} - {"base", "__init__"}
    assert {name.partition(":")[0] for name in PARAMETERS} == stems
    for stem in stems:
        with pytest.raises(UserError) as error:
            load_config(f"{stem}:no-such-variant", [])
        listed = set(str(error.value).split("there are: ")[1].split(", "))
        named = {n.partition(":")[2] for n in PARAMETERS if n.startswith(f"{stem}:")}
        assert listed == named


@pytest.mark.parametrize("name", sorted(PARAMETERS))
def test_config_builds(name):
    config = load_config(name, [])
    model = make_model(config, GZ2.num_answers)
    views, size = len(config.view.angles_deg), config.view.size_px
    images = network_input(model, jnp.zeros((1, views, size, size, 3)))
    shapes = jax.eval_shape(
        functools.partial(model.init, train=False), jax.random.key(0), images
    )
    count = sum(p.size for p in jax.tree.leaves(shapes["params"]))
    assert count == PARAMETERS[name]
    for phase in make_phases(config):
        make_optimizer(phase.config)
    check_max_norm(shapes["params"], config.max_norm)
    table = layer_table(model, shapes, images, train=False)
    layers = [call.name for call in table]
    assert layers[0] == "view"
    assert len(set(layers)) == len(layers)
    if isinstance(model, Network):
        assert {window.name for window in model.windows()} <= set(layers)
    for previous, call in itertools.pairwise(table):
        causes_of(call, previous, model, config.view)
    assert config.head in HEADS
    assert config.loss in LOSS_NAMES
    assert of_every_system(config) == of_every_system(base.get_config())
    from_elsewhere = {field.name for field in dataclasses.fields(Network)}
    fields = {field.name for field in dataclasses.fields(model)} - from_elsewhere
    assert set(config.model) == fields | {"name"}


def test_winners_recipe():
    config = load_config("dieleman", [])
    assert (config.batch_size, config.num_train_steps) == (16, 1_562_500)
    assert (config.head, config.head_warmup_steps) == ("divisive", 625)
    assert (config.loss, config.momentum, config.weight_decay) == ("coarse", 0.9, 0.0)
    assert config.rate_in_velocity is True
    view = config.view
    assert (view.size_px, view.scale, view.angles_deg) == (69, 3.0, (0.0, 45.0))
    assert (view.samples, view.mean, view.std) == (1, (0.0,) * 3, (1.0,) * 3)
    changed = {k: v for k, v in config.augment.to_dict().items() if v}
    assert changed == {
        "rotation_deg": 360.0,
        "mirror_rate": 0.5,
        "zoom": 1.3,
        "shift_px": 4.0,
        "principal_colour": 0.5,
    }
    assert config.model.dropout_rate == 0.5
    norm = load_config("dieleman:max_norm", []).max_norm
    assert (norm.kind, norm.every_steps) == ("rms", 10)
    assert (norm.layers, norm.limits) == (("hidden1", "hidden2"), (0.4, 0.23))
    runs = {v: load_config(f"dieleman:{v}", []) for v in dieleman.RUNS}
    relu = [v for v, run in runs.items() if run.model.activation == "relu"]
    assert relu == ["filters192_relu", "relu_centred"]
    tables = {v: run.data.detections for v, run in runs.items()}
    assert {v for v, table in tables.items() if table} == {
        v for v in runs if "centred" in v
    }
    assert [v for v in tables if tables[v] == "detections-10.csv"] == ["centred10"]
    assert len(dieleman.RUNS) == 16  # and the best network itself
    ids = np.arange(61_578)
    splits = split_by_id(ids, np.zeros((61_578, 37)), GZ2, config.split)
    assert [len(splits[name]) for name in ("train", "valid", "test")] == [
        55421,
        6157,
        0,
    ]
    seeds = {load_config(f"dieleman:{v}", []).seed for v in ("rerun", "centred_rerun")}
    assert seeds == {1}


def test_quick_runs_the_same_phases():
    config = load_config("dieleman:big256,quick", [])
    assert 0 < config.head_warmup_steps < 0.1 * config.num_train_steps
    schedule = make_schedule(config)
    rates = {round(float(schedule(i)), 6) for i in range(config.num_train_steps)}
    assert rates == {0.04, 0.004, 0.0004}
    assert config.model.filters == (16, 32, 64, 128)
    other_order = load_config("dieleman:quick,big256", [])
    assert other_order.to_dict() == config.to_dict()


@pytest.mark.parametrize("name", ["p4m", "p4m_paper"])
def test_network_of_one_view_refuses_two(name):
    config = load_config(name, ["--config.view.angles_deg=(0.0,45.0)"])
    with pytest.raises(UserError, match="group_cnn sees one view"):
        make_model(config, 37)


class Recorder:
    """A config that remembers which of its keys were read."""

    def __init__(self, config, seen, prefix=""):
        self._config, self._seen, self._prefix = config, seen, prefix

    def __getitem__(self, key):
        value = self._config[key]
        if hasattr(value, "items"):
            return Recorder(value, self._seen, f"{self._prefix}{key}.")
        self._seen.add(self._prefix + key)
        return value

    def __getattr__(self, key):
        return self[key]

    def keys(self):
        return self._config.keys()

    def items(self):
        return [(key, self[key]) for key in self.keys()]

    def to_dict(self):  # for the record kept with a checkpoint: reads nothing
        return self._config.to_dict()


def test_every_key_is_read(tmp_path):
    seen: set[str] = set()
    train_and_evaluate(Recorder(make_config(num_train_steps=1), seen), tmp_path)
    folder = tmp_path / "data"
    write_folder(SyntheticSource(12, size_px=106), folder)
    for kind in ("counts", "stratified"):
        data = {"data__kind": "challenge", "data__pixel_scale": 4.0}
        split = {"split__kind": kind, "split__train": 5, "split__valid": 0}
        config = make_config(data__dir=str(folder), **data, **split)
        Experiment(Recorder(config, seen), GZ2)
    tree = Tree("bars", GZ2.questions[:3])
    survey = tmp_path / "survey"
    write_folder(SyntheticSource(12, size_px=106, tree=tree), survey)
    labelled = {"data__labels": "labels.csv", "data__images": "images"}
    config = make_config(data__kind="survey", data__dir=str(survey), **labelled)
    Experiment(Recorder(config, seen), tree)
    make_schedule(Recorder(make_config(schedule__kind="cosine_restarts"), seen))
    assert seen == flat(base.get_config())


@pytest.mark.parametrize(
    "name", ["resnet:18-c2f,50", "serrano:1,2", "khunger:cnn,resnet50"]
)
def test_variants_that_exclude_each_other_are_refused(name):
    with pytest.raises(UserError, match="cannot be combined"):
        load_config(name, [])


def test_config_survives_the_checkpoint():
    config = load_config("p4m_paper", [])
    again = read_config({"config": json.loads(json.dumps(config.to_dict()))})
    assert again.to_dict() == config.to_dict()
