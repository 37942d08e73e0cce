"""Weights & Biases, offline: nothing leaves the machine."""

import contextlib
import os
from pathlib import Path

import pytest
import wandb
from tiny import make_plain_config
from wandb.proto.wandb_internal_pb2 import Record, RunExitRecord

from gzjax.errors import UserError
from gzjax.evaluation.evaluate import train_and_evaluate
from gzjax.training import run_files as layout
from gzjax.training.writers import MetricWriter


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    """What a user sets who has no network; wandb forgets it after the test."""
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    yield
    wandb.teardown()


def kept(path):
    """What wandb wrote: all of it is there once its own process has left."""
    wandb.teardown()
    return path.read_bytes()


def test_a_run_that_goes_on_is_the_same_run(tmp_path):
    ids = []
    for step in (0, 1):
        config = {"learning_rate": 0.1, "wandb": "us/galaxies"}
        with MetricWriter(tmp_path, step, config=config) as writer:
            writer.write(step + 1, {"train/loss": 0.5})
        ids.append((tmp_path / layout.WANDB_ID).read_text().strip())
        newest = tmp_path / "wandb" / "latest-run" / f"run-{ids[0]}.wandb"
        for told in (b"us", b"galaxies", b"train/loss", b"learning_rate"):
            assert told in kept(newest)
    assert ids[0] == ids[1] != ""


@pytest.mark.parametrize("failed", [False, True])
def test_a_run_that_an_error_ends_is_shown_as_failed(failed, tmp_path):
    with (
        pytest.raises(KeyError) if failed else contextlib.nullcontext(),
        MetricWriter(tmp_path, 0, config={"wandb": "galaxies"}),
    ):
        if failed:
            raise KeyError
    [told] = tmp_path.glob("wandb/offline-run-*/run-*.wandb")
    end = Record(exit=RunExitRecord(exit_code=int(failed)))
    assert end.SerializeToString() in kept(told)


def test_a_failing_end_leaves_no_file_open(tmp_path, monkeypatch):
    def fail(run, exit_code):
        raise wandb.Error("no end")

    monkeypatch.setattr(wandb.Run, "finish", fail)
    writer = MetricWriter(tmp_path, 0, config={"wandb": "galaxies"})
    with pytest.raises(wandb.Error, match="no end"):
        writer.close()
    links = [os.path.realpath(fd) for fd in Path("/proc/self/fd").iterdir()]
    ours = [tmp_path / layout.METRICS, tmp_path / layout.TENSORBOARD]
    assert not [link for link in links if link.startswith(tuple(map(str, ours)))]


def test_a_training_reports_if_its_config_says_so(tmp_path, monkeypatch):
    class Opened(Exception):  # noqa: N818 - as far as the training need go
        pass

    def opened(workdir, step, enabled, config):
        raise Opened(config["wandb"], config["learning_rate"])

    monkeypatch.setattr("gzjax.training.loop.MetricWriter", opened)
    config = make_plain_config(wandb="galaxies", learning_rate=0.125)
    with pytest.raises(Opened) as stop:
        train_and_evaluate(config, tmp_path)
    assert stop.value.args == ("galaxies", 0.125)


def test_without_an_account_it_is_one_message(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    with pytest.raises(UserError, match=r"(?s)wandb cannot begin: .*WANDB_MODE=off"):
        MetricWriter(tmp_path, 0, config={"wandb": "galaxies"})
