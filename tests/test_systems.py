"""Every config is a system: it learns, is saved and restored, and predicts.

Tiny in the fast suite, as shipped in the slow one. Configs that differ in nothing a
program is compiled from (data, augmentation, rates, number of steps) are one case.
"""

import contextlib
import functools
import json

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict
from test_configs import PARAMETERS
from tiny import PLAIN, VIEW_MODEL

from gzjax.data.averaging import AVERAGING_SETS
from gzjax.data.pipeline import train_batches
from gzjax.models.resnet import DEPTHS
from gzjax.steps.mesh import make_mesh, to_devices
from gzjax.training.checkpoint.checkpoints import Checkpoints
from gzjax.training.checkpoint.saved import SavedCheckpoints
from gzjax.training.experiment import Experiment
from gzjax.training.identity import describe_run
from gzjax.training.load_config import load_config
from gzjax.trees import GZ2

# Fields of a network → small ones; with views on which its windows still fit.
TINY_MODELS = {
    "group_cnn": {"planes": (1, 2, 2, 2, 3, 3), "hidden": 8},
    "steerable_cnn": {"planes": (1, 2, 2, 2), "paddings": (0, 0, 2, 2), "hidden": 8},
    "view_net": VIEW_MODEL,
    "resnet": {"planes": (2, 2, 3, 3)},
    "plain_cnn": {"weight_std": 0.0},
}
TINY_VIEWS = {
    "group_cnn": 62,
    "steerable_cnn": 62,
    "view_net": 33,
    "pair": 124,
    "tund": 62,
    "ng": 32,
    "serrano": 46,
    "khunger": 28,
    "plain_cnn": 32,
    "resnet": 33,
}


def shrink(model):
    if model.name == "pair":
        shrink(model.first)
        shrink(model.second)
        return
    model.update(TINY_MODELS[model.name])
    if model.name == "plain_cnn":
        model.filters = (2,) * (len(model.filters) - 1) + (4,)
    if model.name not in ("group_cnn", "steerable_cnn"):
        model.hidden = (8,) * len(model.hidden)
    if model.name == "view_net":
        model.part_hidden = min(model.part_hidden, 4)


@functools.cache  # for the collection of tests, which each worker does
def load(name):
    return load_config(name, [])


def tiny(name):
    config = as_shipped(name)
    if name.startswith("resnet:18-"):  # a regime, on a network that compiles sooner
        config.model = ConfigDict(PLAIN)
        for phase in config.phases.values():
            if "model" in phase:
                phase.model.dropout_rates = (0.0, 0.1)
    shrink(config.model)
    by_file = config.model.name == "plain_cnn" and not name.startswith("resnet")
    size = TINY_VIEWS[name.split(":")[0] if by_file else config.model.name]
    if config.model.name in ("group_cnn", "resnet"):
        size = TINY_VIEWS[config.model.name]
        if not config.model.exact:
            size += 1  # where the windows leave pixels out
    config.view.size_px, config.view.scale = size, 400 / size
    if config.max_norm.layers:
        config.max_norm.limits = (1.0, 1.0)
    config.learning_rate = 1e-3 if config.optimizer == "adam" else 0.01
    config.head_warmup_steps = 0  # at once with the head that is trained for longest
    return config


def as_shipped(name):
    return load(name).copy_and_resolve_references()


def systems(make):
    """One name for each different program.

    A ResNet's regimes are tried with 18 layers only, and the D_N network over d12 only:
    tests/models/test_steerable_cnn.py tries it over other groups.
    """
    found = {}
    for name in PARAMETERS:
        if name.startswith(("resnet:34-", "resnet:50-", "dn:c", "dn:d")):
            continue
        if make is tiny and name.endswith((":small", ":quick", ":demo", "gz2", ":all")):
            continue
        config = make(name)
        program = config.model, config.max_norm, config.head, config.loss, config.view
        program = [p.to_dict() if hasattr(p, "to_dict") else p for p in program]
        program = json.dumps(program), config.optimizer, len(config.phases)
        found.setdefault(program, name)
    return sorted(found.values())


def check_system(config, folder):
    config.data.kind, config.data.detections = "synthetic", ""
    config.data.synthetic.num_galaxies = 12
    config.split.kind, config.split.valid, config.split.test = "last_fraction", 0.3, 0.0
    config.batch_size = config.eval_batch_size = 4
    config.schedule.warmup_steps = 0  # else the first step has a rate of 0
    pair = [config.model.get(name, {}) for name in ("first", "second")]
    for model in (config.model, *pair):
        if "dropout_rate" in model:
            model.dropout_rate = 0.0
        if "dropout_rates" in model:
            model.dropout_rates = (0.0,) * len(model.dropout_rates)
    experiment = Experiment(config, GZ2)
    train = experiment.splits["train"]
    with contextlib.closing(
        train_batches(experiment.source, train, config, 0)
    ) as batches:
        (batch,) = to_devices([next(batches)], experiment.mesh)
    programs = experiment.programs
    state, losses = programs.make_state(), []
    for _ in range(2):
        state, loss = programs.train_step(0)(state, batch)
        losses.append(float(loss))
    assert losses[1] < losses[0]

    for phase in programs.phases[1:]:  # each has programs of its own
        later, before = programs.enter(phase, state), losses[-1]
        later, loss = programs.train_step(phase.start)(later, batch)
        assert float(loss) > 0
        assert float(loss) != before
        state = later.replace(step=state.step, opt_state=state.opt_state)

    with Checkpoints(folder) as checkpoints:
        checkpoints.save(2, state, describe_run(experiment))
    checkpoints = SavedCheckpoints(folder)
    again = checkpoints.restore(2, programs.abstract_state(2))
    valid = experiment.splits["valid"]
    votes, restored, untrained = (
        experiment.predict(s, 2, valid, AVERAGING_SETS["none"])[:, 0]
        for s in (state, again, programs.make_state())
    )
    np.testing.assert_array_equal(votes, restored)
    assert votes.shape == (len(valid), 37)
    assert ((votes >= 0) & (votes <= 1)).all() or programs.head(2) == "relu"
    # After two steps running statistics may lag so far behind that a sigmoid saturates.
    assert votes.std(axis=0).any() or untrained.std(axis=0).any()
    jax.clear_caches()


@pytest.fixture(autouse=True)
def one_device(monkeypatch):
    """Quicker to compile for than four."""
    mesh = make_mesh(jax.devices()[:1])
    monkeypatch.setattr("gzjax.training.experiment.make_mesh", lambda: mesh)


@pytest.mark.parametrize("name", systems(tiny))
def test_tiny_system(name, tmp_path, monkeypatch):
    for depth, (_, bottleneck) in DEPTHS.items():  # fewer blocks, sooner compiled
        monkeypatch.setitem(DEPTHS, depth, ((1, 1, 1, 1), bottleneck))
    check_system(tiny(name), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", systems(as_shipped))
def test_system_as_shipped(name, tmp_path):
    check_system(as_shipped(name), tmp_path)
