"""Every config that is invalid is refused before anything is loaded or written."""

import re
import sys

import pytest
from ml_collections import ConfigDict
from tiny import make_config

from gzjax.errors import UserError
from gzjax.evaluation.evaluate import train_and_evaluate
from gzjax.training.check_config import check_config
from gzjax.training.experiment import Experiment
from gzjax.training.load_config import load_config
from gzjax.trees import GZ2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": -1}, "config.seed is -1, not in 0 .. 4294967295"),
        ({"dtype": "float64"}, "JAX_ENABLE_X64=1"),
        ({"compute_dtype": "int8"}, "is 'int8'; there are: float32, bfloat16"),
        ({"data__num_workers": 10**6}, "num_workers is 1000000, not in 0 .. 512"),
        ({"view__scale": 0.0}, "config.view.scale is 0.0, not above 0"),
        ({"view__angles_deg": ()}, "view.angles_deg is (): give at least 1 number"),
        ({"view__mean": (0.1, 0.2)}, "config.view.mean and std need 3 numbers"),
        ({"reference_batch_size": -1}, "reference_batch_size is -1, not at least 0"),
        ({"max_norm__kind": "l1"}, "max_norm.kind is 'l1'; there are: l2, rms"),
        ({"max_norm__every_steps": 0}, "max_norm.every_steps is 0, not at least 1"),
        ({"averaging": "c5"}, "averaging is 'c5'; there are: none, c4, d4"),
        ({"averaging": "half2", "model__group": "p1"}, "has no group, or two: take"),
        ({"loss_consistency": -1.0}, "loss_consistency is -1.0, not at least 0"),
        ({"log_every_steps": 0}, "log_every_steps is 0, not at least 1"),
        ({"keep_newest": 0}, "keep_newest is 0, not at least 1"),
        ({"init_keep_head": True}, "init_keep_head: give config.init_from, too"),
        ({"start_from": "best"}, "there are: last, for a run without phases"),
        ({"learning_rate": -1.0}, "learning_rate is -1.0, not above 0"),
        ({"learning_rate": float("nan")}, "learning_rate is nan, not above 0"),
        ({"head": "tanh"}, "config.head is 'tanh'; there are: divisive"),
        ({"head_warmup_steps": -3}, "head_warmup_steps is -3, not at least 0"),
        ({"loss": "l1"}, "config.loss is 'l1'; there are: coarse"),
        ({"loss": "kl", "head": "sigmoid"}, "sums free; heads for it: divisive"),
        ({"optimizer": "lion"}, "there are: sgd, adam, adamax"),
        ({"momentum": 1.0}, "momentum is 1.0, not at least 0 and below 1"),
        ({"weight_decay": -1.0}, "weight_decay is -1.0, not at least 0"),
        ({"schedule__kind": "linear"}, "there are: constant, step, cosine, cosine_r"),
        ({"schedule__decay_factor": 0.0}, "decay_factor is 0.0, not above 0"),
        ({"schedule__period_factor": 0.5}, "period_factor is 0.5, not at least 1"),
        ({"schedule__first_period": 0.0}, "first_period is 0.0, not above 0 and at"),
    ],
)
def test_invalid_values_name_the_key_and_what_it_can_be(changes, message):
    with pytest.raises(UserError, match=re.escape(message)):
        check_config(make_config(**changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 4}, "phases.phase2.batch_size: no phase can change it"),
        ({"learning_rat": 1.0}, "there is no such key; nearest: 'learning_rate'"),
        ({"learning_rate": "x"}, "config.phases.phase2: "),
        ({"learning_rate": {"x": 1}}, "phase2.learning_rate.x: there is no such key"),
        ({"schedule": 3}, "phase2.schedule: there is no such key"),
        ({"model": {"drop": 0.1}}, "phase2.model.drop: there is no such key"),
        ({"augment": {"zoo": 0.1}}, "phase2.augment.zoo: there is no such key"),
        ({"model": {"hidden": 9}}, "phase2.model.hidden: of the network phases can"),
        ({"start_from": "middle"}, "start_from is 'middle'; there are: last, best"),
        ({"loss": "l1"}, "config.phases.phase2: config.loss is 'l1'"),
        ({"num_train_steps": 0}, "config.phases.phase2: config.num_train_steps is 0"),
        (3, "phase2 is 3, not keys with values"),
    ],
)
def test_an_invalid_phase_is_named(changes, message):
    config = make_config()
    config.phases = ConfigDict({"phase1": {}, "phase2": changes})
    with pytest.raises(UserError, match=re.escape(message)):
        check_config(config)


