"""Comparisons of tiny systems: trained, interrupted, added to, refused, failing."""

import json
import shutil

import jax
import numpy as np
import pytest

from gzjax.data.synthetic.folder import write_folder
from gzjax.data.synthetic.source import SyntheticSource
from gzjax.data.vote_files import read_votes
from gzjax.evaluation.compare.systems import build_systems
from gzjax.main import main
from gzjax.training.open_run import read_run
from gzjax.training.stop_signals import StopSignals

CONFIG = """
from tiny import make_plain_config

def get_config(variant=""):
    # One network and recipe, compiled once; "still" differs on the host only.
    config = make_plain_config(head_warmup_steps=0)
    if variant == "still":
        config.augment.rotation_deg = 0.0
    if variant == "other_split":
        config.split.valid = 0.5
    if variant == "no_valid":
        config.split.valid = 0.0
    if variant == "wrong":
        config.head = "tanh"
    if variant == "lacking":
        del config.view.scale
    return config
"""
BUDGET = ("--num_images=31", "--batch_size=8", "--averaging=c4")


@pytest.fixture(scope="module")
def tiny_config(tmp_path_factory):
    path = tmp_path_factory.mktemp("configs") / "sys.py"
    path.write_text(CONFIG)
    return str(path)


def compare(configs, output, *more):
    arguments = ["compare", "--configs", *configs, f"--output={output}"]
    return main([*arguments, *BUDGET, *more])


def read(output):
    return json.loads((output / "comparison.json").read_text())


def system(output, name):
    (found,) = [s for s in read(output)["systems"] if s["name"] == name]
    return found


def without_speed(run):
    return {k: v for k, v in run.items() if k not in ("img_per_sec", "workdir")}


@pytest.fixture(scope="module")
def finished(tiny_config, tmp_path_factory):
    output = tmp_path_factory.mktemp("out") / "compare"
    assert compare([f"{tiny_config}:still", tiny_config], output) == 0
    return output


def test_table_says_what_the_files_of_the_runs_say(finished):
    content = read(finished)
    assert content["budget"]["num_steps"] == 4
    assert content["data"]["galaxies"] == {"train": 33, "valid": 11, "test": 0}
    assert content["machine"]["jax"] == jax.__version__
    assert [s["name"] for s in content["systems"]] == ["sys-still", "sys"]
    for s in content["systems"]:
        (run,) = s["runs"]
        folder = finished / f"{s['name']}-seed0"
        assert run["workdir"] == str(folder)
        for key, label in (("rmse", "valid-none"), ("rmse_averaged", "valid-c4")):
            votes, truth = (
                read_votes(folder / f"{name}-{label}.csv").votes
                for name in ("predictions", "targets")
            )
            expected = np.sqrt(np.mean((votes - truth) ** 2))
            assert run[key]["value"] == pytest.approx(expected, rel=1e-6)
            assert run[key]["low"] < expected < run[key]["high"]
        plain = json.loads((folder / "evaluation-valid-none.json").read_text())
        for key in ("rotation_robustness", "rotation_robustness_15deg"):
            assert run[key] == plain[key] > 0
        evaluation = json.loads((folder / "evaluation-valid-c4.json").read_text())
        assert evaluation["step"] == 4
        assert evaluation["fingerprint"] == content["data"]["fingerprint"]
        assert content["training_mean"] == evaluation["training_mean"]["rmse"]
        assert run["img_per_sec"] > 0
        config = read_run(folder).run["config"]
        assert (config["batch_size"], config["num_train_steps"]) == (8, 4)
    table = (finished / "comparison.md").read_text()
    rows = [line.split("|")[1].strip() for line in table.splitlines()[2:5]]
    scores = {s["name"]: s["summary"]["rmse"]["value"] for s in content["systems"]}
    scores["training mean"] = content["training_mean"]
    assert rows == sorted(scores, key=scores.get)


