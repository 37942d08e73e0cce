"""Ensembles: the algebra against direct computation, and bad files against people."""

import itertools
import json
import subprocess
import sys
import time

import numpy as np
import pytest

from gzjax.data.vote_files import read_votes, write_votes
from gzjax.errors import UserError
from gzjax.evaluation.ensemble import blending
from gzjax.evaluation.ensemble.blending import blend_rmse, fit_weights, gram_matrices
from gzjax.evaluation.ensemble.ensemble import ensemble
from gzjax.evaluation.ensemble.members import read_predictions
from gzjax.training.run_files import evaluation_name, predictions_name, targets_name
from gzjax.trees import GZ2

SMALL = ("Class1.1", "Class1.2", "Class1.3")


def draw(num_models=3, num_galaxies=40, num_answers=3, noise=0.1, seed=0):
    """Votes [m n a] and targets [n a]; ``noise`` broadcasts to [m n a]."""
    rng = np.random.default_rng(seed)
    targets = rng.dirichlet(np.ones(num_answers), num_galaxies)
    errors = rng.normal(size=(num_models, *targets.shape))
    return targets + noise * errors, targets


def write_runs(folder, votes, targets, columns=SMALL, label="valid-none"):
    ids = 100 + 3 * np.arange(len(targets))
    runs = [folder / f"run{i}" for i in range(len(votes))]
    for run, votes_here in zip(runs, votes, strict=True):
        run.mkdir(exist_ok=True)
        write_votes(run / predictions_name(label), ids, votes_here, columns)
        if targets is not None:
            write_votes(run / targets_name(label), ids, targets, columns)
    return runs


@pytest.fixture
def runs(tmp_path):
    return write_runs(tmp_path, *draw())


def direct_rmse(votes, targets):
    return np.sqrt(np.mean((votes - targets) ** 2))


def random_weights(*shape):
    return np.random.default_rng(7).dirichlet(np.ones(shape[-1]), shape[:-1])


def test_gram_gives_the_rmse_of_every_linear_blend():
    votes, targets = draw(4, 50, 5)
    gram = gram_matrices(votes, targets)
    w = random_weights(4)
    direct = direct_rmse(np.tensordot(w, votes, 1), targets)
    assert blend_rmse(gram, w) == pytest.approx(direct, rel=1e-12)
    table = random_weights(5, 4)
    direct = direct_rmse(np.einsum("am,mna->na", table, votes), targets)
    assert blend_rmse(gram, table) == pytest.approx(direct, rel=1e-12)
    blend = blending.blend(votes, table)
    assert direct_rmse(blend, targets) == pytest.approx(direct, rel=1e-12)


def test_gradient_against_finite_differences():
    gram = gram_matrices(*draw(5)).mean(axis=0)
    z, step = np.random.default_rng(1).normal(size=5), 1e-5
    up, down = (
        np.array([blending.square_error(z + s * d, gram)[0] for d in np.eye(5)])
        for s in (step, -step)
    )
    numeric = (up - down) / (2 * step)
    _, gradient = blending.square_error(z, gram)
    np.testing.assert_allclose(gradient, numeric, rtol=1e-6, atol=1e-12)


def test_fit_finds_inverse_variances():
    sigma = np.array([0.05, 0.1, 0.2])
    w = fit_weights("model", gram_matrices(*draw(3, 20000, 3, sigma[:, None, None])))
    np.testing.assert_allclose(w, sigma**-2 / np.sum(sigma**-2), atol=0.01)
    # And to all digits where the Gram matrix is exactly that of independent errors.
    exact = fit_weights("model", np.diag(sigma**2)[None])
    np.testing.assert_allclose(exact, sigma**-2 / np.sum(sigma**-2), atol=1e-6)


def test_answer_weights_find_the_good_model_of_each_answer():
    noise = np.where(np.eye(3, dtype=bool), 0.001, 0.3)[:, None]
    gram = gram_matrices(*draw(3, 1000, 3, noise))
    table = fit_weights("answer", gram)
    np.testing.assert_allclose(table, np.eye(3), atol=1e-3)
    assert blend_rmse(gram, table) < 0.01 < blend_rmse(gram, fit_weights("model", gram))


