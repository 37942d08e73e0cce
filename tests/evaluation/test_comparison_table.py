"""The table of a comparison, from numbers made by hand."""

import json

import numpy as np
import pytest

from gzjax.data.vote_files import write_votes
from gzjax.errors import UserError
from gzjax.evaluation.compare.record import Comparison
from gzjax.evaluation.compare.scores import (
    img_per_sec,
    is_evaluated,
    run_scores,
    summary,
)
from gzjax.evaluation.compare.table import markdown
from gzjax.metrics.robustness import bootstrap_rmse

BUDGET = dict(num_images=100, batch_size=32, num_steps=4, averaging="d4")
CONDITIONS = {
    "budget": BUDGET | {"overrides": {"learning_rate": 0.1}},
    "data": {"fingerprint": "abcdef0123456789", "galaxies": {"train": 30, "valid": 4}},
    "split": {"kind": "last_fraction"},
    "tree": "gz2",
}
R15 = {"rotation_robustness_15deg": 0.005}  # evaluations of old have none
MACHINE = dict(device="abacus", devices=2, cpus=3, jax="1.2", date="2030-01-02")


def run(rmse, averaged=None, r=0.01, rate=100.0, **more):
    def interval(value):
        return {"value": value, "low": value - 0.01, "high": value + 0.02}

    scores = {"rmse": interval(rmse), "rotation_robustness": r, "img_per_sec": rate}
    more |= {"rmse_averaged": interval(averaged)} if averaged else {}
    return scores | more | {"training_mean": 0.15}


@pytest.fixture
def comparison(tmp_path):
    result = Comparison(tmp_path, CONDITIONS, "download", MACHINE)
    for name in ("worse", "best", "broken", "partly"):
        result.add_system(name, f"{name}.py", 1234)
    result.set_run("worse", 0, "w", run(0.2, 0.19))
    result.set_run("best", 0, "b0", run(0.1, 0.09, 1e-8, 1000.0, **R15))
    result.set_run("best", 1, "b1", run(0.12, 0.11, 3e-8, 2000.0))
    result.set_run("broken", 0, "x", {"failed": "a|b went wrong"})
    result.set_run("partly", 0, "p0", run(0.13, 0.125))
    result.set_run("partly", 1, "p1", {"failed": "boom"})
    return result


def cells(text):
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[c.strip() for c in line.strip("|").split(" | ")] for line in lines]


def test_rows_stand_by_rmse_around_the_training_mean(comparison):
    header, rule, *rows = cells(markdown(comparison.content))
    assert header == ["system", "parameters", "RMSE", "RMSE, d4", "R", "R15", "img/s"]
    assert rule[0].startswith("--")
    assert rule[1].endswith("-:")
    names, parameters, rmse, averaged, r, r15, speed = zip(*rows, strict=True)
    assert names == ("best", "partly", "training mean", "worse", "broken")
    assert parameters == ("1,234", "1,234", "–", "1,234", "1,234")
    assert rmse == (
        "0.11000 ± 0.01414 (2 seeds)",
        "0.13000 (0.12000 .. 0.15000) seed 1 failed: boom",
        "0.15000",
        "0.20000 (0.19000 .. 0.22000)",
        r"seed 0 failed: a\|b went wrong",
    )
    assert averaged[:2] == (
        "0.10000 ± 0.01414 (2 seeds)",
        "0.12500 (0.11500 .. 0.14500)",
    )
    assert r == ("2.0e-08", "1.0e-02", "–", "1.0e-02", "–")
    assert r15 == ("5.0e-03", "–", "–", "–", "–")
    assert speed == ("1,500", "100", "–", "100", "–")
    assert len({len(x) for x in markdown(comparison.content).splitlines()[:7]}) == 1


def test_one_line_states_the_conditions(comparison):
    *_, line = markdown(comparison.content).splitlines()
    assert "128 training images each (4 steps of 32, learning_rate=0.1)" in line
    assert "download (abcdef01), 30 galaxies to train on, 4 to validate" in line
    assert "2 x abacus (3 CPUs, JAX 1.2); 2030-01-02." in line


def test_machines_and_dates_are_those_of_all_runs(comparison, tmp_path):
    other = MACHINE | {"device": "slide rule", "date": "2031-05-06"}
    later = Comparison(tmp_path, CONDITIONS, "download", other)
    later.add_system("new", "new.py", 5)
    later.set_run("new", 0, "n", run(0.3, 0.3))
    *_, line = (tmp_path / "comparison.md").read_text().splitlines()
    assert "2 x abacus (3 CPUs, JAX 1.2) or 2 x slide rule" in line
    assert line.endswith("2030-01-02 to 2031-05-06.")
    assert later.is_finished("best", 1)
    assert not later.is_finished("partly", 1)


