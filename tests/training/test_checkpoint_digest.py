"""A checkpoint that changed on the disk is noticed, set aside, and named."""

import functools
import gc
import logging
import os
import resource
import shutil
import time

import chex
import jax
import numpy as np
import pytest
from tiny import make_plain_config

from gzjax.errors import UserError
from gzjax.models import make_model
from gzjax.steps.optim import make_optimizer
from gzjax.steps.state import make_train_state
from gzjax.training.checkpoint.checkpoints import Checkpoints
from gzjax.training.checkpoint.digest import DIGESTS, find_damage, write_digests
from gzjax.training.checkpoint.saved import SavedCheckpoints
from gzjax.training.open_run import read_run

RUN = {"config": {"batch_size": 8}}


@pytest.fixture(scope="module")
def state():
    config = make_plain_config()
    model, tx = make_model(config, 37), make_optimizer(config)
    return jax.jit(lambda: make_train_state(model, tx, config))()


@pytest.fixture
def folder(state, tmp_path):
    with Checkpoints(tmp_path / "checkpoints", keep_newest=3) as checkpoints:
        for step, rmse in {2: 0.1, 4: 0.3, 6: 0.2}.items():
            checkpoints.save(step, state, RUN, rmse)
    return tmp_path / "checkpoints"


def files_of(folder):
    return sorted(p for p in folder.rglob("*") if p.is_file())


def save_whole(checkpoints, step, state):
    checkpoints.save(step, state, RUN)
    checkpoints.wait()


def flip(path, at=-1):
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def test_any_flipped_byte_and_any_lost_end_is_noticed(folder):
    assert find_damage(folder / "6") is None
    unread = ("commit_success.txt", "_CHECKPOINT_METADATA")
    files = [p for p in files_of(folder / "6") if p.name not in unread]
    assert {"manifest.ocdbt", "metrics", "metadata", DIGESTS} <= {p.name for p in files}
    for path in files:
        data = path.read_bytes()
        for at in np.linspace(0, len(data) - 1, 4).astype(int):
            flip(path, at)
            assert find_damage(folder / "6"), (path, at)
            path.write_bytes(data[:at])
            assert find_damage(folder / "6"), (path, at)
            path.write_bytes(data)
        path.unlink()
        assert path.name in find_damage(folder / "6")
        path.write_bytes(data)
    assert find_damage(folder / "6") is None


def test_what_orbax_notes_about_a_checkpoint_is_not_needed(folder, state):
    os.truncate(folder / "4" / "_CHECKPOINT_METADATA", 50)
    (folder / "6" / "_CHECKPOINT_METADATA").unlink()
    with Checkpoints(folder, keep_newest=3) as checkpoints:
        assert checkpoints.newest_step == 6
        for step in (4, 6):
            assert checkpoints.read_description(step) == RUN
            chex.assert_trees_all_equal(checkpoints.restore(step, state), state)


def test_training_sets_the_damaged_aside_and_takes_the_one_before(
    folder, state, capsys
):
    for step in (6, 6):
        flip(folder / str(step) / "state" / "manifest.ocdbt")
        with Checkpoints(folder, keep_newest=3) as checkpoints:
            assert checkpoints.steps == [2, 4]
            checkpoints.save(6, state, RUN, 0.2)
        said = capsys.readouterr().err
        assert f"damaged: {folder}/6 (state/manifest.ocdbt is not what was" in said
    names = {path.name for path in folder.iterdir()}
    assert names == {"2", "4", "6", "6.damaged", "6.damaged-2"}
    assert (folder / "6.damaged" / DIGESTS).is_file()


def test_metrics_that_cannot_be_read_are_no_obstacle(folder):
    (folder / "2" / "metrics" / "metrics").write_bytes(b"{")
    checkpoints = SavedCheckpoints(folder)
    assert checkpoints.best_step() == 6
    assert "metrics/metrics" in checkpoints.damage(2)
    with Checkpoints(folder, keep_newest=3) as checkpoints:
        assert checkpoints.steps == [4, 6]


@pytest.mark.parametrize(
    "content",
    [b"{", b"[]", b"\xff", b"{}", b'{"valid/rmse": "x"}', b"[" * 10**5],
    ids=["cut", "list", "bytes", "empty", "text", "deep"],
)
def test_metrics_with_forged_digests_may_be_anything(content, folder):
    (folder / "2" / "metrics" / "metrics").write_bytes(content)
    write_digests(folder / "2")
    checkpoints = SavedCheckpoints(folder)
    assert checkpoints.best_step() == 6


def test_digests_may_be_anything(folder):
    for content in (b"[" * 10**5, b"[1]", b'{"run/metadata": 3}'):
        (folder / "6" / DIGESTS).write_bytes(content)
        assert find_damage(folder / "6") == f"{DIGESTS} is not what was saved"