def test_fit_drops_a_harmful_model_and_survives_perfect_ones():
    votes, targets = draw(2, 500, 3, 0.05)
    votes[1] = votes[0] + 3 * (votes[0] - targets)  # the optimum on the line is outside
    np.testing.assert_allclose(
        fit_weights("model", gram_matrices(votes, targets)), [1, 0], atol=1e-4
    )
    perfect = np.stack([targets, targets])
    w = fit_weights("model", gram_matrices(perfect, targets))
    np.testing.assert_array_equal(w, [0.5, 0.5])


def test_halves():
    ids = np.random.default_rng(0).choice(10**6, 101, replace=False)
    fits = blending.fitting_half(ids)
    assert (fits.sum(), (~fits).sum()) == (51, 50)
    order = np.random.default_rng(1).permutation(101)
    np.testing.assert_array_equal(blending.fitting_half(ids[order]), fits[order])


def test_weights_are_fitted_on_one_half_alone(tmp_path):
    votes, targets = draw()
    fits = blending.fitting_half(100 + 3 * np.arange(len(targets)))
    changed = np.where(fits[:, None], targets, 1 - targets)
    results = []
    for name, truth in (("a", targets), ("b", changed)):
        (tmp_path / name).mkdir()
        runs = write_runs(tmp_path / name, votes, truth)
        results.append(ensemble(runs, output=tmp_path / name / "blend"))
    for kind in blending.WEIGHTS:
        a, b = (result["blends"][kind] for result in results)
        assert a["weights"] == b["weights"]
        assert a["rmse_fitted"] == b["rmse_fitted"]
        assert a["rmse_scored"] < b["rmse_scored"]
    best = [[s["members"] for s in result["subsets"]] for result in results]
    assert best[0] == best[1]


def test_best_subsets_equal_brute_force():
    votes, targets = draw(5, 60, 3, np.linspace(0.08, 0.15, 5)[:, None, None])
    gram = gram_matrices(votes, targets).mean(axis=0)
    for k, mask in enumerate(blending.best_subsets(gram), 1):
        best = min(
            itertools.combinations(range(5), k),
            key=lambda s: direct_rmse(votes[list(s)].mean(axis=0), targets),
        )
        assert tuple(np.flatnonzero(mask)) == best


def test_many_models():
    votes, targets = draw(17, 300, 37)
    gram = gram_matrices(votes, targets).mean(axis=0)
    start = time.monotonic()
    exhaustive = blending.best_subsets(gram)
    assert time.monotonic() - start < 10
    sizes = np.arange(1, 18)
    np.testing.assert_array_equal(exhaustive.sum(axis=1), sizes)
    greedy = blending._greedy_subsets(gram)
    np.testing.assert_array_equal(greedy.sum(axis=1), sizes)
    assert (greedy[1:] >= greedy[:-1]).all()
    both = [blending._uniform_squares(masks, gram) for masks in (exhaustive, greedy)]
    assert (both[0] <= both[1] * (1 + 1e-12)).all()
    np.testing.assert_allclose(both[0][[0, -1]], both[1][[0, -1]])


def test_more_models_than_subsets_can_be_tried_for(tmp_path, capsys):
    result = ensemble(write_runs(tmp_path, *draw(21)), output=tmp_path / "blend")
    assert not result["subsets_exhaustive"]
    assert "best 2 of 21 (greedy)" in capsys.readouterr().out


def test_report_equals_direct_computation(runs, tmp_path, capsys):
    result = ensemble(runs, output=tmp_path / "blend")
    members = read_predictions(runs, "valid-none")
    scored = ~blending.fitting_half(members.ids)
    votes, targets = members.votes[:, scored], members.targets[scored]
    assert result["galaxies"] == {"fitted": 20, "scored": 20}
    uniform = direct_rmse(votes.mean(axis=0), targets)
    assert result["blends"]["uniform"]["rmse_scored"] == pytest.approx(uniform)
    for i, model in enumerate(result["models"]):
        assert model["name"] == str(runs[i])
        assert model["rmse_scored"] == pytest.approx(direct_rmse(votes[i], targets))
        without = direct_rmse(np.delete(votes, i, axis=0).mean(axis=0), targets)
        assert model["change_without"] == pytest.approx(without - uniform)
    table = np.array(result["blends"]["answer"]["weights"])
    assert table.shape == (3, 3)
    np.testing.assert_allclose(table.sum(axis=0), 1)
    direct = direct_rmse(np.einsum("ma,mna->na", table, votes), targets)
    assert result["blends"]["answer"]["rmse_scored"] == pytest.approx(direct)
    assert result["subsets"][2]["members"] == [1, 2, 3]
    assert result["subsets"][2]["rmse_scored"] == pytest.approx(uniform)
    fitted = [result["blends"][kind]["rmse_fitted"] for kind in blending.WEIGHTS]
    assert fitted == sorted(fitted, reverse=True)
    written = (tmp_path / "blend" / "ensemble-valid-none.json").read_text()
    assert json.loads(written) == result
    printed = capsys.readouterr().out
    assert f"{uniform:.5f}" in printed
    assert "best 3 of 3: 1 2 3" in printed