def test_best_state_must_be_kept_to_start_from_it():
    config = make_config(keep_best=0)
    config.phases = ConfigDict({"phase1": {}, "phase2": {"start_from": "best"}})
    with pytest.raises(UserError, match="keep_best is 0: give at least 1"):
        check_config(config)
    config.phases = ConfigDict({"phase1": {"start_from": "best"}, "phase2": {}})
    assert len(check_config(config)) == 2  # the first starts from nothing


def test_names_must_sort_as_their_numbers():
    config = make_config()
    config.phases = ConfigDict({f"phase{i}": {} for i in (1, 2, 10)})
    with pytest.raises(UserError, match=r"phase1, phase10, phase2\. Give"):
        check_config(config)
    config.phases = ConfigDict({f"phase{i:02}": {} for i in (1, 2, 10)})
    names = [phase.name for phase in check_config(config)]
    assert names == ["phase01", "phase02", "phase10"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 6}, "batch_size is 6, which 4 devices.*try 8"),
        ({"accumulate_steps": 3}, r"is 8, which 4 devices .* in 3 pieces .*; try 12"),
        ({"accumulate_steps": 0}, "accumulate_steps is 0, not at least 1"),
        (
            {"batch_size": 12, "loss_consistency": 1.0},
            "is 12, which 4 devices cannot share equally with each galaxy twice .*; "
            "try 16",
        ),
    ],
)
def test_devices_must_share_a_batch(changes, message):
    check_config(make_config(), 4)
    with pytest.raises(UserError, match=message):
        check_config(make_config(**changes), 4)


def test_without_wandb_a_project_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, "wandb", raising=False)
    check_config(make_config(), 4)
    for left_behind in (False, True):  # a folder of that name is not the library
        if left_behind:
            (tmp_path / "wandb").mkdir()
        with pytest.raises(UserError, match=r"pip install 'gzjax\[wandb\]'"):
            check_config(make_config(wandb="galaxies"), 4)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("strides=(0,1,1,1)", "strides is (0, 1, 1, 1), not whole numbers above 0"),
        ("filters=(-1,1,1,1)", "filters is (-1, 1, 1, 1), not whole numbers"),
        ("hidden=(8.5,)", "hidden is (8.5,), not whole numbers"),
        ("filters=(8,8)", "not one number for each of the 2 convolutions"),
        ("weight_stds=(0.1,'a',1,1)", "config.model and config.view"),
        ("dropout_rate=1.0", "dropout_rate is 1.0, not in 0 .. 1"),
        ("part_px=99", "part_px is 99, not in 1 .. 69"),
    ],
)
def test_a_network_says_what_it_refuses(override, message):
    config = load_config("dieleman:quick", [f"--config.model.{override}"])
    with pytest.raises(UserError, match=re.escape(message)):
        Experiment(config, GZ2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 6}, "batch_size is 6"),
        ({"head": "tanh"}, "head is 'tanh'"),
        ({"tree": "gz9"}, "tree is 'gz9'; there are: gz2"),
        ({"model__group": "p8"}, "group is 'p8'; there are: p4, p4m"),
        ({"model__planes": (2, 2)}, "not one number for each of the 6"),
        ({"model__name": "vgg"}, "model.name is 'vgg'; there are: group_cnn"),
        ({"view__size_px": 66}, "66 px break the equivariance: pool1.*62, 80"),
        ({"max_norm__layers": ("hidden1",)}, "give one limit for each layer"),
        ({"data__kind": "web"}, "data.kind is 'web'; there are: challenge"),
        ({"init_from": "no/such"}, "init_from is no/such, and there is no such file"),
    ],
)
def test_nothing_is_written_by_a_training_that_is_refused(changes, message, tmp_path):
    with pytest.raises(UserError, match=message):
        train_and_evaluate(make_config(**changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()