def test_a_reader_does_not_mind_what_a_training_removes(folder):
    checkpoints = SavedCheckpoints(folder)
    (folder / "2").rename(folder / "elsewhere")
    assert checkpoints.best_step() == 6


def test_a_best_one_that_was_lost_is_known(folder):
    flip(folder / "2" / "run" / "metadata")
    flip(folder / "4" / "run" / "metadata")
    with Checkpoints(folder, keep_newest=3) as checkpoints:
        assert checkpoints.lost_best_of(0, 4) == folder / "2.damaged"
        assert checkpoints.lost_best_of(2, 6) is None  # 4 was worse than 6
        (folder / "4.damaged" / "metrics" / "metrics").write_bytes(b"{")
        assert checkpoints.lost_best_of(2, 6) == folder / "4.damaged"


def test_a_best_one_that_lost_its_metrics_is_known(folder, state):
    shutil.rmtree(folder / "2" / "metrics")
    with Checkpoints(folder, keep_newest=3) as checkpoints:
        save_whole(checkpoints, 3, state)  # not evaluated
    flip(folder / "3" / "run" / "metadata")
    with Checkpoints(folder, keep_newest=3) as checkpoints:
        assert checkpoints.lost_best_of(0, 4) == folder / "2.damaged"
        assert checkpoints.lost_best_of(2, 4) is None


def test_without_an_intact_one_it_says_so_once(folder):
    for step in (2, 4, 6):
        flip(folder / str(step) / "run" / "metadata")
    with pytest.raises(UserError, match=r"no intact checkpoint.*from step 0"):
        Checkpoints(folder)
    with Checkpoints(folder) as checkpoints:
        assert checkpoints.newest_step is None


def test_readers_change_nothing_and_name_one_that_is_intact(folder, monkeypatch):
    monkeypatch.setattr(
        "gzjax.training.open_run.check_run", lambda *_: None
    )  # RUN is not a run
    flip(folder / "6" / "run" / "metadata")
    before = files_of(folder)
    message = r"step 6 is damaged \(run/metadata .*Intact: 4, 2 \(--checkpoint=4\)"
    with pytest.raises(UserError, match=message):
        read_run(folder.parent)
    assert read_run(folder.parent, "4")[1:3] == (4, RUN)
    assert read_run(folder.parent, "best")[1:3] == (2, RUN)
    assert files_of(folder) == before


def test_a_file_of_another_length_is_not_read(folder):
    os.truncate(folder / "6" / "run" / "metadata", 100 << 30)  # sparse: 100 GiB
    begun = time.monotonic()
    assert find_damage(folder / "6") == "run/metadata is not what was saved"
    assert time.monotonic() - begun < 5


def test_what_is_no_longer_kept_goes_whole(folder, state):
    with Checkpoints(folder, keep_newest=1, keep_best=0) as checkpoints:
        checkpoints.save(8, state, RUN)
        checkpoints.wait()
        assert {path.name for path in folder.iterdir()} == {"8"}


# What Orbax had begun to write, and drops.
@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")
def test_a_full_disk_is_said_with_what_is_kept(folder, state):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    message = r"step 8 could not be saved: File too large\n.*resumes from step 6"
    with Checkpoints(folder, keep_newest=3) as checkpoints:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
        try:
            with pytest.raises(UserError, match=message):
                save_whole(checkpoints, 8, state)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    # What it had begun may still be written until its process ends; that the next one
    # saves this step is shown by benchmarks/fault_kinds.py.
    checkpoints = SavedCheckpoints(folder)
    assert checkpoints.steps == [2, 4, 6]
    gc.collect()  # here, where its warnings are expected


@pytest.mark.parametrize(
    "part",
    ["run/metadata", "state/manifest.ocdbt", "state/ocdbt.process_0/d", "state", "run"],
)
@pytest.mark.parametrize("whole", [True, False])
# Of the other reads, which Orbax drops.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_damage_with_forged_digests_is_one_message(folder, state, part, whole):
    step = folder / "6"
    path = step / part
    if whole and path.is_dir():
        shutil.rmtree(path)
    elif whole:
        path.unlink()
    else:
        for file in [path] if path.is_file() else files_of(path):
            file.write_bytes(file.read_bytes()[:20])
    write_digests(step)
    checkpoints = SavedCheckpoints(folder)
    reads = [
        checkpoints.read_weights,
        functools.partial(checkpoints.restore, template=state),
    ]
    for read in [checkpoints.read_description] if part.startswith("run") else reads:
        message = r"6 cannot be read: .*\n.*are step 2, 4"
        with pytest.raises(UserError, match=message):
            read(6)
    gc.collect()  # here, where its warnings are expected


def test_what_others_of_its_files_met_is_not_said(folder, caplog):
    SavedCheckpoints(folder)
    logger = logging.getLogger("asyncio")
    logger.error("Future exception was never retrieved\nfuture: <Future ...>")
    logger.error("Executing took 3 seconds")
    assert caplog.messages == ["Executing took 3 seconds"]