@pytest.mark.parametrize("stop", [1, pytest.param(None, marks=pytest.mark.slow)])
def test_interrupted_it_goes_on_to_the_same_numbers(
    finished, stop, tiny_config, tmp_path, monkeypatch, capsys
):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    output = tmp_path / "compare"
    with monkeypatch.context() as patch:
        if stop:  # in training, as a signal does
            patch.setattr(StopSignals, "requested", lambda self, done: done == stop)
            with pytest.raises(SystemExit):
                compare([tiny_config], output)
        else:  # in the second evaluation
            patch.setattr("gzjax.evaluation.compare.compare.evaluate", interrupt)
            assert compare([tiny_config], output) == 130
    assert "run the same command again to resume" in capsys.readouterr().err
    assert system(output, "sys")["runs"] == []
    assert compare([tiny_config], output) == 0
    (run,) = system(output, "sys")["runs"]
    (undisturbed,) = system(finished, "sys")["runs"]
    assert without_speed(run) == without_speed(undisturbed)


def test_further_calls_add_rows_and_do_nothing_twice(
    finished, tiny_config, tmp_path, monkeypatch, capsys
):
    output = shutil.copytree(finished, tmp_path / "compare")
    before = read(output)["systems"]
    with monkeypatch.context() as patch:  # nothing is trained or evaluated
        patch.delattr("gzjax.evaluation.compare.compare._run")
        assert compare([tiny_config], output) == 0
    assert "finished before" in capsys.readouterr().err
    assert read(output)["systems"] == before
    other = shutil.copy(tiny_config, tmp_path / "other.py")
    # Both are given in one argument, as a shell variable may hold them.
    assert compare([f"{tiny_config}:still {other}:still"], output) == 0
    assert compare([f"{tiny_config}:still"], output, "--seeds=2") == 0
    names = ["sys-still", "sys", "other-still"]
    assert [s["name"] for s in read(output)["systems"]] == names
    both, other = (system(output, n)["runs"] for n in ("sys-still", "other-still"))
    assert both[0] == before[0]["runs"][0]
    assert [run["seed"] for run in both] == [0, 1]
    assert both[0]["rmse"] != both[1]["rmse"]
    assert list(map(without_speed, other)) == [without_speed(both[0])]
    value = np.std([run["rmse"]["value"] for run in both], ddof=1)
    assert system(output, "sys-still")["summary"]["rmse"]["sd"] == pytest.approx(value)
    printed = capsys.readouterr().out
    assert (output / "comparison.md").read_text() in printed
    assert f"± {value:.5f} (2 seeds)" in printed


def test_overrides_are_compared_by_value(tiny_config):
    def overrides(text):
        given = ["--config.learning_rate=" + text, "--config.data.num_workers=0"]
        return build_systems([tiny_config], given, 4, 8)[0].overrides

    assert overrides("0.1") == overrides("0.10") == {"learning_rate": 0.1}