@pytest.mark.parametrize("weights", ["uniform", "model"])
def test_plain_mean_and_the_constraints_of_the_tree(tmp_path, weights):
    rng = np.random.default_rng(0)
    votes = rng.random((4, 30, 37))
    for question, parents in zip(GZ2.slices, GZ2.parents, strict=True):
        asked = votes[..., parents].sum(-1, keepdims=True) if parents else 1.0
        votes[..., question] *= asked / votes[..., question].sum(-1, keepdims=True)
    runs = write_runs(tmp_path, votes, votes[0] * 0.9 + votes[1] * 0.1, GZ2.columns)
    ensemble(runs, weights=weights, output=tmp_path / "blend")
    columns, ids, blend = read_votes(tmp_path / "blend" / "predictions-valid-none.csv")
    assert columns == GZ2.columns
    np.testing.assert_array_equal(ids, 100 + 3 * np.arange(30))
    if weights == "uniform":
        np.testing.assert_allclose(blend, votes.mean(axis=0), rtol=1e-7, atol=1e-8)
    for question, parents in zip(GZ2.slices, GZ2.parents, strict=True):
        asked = blend[:, parents].sum(-1) if parents else 1.0
        np.testing.assert_allclose(blend[:, question].sum(-1), asked, atol=1e-7, rtol=0)


def test_blend_of_blends(tmp_path):
    votes, targets = draw(4)
    runs = write_runs(tmp_path, votes, targets)
    for i in (0, 2):
        ensemble(runs[i : i + 2], output=tmp_path / f"blend{i}")
    both = [tmp_path / "blend0", tmp_path / "blend2"]
    nested = ensemble(both, output=tmp_path / "whole")
    flat = ensemble(runs, output=tmp_path / "flat")
    assert nested["blends"]["uniform"]["rmse_scored"] == pytest.approx(
        flat["blends"]["uniform"]["rmse_scored"], rel=1e-6
    )
    with pytest.raises(UserError, match=r"it is a blend.*--apply=test-c4"):
        ensemble(both, "test-c4", output=tmp_path / "no")


@pytest.mark.parametrize("weights", blending.WEIGHTS)
def test_apply_uses_the_same_weights(runs, tmp_path, capsys, weights):
    output = tmp_path / "blend"
    votes, targets = draw(3, 11, seed=5)
    write_runs(tmp_path, votes, targets, label="test-none")
    result = ensemble(runs, weights=weights, output=output, apply="test-none")
    table = np.array(result["blends"][weights]["weights"])
    table = np.broadcast_to(table.reshape(3, -1), (3, 3))
    expected = np.einsum("ma,mna->na", table, votes)
    blend = read_votes(output / "predictions-test-none.csv").votes
    np.testing.assert_allclose(blend, expected, rtol=1e-6, atol=1e-7)
    assert result["applied"]["rmse"] == pytest.approx(direct_rmse(expected, targets))
    (runs[1] / "targets-test-none.csv").unlink()
    result = ensemble(runs, weights=weights, output=output, apply="test-none")
    assert result["applied"] == {"label": "test-none", "galaxies": 11, "rmse": None}
    assert not (output / "targets-test-none.csv").exists()  # not the older one
    assert "test-none: 11 galaxies, RMSE unknown" in capsys.readouterr().out


def test_rows_in_any_order_and_the_same_bytes_every_time(runs, tmp_path):
    ensemble(runs, weights="answer", output=tmp_path / "one")
    columns, ids, votes = read_votes(runs[1] / "predictions-valid-none.csv")
    write_votes(runs[1] / "predictions-valid-none.csv", ids[::-1], votes[::-1], columns)
    ensemble(runs, weights="answer", output=tmp_path / "two")
    names = ["ensemble-valid-none.json"]
    names += ["predictions-valid-none.csv", "targets-valid-none.csv"]
    for folder in (tmp_path / "one", tmp_path / "two"):
        assert sorted(path.name for path in folder.iterdir()) == names
    for name in names:
        one, two = (tmp_path / folder / name for folder in ("one", "two"))
        assert one.read_bytes() == two.read_bytes()


