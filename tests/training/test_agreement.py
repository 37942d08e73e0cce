"""Processes that train something else are named, whatever lies elsewhere on each."""

import copy

import numpy as np
import pytest
from tiny import make_plain_config

from gzjax.errors import UserError
from gzjax.training import agreement
from gzjax.training.agreement import check_same_training
from gzjax.trees import GZ2


@pytest.fixture
def run():
    config = make_plain_config().to_dict()
    return {"config": config, "tree": GZ2.to_dict(), "fingerprint": "12ab"}


def check_together(monkeypatch, *runs):
    """As each process sees it: its error's text, or None."""
    with monkeypatch.context() as patch:
        gathered = []
        patch.setattr("jax.process_count", lambda: len(runs))
        gather = "jax.experimental.multihost_utils.process_allgather"
        patch.setattr(gather, lambda own: gathered.append(own) or own[None])
        for run in runs:
            check_same_training(run)
        patch.setattr(gather, lambda own: np.stack(gathered))
        texts = []
        for run in runs:
            try:
                texts.append(check_same_training(run))
            except UserError as error:
                texts.append(str(error))
    return texts


def test_what_each_host_has_for_itself_may_differ(run, monkeypatch):
    other = copy.deepcopy(run)
    other["config"]["data"] |= {"dir": "/elsewhere", "labels": "a.csv", "images": "b"}
    other["config"]["data"] |= {"num_workers": 7, "num_threads": 3}
    other["config"] |= {"wandb": "me", "tree": "/elsewhere/gz2.json"}
    assert check_together(monkeypatch, run, other) == [None, None]


@pytest.mark.parametrize("key", ["learning_rate", "model", "data.kind", "seed"])
def test_those_with_another_config_are_named_by_all(key, run, monkeypatch):
    other = copy.deepcopy(run)
    where, _, name = key.rpartition(".")
    (other["config"][where] if where else other["config"])[name] = "another"
    texts = check_together(monkeypatch, run, other, run, other)
    assert set(texts) == {texts[0]}
    assert "  another config: process 1, 3\n" in texts[0]
    assert "same command" in texts[0]


def test_other_data_and_another_tree_are_told_apart(run, monkeypatch):
    other, third = copy.deepcopy(run), copy.deepcopy(run)
    other["fingerprint"] = "12ac"
    third["tree"]["name"] = "another"
    text, *_ = check_together(monkeypatch, run, other, third)
    assert "detections): process 1\n" in text
    assert "  another decision tree: process 2\n" in text
    assert "another config" not in text


def test_a_process_alone_asks_nobody(monkeypatch):
    monkeypatch.delattr(agreement, "multihost_utils")
    check_same_training({})