def test_what_fails_is_in_the_table_and_the_others_go_on(
    tiny_config, tmp_path, monkeypatch
):
    output, configs = tmp_path / "compare", [f"{tiny_config}:still", tiny_config]
    answers = iter([False])
    with monkeypatch.context() as patch:  # the parameters of the first run are not
        patch.setattr(
            "gzjax.training.loop._all_finite", lambda tree: next(answers, True)
        )
        assert compare(configs, output) == 3
    (failed,) = system(output, "sys-still")["runs"]
    assert "not finite at step 1" in failed["failed"]
    assert "rmse" in system(output, "sys")["runs"][0]
    text = (output / "comparison.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert rows[-1].startswith("| sys-still")
    assert "seed 0 failed: the loss or the parameters are not finite" in rows[-1]
    # The same command tries it again, and nothing else.
    (good,) = system(output, "sys")["runs"]
    assert compare(configs, output) == 0
    assert "failed" not in system(output, "sys-still")["runs"][0]
    assert system(output, "sys")["runs"] == [good]


def test_a_network_too_large_for_the_device_is_one_that_failed(
    finished, tiny_config, tmp_path, monkeypatch
):
    def train(*_):
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: 9 GB\nand a long trace")

    output = shutil.copytree(finished, tmp_path / "compare")
    monkeypatch.setattr("gzjax.evaluation.compare.compare.train_and_evaluate", train)
    large = str(shutil.copy(tiny_config, tmp_path / "large.py"))
    assert compare([large, tiny_config], output) == 3
    (failed,) = system(output, "large")["runs"]
    assert failed["failed"] == "RESOURCE_EXHAUSTED: 9 GB"


def test_bad_images_are_said_before_any_training(tmp_path, tiny_config, capsys):
    folder = tmp_path / "download"
    write_folder(SyntheticSource(44, size_px=106), folder)
    image = folder / "images_training_rev1" / "100007.jpg"
    image.write_bytes(image.read_bytes()[:500])
    output, data = tmp_path / "compare", [f"--data={folder}", "--pixel_scale=4"]
    assert compare([tiny_config], output, *data) == 2
    assert "100007" in capsys.readouterr().err
    assert not output.exists()


@pytest.mark.parametrize(
    ("variants", "flag", "message"),
    [
        (["", ":wrong"], "", "sys.py:wrong: config.head is 'tanh'"),
        (["", ":lacking"], "--config.view.scale=4", "sys.py:lacking: no key 'view.sc"),
        (["", ":other_split"], "", "split.valid: 0.25 there, 0.5 here"),
        ([":no_valid"], "", "its validation split is empty"),
        (["", ""], "", "give each once"),
        ([""], "--batch_size=6", "batch_size is 6, which 4 devices"),
        ([""], "--config.num_train_steps=9", "num_train_steps is set by compare"),
        ([""], "--seeds=0", "--seeds is 0"),
        ([""], "--averaging=e8", "no averaging set 'e8'"),
        (["", ":still"], "--averaging=half2", "sys.py: averaging set 'half2' parts"),
        ([""], "--data=/nowhere", "/nowhere"),
    ],
)
def test_what_is_invalid_costs_nothing(
    variants, flag, message, tiny_config, tmp_path, capsys
):
    output, more = tmp_path / "compare", [flag] if flag else []
    assert compare([tiny_config + v for v in variants], output, *more) == 2
    assert message in capsys.readouterr().err
    assert not output.exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("--num_images=40", "budget.num_images: 31 there, 40 here"),
        ("--averaging=d4", "budget.averaging: 'c4' there, 'd4' here"),
        ("--config.data.synthetic.seed=5", "data.fingerprint: "),
        ("--config.split.valid=0.5", "split.valid: 0.25 there, 0.5 here"),
        ("--config.learning_rate=0.1", "learning_rate: 'absent' there, 0.1 here"),
    ],
)
def test_another_comparison_in_the_same_folder_is_refused(
    finished, more, message, tiny_config, capsys
):
    before = {p: p.stat().st_mtime_ns for p in finished.rglob("*")}
    assert compare([tiny_config], finished, more) == 2
    assert message in capsys.readouterr().err
    assert {p: p.stat().st_mtime_ns for p in finished.rglob("*")} == before


def test_a_folder_of_another_run_is_refused_before_training(
    finished, tiny_config, tmp_path, capsys
):
    output = shutil.copytree(finished, tmp_path / "compare")
    (output / "comparison.json").unlink()
    assert compare([tiny_config], output, "--num_images=40") == 2
    assert "a run of 4 steps, not 5" in capsys.readouterr().err
    assert compare([tiny_config], output, "--config.learning_rate=0.1") == 2
    assert "config.learning_rate: 0.05 there, 0.1 here" in capsys.readouterr().err
    assert not (output / "comparison.json").exists()


def test_several_processes_are_refused_first(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("jax.process_count", lambda: 2)
    assert compare(["no-such-config"], tmp_path / "compare") == 2
    assert "runs in one process" in capsys.readouterr().err