OTHER = ("A1.1", "A1.2", "A1.3")


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("run2/p*", {"keep": slice(2, None)}, "run0.* missing: 2 .ids 100, 103"),
        ("run1/t*", {"keep": slice(1)}, "run1.targets.* missing: 39"),
        ("run1/p*", {"columns": OTHER}, "run1.*another decision tree"),
        ("run1/t*", {"shift": 1e-4}, "run1.targets.* other targets than in .*: 40"),
        ("run*/*", {"keep": slice(1)}, "one galaxy cannot"),
    ],
)
def test_members_that_do_not_fit(runs, tmp_path, name, change, message):
    def rewrite(path, columns=None, keep=slice(None), shift=0.0):
        old, ids, votes = read_votes(path)
        write_votes(path, ids[keep], votes[keep] + shift, columns or old)

    for path in tmp_path.glob(name):
        rewrite(path, **change)
    with pytest.raises(UserError, match=message):
        ensemble(runs, output=tmp_path / "blend")
    assert not (tmp_path / "blend").exists()


@pytest.mark.parametrize(
    ("label", "flags"),
    [
        ("valid-d4", "--split=valid --averaging=d4"),
        ("all-none-step12", "--split=all --averaging=none --checkpoint=12"),
        ("all-c4-step3-data0a", "--averaging=c4 --checkpoint=3 --data=FOLDER"),
        ("odd", "--split=SPLIT"),
    ],
)
def test_missing_files_come_with_their_command(runs, tmp_path, label, flags):
    write_runs(tmp_path, *draw(), label="test-c4")
    with pytest.raises(UserError) as error:
        ensemble(runs, label, output=tmp_path / "blend")
    command = f"python -m gzjax.main evaluate --workdir={runs[0]} "
    for text in (command, flags, "test-c4, valid-none"):
        assert text in str(error.value)
    (runs[2] / "targets-valid-none.csv").unlink()
    with pytest.raises(UserError, match="run2 has no targets-valid"):
        ensemble(runs, output=tmp_path / "blend")
    assert not (tmp_path / "blend").exists()


def test_arguments_that_make_no_sense(runs, tmp_path):
    def refused(match, workdirs=runs, output=tmp_path / "blend", **kwargs):
        with pytest.raises(UserError, match=match):
            ensemble(workdirs, output=output, **kwargs)
        assert not (tmp_path / "blend").exists()

    refused("no weights 'best'; there are: uniform, model, answer", weights="best")
    refused("run0/../run0 twice: give each run once", [*runs, runs[0] / ".." / "run0"])
    refused("has 1 of them: give at least 2", runs[:1])
    refused("nowhere is not a folder", [*runs, tmp_path / "nowhere"])
    refused("run0 has no predictions-test-none.csv", apply="test-none")
    refused("run1 is one of the workdirs", output=runs[1])
    write_runs(tmp_path, *draw(3, 9), OTHER, "test-none")
    refused("'test-none' are of another decision tree", apply="test-none")
    (tmp_path / "training" / "checkpoints").mkdir(parents=True)
    refused("folder of a training run", output=tmp_path / "training")
    assert not list((tmp_path / "training").glob("*.*"))


def test_reading_costs_no_jax():
    code = (
        "import gzjax.evaluation.ensemble.ensemble, sys; sys.exit('jax' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_weights_are_not_given_to_another_checkpoint(runs, tmp_path):
    write_runs(tmp_path, *draw(seed=1), label="all-none")
    for run in runs:
        for label, step in (("valid-none", 40), ("all-none", 60)):
            (run / evaluation_name(label)).write_text(json.dumps({"step": step}))
    with pytest.raises(UserError, match=r"of step 40, 'all-none' of step 60"):
        ensemble(runs, output=tmp_path / "out", apply="all-none")
    assert not (tmp_path / "out").exists()
    for run in runs:
        (run / evaluation_name("valid-none")).write_text(json.dumps({"step": 60}))
    ensemble(runs, output=tmp_path / "out", apply="all-none")