def test_without_averaging_there_is_no_column_of_it(tmp_path):
    budget = CONDITIONS["budget"] | {"averaging": "none"}
    conditions = CONDITIONS | {"budget": budget}
    one = Comparison(tmp_path, conditions, "download", MACHINE)
    one.add_system("a", "a.py", 7)
    one.set_run("a", 0, "a0", run(0.2))
    header, _, *rows = cells(markdown(one.content))
    assert header == ["system", "parameters", "RMSE", "R", "R15", "img/s"]
    assert {len(row) for row in rows} == {6}


@pytest.mark.parametrize("text", ["", "{", "[]", '{"budget": {}}'])
def test_a_broken_file_is_one_message(text, tmp_path):
    (tmp_path / "comparison.json").write_text(text)
    with pytest.raises(UserError, match=r"comparison\.json cannot be read"):
        Comparison(tmp_path, CONDITIONS, "download", MACHINE)


def test_spread_over_seeds_is_that_of_a_sample():
    result = summary([run(0.1), run(0.2), run(0.4)])["rmse"]
    assert result["value"] == pytest.approx(np.mean([0.1, 0.2, 0.4]))
    assert result["sd"] == pytest.approx(np.std([0.1, 0.2, 0.4], ddof=1))
    assert result["seeds"] == 3
    assert summary([]) == {}


def write_metrics(folder, rates, **config):
    (folder / "config.json").write_text(json.dumps(config))
    lines = [{"step": s, "img_per_sec": r, "train/loss": 1.0} for s, r in rates]
    lines.append({"step": rates[-1][0], "valid/rmse": 0.1})
    (folder / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")


RATES = [(2, 1.0), (4, 50.0), (6, 2.0), (8, 40.0), (10, 60.0), (12, 44.0)]


@pytest.mark.parametrize(
    ("head", "warmup", "num", "expected"),
    [
        ("relu", 4, 6, 44.0),  # only the first compiles
        ("divisive", 4, 6, 44.0),  # 40, 60, 44: without the first after step 4
        ("divisive", 8, 6, 44.0),  # 44 alone
        ("divisive", 11, 6, 44.0),  # nothing is left: the last
        ("divisive", 0, 1, 1.0),
        ("divisive", 0, 3, 26.0),
    ],
)
def test_speed_is_a_median_without_compilation(head, warmup, num, expected, tmp_path):
    write_metrics(tmp_path, RATES[:num], head=head, head_warmup_steps=warmup)
    assert img_per_sec(tmp_path) == expected


def test_scores_of_a_run_come_with_intervals_over_its_galaxies(tmp_path):
    rng = np.random.default_rng(0)
    ids, targets = np.arange(50), rng.random((50, 3))
    write_metrics(tmp_path, RATES, head="relu", head_warmup_steps=0)
    for averaging in ("none", "d4"):
        votes, label = targets + rng.normal(size=targets.shape), f"valid-{averaging}"
        # In another order than the truth.
        predictions = tmp_path / f"predictions-{label}.csv"
        write_votes(predictions, ids[::-1], votes[::-1], "abc")
        write_votes(tmp_path / f"targets-{label}.csv", ids, targets, "abc")
        rmse, low, high = bootstrap_rmse(votes, targets)
        content = {"rmse": rmse, "rotation_robustness": 0.5, "step": 4}
        content["training_mean"] = {"rmse": 0.3}
        (tmp_path / f"evaluation-{label}.json").write_text(json.dumps(content))
    scores = run_scores(tmp_path, "d4")
    assert scores["rotation_robustness"] == 0.5
    assert "rotation_robustness_15deg" not in scores  # of an older gzjax
    assert scores["training_mean"] == 0.3
    expected = pytest.approx({"value": rmse, "low": low, "high": high}, rel=1e-6)
    assert scores["rmse_averaged"] == expected != scores["rmse"]
    assert "rmse_averaged" not in run_scores(tmp_path, "none")
    assert is_evaluated(tmp_path, "d4", 4)
    assert not is_evaluated(tmp_path, "d4", 5)
    assert not is_evaluated(tmp_path, "c4", 4)
    predictions.unlink()
    assert not is_evaluated(tmp_path, "d4", 4)
