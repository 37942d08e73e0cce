"""The report: every part on one page that needs nothing else, and right numbers."""

import json
import re
import shutil
from xml.etree import ElementTree

import numpy as np
import pytest
from chromium import BROKEN_IMAGES, DESK, chromium_page
from hostile import refusal
from tiny import make_config, make_pair_config, make_view_config

from gzjax.data.synthetic.folder import write_folder
from gzjax.data.synthetic.source import SyntheticSource
from gzjax.data.vote_files import read_votes
from gzjax.evaluation.evaluate import evaluate
from gzjax.evaluation.report.galaxy_images import choose_layer
from gzjax.evaluation.report.report import report
from gzjax.main import main
from gzjax.training.checkpoint.checkpoints import Checkpoints
from gzjax.training.experiment import Experiment
from gzjax.training.identity import describe_run
from gzjax.training.writers import MetricWriter
from gzjax.trees import GZ2

HOSTILE = "<script>alert('a')</script> & \"b\" $x_$"
ANCHORS = ["summary", "questions", "reliability", "classification", "learning"]
ANCHORS += ["robustness", "galaxies", "maps", "provenance"]


class Page:
    """A page taken apart; a tag that is not closed, or in wrong order, is an error."""

    def __init__(self, text):
        self.root = ElementTree.fromstring(text)
        self.text = "".join(self.root.itertext())
        self.tables = [
            [["".join(cell.itertext()) for cell in row] for row in table.iter("tr")]
            for table in self.root.iter("table")
        ]

    def of(self, tag):
        return [element.attrib for element in self.root.iter(tag)]

    def table(self, corner):
        """{row: cells} of the first table whose header begins so, header included."""
        table = next(t for t in self.tables if t[0][: len(corner)] == corner)
        return {row[0]: row[1:] for row in table}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "galaxies"
    write_folder(SyntheticSource(44, size_px=106), folder)
    return folder


def make_run(folder, config):
    """A run without its training, which takes long to compile."""
    experiment = Experiment(config, GZ2)
    with Checkpoints(folder / "checkpoints") as checkpoints:
        checkpoints.save(1, experiment.programs.make_state(), describe_run(experiment))
    with MetricWriter(folder, step=0) as writer:
        writer.write(1, {"train/loss": 0.5, "img_per_sec": 10.0})
    evaluate(folder)
    return folder


def of_files(data):
    found = {"data__kind": "challenge", "data__dir": str(data)}
    return found | {"data__pixel_scale": 4.0, "head_warmup_steps": 0}


