"""What names and labels of others become: text on a page, never a path or a command."""

import json

import numpy as np
import pytest
from hostile import refusal, watched

from gzjax.data.vote_files import write_votes
from gzjax.errors import plain
from gzjax.evaluation.ensemble.ensemble import ensemble
from gzjax.evaluation.report.galaxies import votes_on_tree
from gzjax.evaluation.report.page import environment
from gzjax.evaluation.report.report import report
from gzjax.main import main
from gzjax.progress import say
from gzjax.training import run_files as layout
from gzjax.training.load_config import load_config
from gzjax.trees import Question, Tree
from gzjax.trees.tree_file import read_tree

TREE = Tree("mine", (Question("bar", ("yes", "no")),))
OUT = "../../victim"


@pytest.fixture
def folder(tmp_path):
    with watched(tmp_path) as inside:
        yield inside


def test_messages_do_not_steer_the_terminal(folder, capsys):
    evil = "\x1b]0;owned\x07\x1b[2J\r"
    say(f"{evil} [/red]")
    assert main(["merge", f"--output={folder}/{evil}.csv"]) == 2
    said = capsys.readouterr().err
    assert "\\x1b]0;owned\\x07\\x1b[2J\\r [/red]" in said
    assert not set(said) & set(evil) - set("]0;owned[2J")
    assert plain("é🌌\n\udcff\u202e") == "é🌌\n\\udcff\\u202e"


def test_tree_names_are_escaped_in_pages():
    tree = Tree("<b>", (Question("<script>", ("<img src=x>", "&")),))
    macros = environment().get_template("macros.html").module
    page = macros.tree(votes_on_tree(np.full(2, 0.5), np.full(2, 0.5), tree))
    assert "&lt;script&gt;" in page
    assert "<script" not in page
    assert "<img" not in page


def test_a_tree_that_would_take_ages_to_check_is_refused(folder):
    questions = [{"name": "q0", "answers": ["a", "b"]}]
    for i in range(1, 60):
        both = [f"q{i - 1}.a", f"q{i - 1}.b"]
        questions.append({"name": f"q{i}", "answers": ["a", "b"], "asked_after": both})
    path = folder / "tree.json"
    path.write_text(json.dumps({"name": "t", "questions": questions}))
    assert "128 ways lead to question 'q7'" in refusal(read_tree, path)
    wide = [{"name": "q", "answers": [str(i) for i in range(1001)]}]
    path.write_text(json.dumps({"name": "t", "questions": wide}))
    assert "1,001 answers" in refusal(read_tree, path)
    path.write_text("[" * 100_000)
    assert str(path) in refusal(read_tree, path)


@pytest.fixture
def runs(folder):
    ids, votes = np.arange(4), np.full((4, 2), 0.5)
    for name in ("a", "b"):
        (folder / name).mkdir()
        for of_label in (layout.predictions_name, layout.targets_name):
            write_votes(folder / name / of_label("x"), ids, votes, TREE.columns)
    return [folder / "a", folder / "b"]


@pytest.mark.parametrize("label", [OUT, "/etc/x", "", "a/b", "x\n", "x\0"])
def test_labels_are_no_paths(label, runs, folder):
    for options in (
        {"label": label},
        {"label": "x", "apply": label} if label else {"label": ""},
    ):
        words = refusal(ensemble, runs, output=folder / "out", **options)
        assert "is not a label" in words
    assert "is not a label" in refusal(report, runs, label=label)
    assert not (folder / "out").exists()


@pytest.mark.parametrize("key", ["label", "applied"])
def test_report_of_others_cannot_have_files_elsewhere_removed(key, runs, folder):
    out = folder / "out"
    (out / "predictions-x").mkdir(parents=True)
    content = {"models": [{"name": "other"}], "label": "x", "applied": None}
    evil = "x/../../../victim"
    content |= {key: {"label": evil} if key == "applied" else evil}
    (out / layout.ensemble_name("x")).write_text(json.dumps(content))
    text = refusal(ensemble, runs, "x", output=out)
    assert "ensemble-x.json cannot be read: its labels are" in text


@pytest.mark.parametrize(
    "argument", ["../../x", "p4m:../../x", "p4m.py:/etc", "/dev/zero"]
)
def test_config_arguments_are_no_paths_elsewhere(argument, folder, monkeypatch):
    monkeypatch.chdir(folder)
    assert refusal(load_config, argument, [])