@pytest.fixture(scope="module")
def runs(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("runs")
    return [
        make_run(folder / "exact", make_config(**of_files(data))),
        make_run(folder / "parts", make_view_config(**of_files(data))),
    ]


def interval(mean, **more):
    return {**more, "mean": mean, "low": 0.5 * mean, "high": 2 * mean}


@pytest.fixture(scope="module")
def study(runs, tmp_path_factory):
    models = [
        {
            "name": str(run),
            "step": 1,
            "robustness": interval(0.01 + i),
            "any_angle": interval(0.02 + i),
            "angles": [interval(0.01, angle_deg=a) for a in (90.0, 180.0, 270.0)],
            "mirrored": [interval(0.01, angle_deg=0.0)],
            "zooms": [interval(0.03, zoom=0.9)],
            "polar": [[0.1, 0.2, 0.1, 0.2]] * 3,
        }
        for i, run in enumerate(runs)
    ]
    row = {"threshold": 0.001, "share": 0.25, "low": 0.125, "high": 0.5}
    # The first is as an older gzjax wrote it.
    models[1]["other_angles"] = interval(3.0, count=2)
    models[1]["above_reference"] = {"quarter_turns": [row], "any_angle": [row]}
    content = {"galaxies": 11, "split": "valid", "models": models}
    content["reference"] = str(runs[0])
    folder = tmp_path_factory.mktemp("study")
    (folder / "robustness.json").write_text(json.dumps(content))
    return folder


@pytest.fixture(scope="module")
def page_path(runs, study, tmp_path_factory):
    output = tmp_path_factory.mktemp("pages") / "new" / "report.html"
    assert report(runs, robustness=str(study), output=output) == output
    return output


@pytest.fixture(scope="module")
def page(page_path):
    return Page(page_path.read_text())


def num_crops(page):
    return sum(x.get("class") == "crop" for x in page.of("img"))


def scores_of(run):
    return json.loads((run / "evaluation-valid-none.json").read_text())


def test_page_is_whole_and_needs_nothing_else(page_path, page):
    text = page_path.read_text()
    assert text.startswith("<!DOCTYPE html>")
    assert [s["id"] for s in page.of("section")] == ANCHORS
    assert [a["href"] for a in page.of("a")] == [f"#{name}" for name in ANCHORS]
    assert not re.search(r"https?://|<script|<link|@import|url\(", text)
    assert all(x["src"].startswith("data:image/") for x in page.of("img"))
    assert len(page.of("img")) > 50
    assert all(x["alt"] for x in page.of("img"))
    assert all(x["scope"] in ("row", "col") for x in page.of("th"))
    assert len(page.of("caption")) == len(page.of("table"))
    ids = [x.get("id") for x in page.root.iter() if x.get("id")]
    assert len(set(ids)) == len(ids)
    assert len(text) < 4_000_000
    assert re.findall(r"Layer: \w+", page.text) == ["Layer: norm2", "Layer: conv2"]
    assert [p.name for p in page_path.parent.iterdir()] == ["report.html"]


def test_numbers_are_those_of_the_files(page, runs):
    summary = page.table(["run", "RMSE"])
    fractions = page.table(["", "training mean"])
    shares = page.table(["", "matters for"])
    answers = page.table(["answer"])
    gaps = page.table(["", "exact"])
    for i, run in enumerate(runs):
        scores = scores_of(run)
        cells = summary[run.name]
        assert cells[0] == f"{scores['rmse']:.5f}"
        assert cells[1] == f"{scores['training_mean']['rmse']:.5f}"
        assert cells[3] == f"{scores['rotation_robustness']:.2e}"
        assert cells[4] == f"{scores['rotation_robustness_15deg']:.2e}"
        assert cells[6:8] == ["11", "1"]
        for name, x in scores["questions"].items():
            assert fractions[name][1 + i] == f"{x:.4f}"
            conditional = scores["conditional"]["model"]["questions"][name]
            known = "–" if conditional is None else f"{conditional:.4f}"
            assert shares[name][2 + i] == known
        for name, x in scores["answers"].items():
            assert answers[name][1 + i] == f"{x:.4f}"
        gap = scores["reliability"]["absolute"]["gap"]
        assert gaps["all fractions"][i] == f"{gap:.4f}"
    confusion = scores_of(runs[0])["classification"]["confusion"]
    cells = page.table(["observed"])["smooth"]
    assert [int(cell.split()[0]) for cell in cells] == confusion[0]
    found = scores_of(runs[0])["classification"]["report"]["smooth"]
    assert page.table(["class"])["smooth"][0] == f"{found['precision']:.3f}"
    turned = page.table(["run", "step"])[str(runs[1])]
    assert turned[1] == "1.01e+00 (5.05e-01 – 2.02e+00)"
    assert turned[2] == "1.02e+00 (5.10e-01 – 2.04e+00)"
    assert turned[3] == "3.00e+00 (1.50e+00 – 6.00e+00)"
    assert page.table(["run", "step"])[str(runs[0])][3] == "–"
    above = page.table(["run", "≥ 0.001"])
    assert above[f"{runs[1]}, quarter turns"] == ["25.0% (12.5% – 50.0%)"]


def test_worst_and_best_galaxies_are(page, runs):
    shown = re.findall(r"Galaxy (\d+), RMSE ([\d.]+)", page.text)
    assert len(shown) == 2 * 2 * 5  # of 11 galaxies none is among both
    for run, here in zip(runs, (shown[:10], shown[10:]), strict=True):
        votes, truth = (
            read_votes(run / f"{kind}-valid-none.csv")
            for kind in ("predictions", "targets")
        )
        errors = np.sqrt(np.mean((votes.votes - truth.votes) ** 2, axis=1))
        order = np.argsort(-errors)
        expected = (*order[:5], *order[:-6:-1])
        assert here == [(str(votes.ids[i]), f"{errors[i]:.4f}") for i in expected]


@pytest.mark.slow
def test_same_files_same_page(page_path, runs, study, tmp_path):
    again = report(runs, robustness=str(study), output=tmp_path / "again.html")
    assert again.read_bytes() == page_path.read_bytes()


def test_hostile_names_are_only_text(runs, tmp_path):
    folder = tmp_path / "a" / HOSTILE.replace("/", ":")
    shutil.copytree(runs[0], folder)
    path = report([folder], output=tmp_path / "page.html", cam_layer="none")
    page = Page(path.read_text())
    assert not page.of("script")
    assert folder.name in page.text
    assert [s["id"] for s in page.of("section")] == [
        name for name in ANCHORS if name not in ("robustness", "maps")
    ]


def test_without_images_or_checkpoint_there_is_a_note(runs, data, tmp_path):
    folder = shutil.copytree(runs[0], tmp_path / "run")
    away = tmp_path / "away"
    shutil.move(data, away)
    try:
        path = report([folder], output=tmp_path / "page.html")
        page = Page(path.read_text())
        # The images elsewhere will do, others will not.
        found = report(
            [folder],
            output=tmp_path / "b.html",
            data=away,
            cam_layer="none",
        )
        assert num_crops(Page(found.read_text())) == 10
        write_folder(SyntheticSource(44, seed=1, size_px=106), tmp_path / "others")
        other = report([folder], output=tmp_path / "c.html", data=tmp_path / "others")
        assert "other data than were evaluated" in other.read_text()
    finally:
        shutil.move(away, data)
    assert "The images cannot be shown" in page.text
    assert "parameters" in page.tables[0][0]
    assert len(page.of("article")) == 10
    assert num_crops(page) == 0
    shutil.rmtree(folder / "checkpoints")
    scores = scores_of(folder)
    del scores["rotation_robustness_15deg"]  # an evaluation by an older gzjax
    (folder / "evaluation-valid-none.json").write_text(json.dumps(scores))
    page = Page(report([folder], output=tmp_path / "page.html").read_text())
    assert "holds no checkpoint" in page.text
    assert page.table(["run", "RMSE"])["run"][4] == "–"
    assert page.table(["run", "RMSE"])["run"][8] == "–"


@pytest.mark.slow
def test_a_pair_beside_another_run_has_crops_and_no_maps(runs, data, tmp_path):
    config = make_pair_config(**of_files(data))
    config.model.second = config.model.first  # sooner compiled
    pair = make_run(tmp_path / "pair", config)
    output = report([runs[0], pair], output=tmp_path / "page.html")
    text = output.read_text()
    assert "No activation maps: two networks answer together." in text
    assert text.count("<img") > 10


def test_bad_input(runs, tmp_path, capsys):
    exact = shutil.copytree(runs[0], tmp_path / "exact")
    output = tmp_path / "page.html"
    arguments = ["report", f"--output={output}"]
    old = tmp_path / "old"
    shutil.copytree(runs[0], old)
    scores = scores_of(old)
    del scores["conditional"]
    (old / "evaluation-valid-none.json").write_text(json.dumps(scores))
    blend = tmp_path / "blend"
    blend.mkdir()
    workdirs = f"--workdirs={exact}"
    for extra, message in (
        ([f"--workdirs={old}"], "it has no 'conditional'; make it again with\n"),
        ([f"--workdirs={blend}"], "is not a training run"),
        (
            [workdirs, f"--robustness={blend}"],
            f"make it with\n  python -m gzjax.main robustness {workdirs} ",
        ),
        ([workdirs, "--cam_layer=conv99"], "no layer 'conv99'; there are"),
        ([workdirs, "--cam_answers=bar"], "no answer 'bar'; nearest: 'bar."),
    ):
        assert main([*arguments, *extra]) == 2
        assert message in capsys.readouterr().err
    assert not output.exists()


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("rmse", "x", "cannot be read: its 'rmse' is 'x'"),
        ("reliability", 3, "cannot be read: its 'reliability' is 3"),
        ("classification", None, "cannot be read: its 'classification' is None"),
        ("data", ["x"], r"cannot be read: its 'data' is \['x'\]"),
        ("step", "x", "cannot be read: its 'step' is 'x'"),
        ("conditional", {}, "cannot be shown: KeyError"),
        ("classification", {}, "cannot be shown: KeyError"),
        ("questions", {"shape": "x"}, "cannot be shown: "),
    ],
)
def test_scores_of_other_kinds_are_refused(key, value, words, runs, tmp_path):
    old = shutil.copytree(runs[0], tmp_path / "old")
    path = old / "evaluation-valid-none.json"
    path.write_text(json.dumps(scores_of(old) | {key: value}))
    shutil.rmtree(old / "checkpoints")  # sooner shown
    both = [old, runs[1]] if key == "conditional" else [old]
    said = refusal(report, both, output=tmp_path / "page.html", cam_layer="none")
    again = f"make it again with\n  python -m gzjax.main evaluate --workdir={old} "
    assert re.search(words, said)
    assert str(path) in said
    assert again in said


def test_choice_of_the_layer():
    assert choose_layer(["conv1", "norm1", "conv2", "norm2", "hidden"]) == "norm2"
    assert choose_layer(["stem", "conv1", "conv2", "norm1"]) == "conv2"
    nested = ["conv1", "norm1", "layer1_0/conv1", "layer1_0/norm1", "layer1_0"]
    assert choose_layer(nested) == "layer1_0/norm1"
    assert choose_layer(["stem", "stage1", "stage2"]) == "stage1"
    assert choose_layer(["only"]) == "only"


@pytest.mark.slow
@pytest.mark.parametrize("dark", [False, True])
def test_in_a_browser_on_a_phone_and_a_desk(page_path, tmp_path, dark):
    with chromium_page(tmp_path) as browser:
        for width, device in ((390, None), (1200, DESK)):
            device = {"device": device} if device else {}
            browser.open(page_path, width, dark=dark, **device)
            browser.evaluate(
                "document.querySelectorAll('details').forEach(x => { x.open = true })"
            )
            assert browser.evaluate("document.images.length") > 50
            assert browser.evaluate(BROKEN_IMAGES) == 0
            assert browser.evaluate("document.documentElement.scrollWidth") <= width
            assert browser.errors == []
