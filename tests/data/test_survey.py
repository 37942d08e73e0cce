"""Your own survey: any tree, table and images; every fault named; from end to end."""

import csv
import json
import pickle
import re
import shlex
import shutil
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from tiny import make_config

from gzjax.data import make_source
from gzjax.data.labels.name_match import AMBIGUOUS, MISSING, NameMatch
from gzjax.data.sources.survey import open_survey
from gzjax.data.synthetic.folder import write_folder
from gzjax.data.synthetic.source import SyntheticSource
from gzjax.data.vote_files import read_votes
from gzjax.errors import UserError
from gzjax.evaluation.ensemble.ensemble import ensemble
from gzjax.evaluation.evaluate import evaluate, train_and_evaluate
from gzjax.evaluation.report.report import report
from gzjax.main import main
from gzjax.prediction.predict import predict
from gzjax.training.experiment import Experiment
from gzjax.training.load_config import load_config
from gzjax.training.open_run import read_run, use_data
from gzjax.trees import GZ2, Question, Tree
from gzjax.trees.tree_file import find_tree, read_tree

TREE = Tree(
    "mine",
    (
        Question("shape", ("round", "flat")),
        Question("bar", ("y", "n"), ("shape.flat",)),
    ),
    ("frac_round", "frac_flat", "bar_y", "bar_n"),
)
NAMES = ("J02", "J10", "J01", "J33")
HEADER = "ra,bar_n,name,frac_round,frac_flat,bar_y"


def row(name, flat=0.75):
    return f"12.5,{flat / 4},{name},{1 - flat},{flat},{flat * 3 / 4}"


def write_image(path, seed, size=(40, 60)):
    image = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image)
    return image[..., ::-1]


def write_labels(folder, *lines):
    (folder / "labels.csv").write_text("\n".join([*lines, ""]))


@pytest.fixture
def folder(tmp_path):
    """Four galaxies in two formats and sizes, and an image without a row."""
    for i, name in enumerate((*NAMES, "J99")):
        write_image(tmp_path / f"images/{name}.{'jpg' if i % 2 else 'png'}", i)
    write_labels(tmp_path, HEADER, *(row(n, i / 4) for i, n in enumerate(NAMES, 1)))
    return tmp_path


def open_(folder, images="images", **options):
    return open_survey(folder / "labels.csv", folder / images, TREE, **options)


def message(folder, **options):
    with pytest.raises(UserError) as error:
        open_(folder, **options)
    text = str(error.value)
    assert text.startswith(str(folder))
    assert "What to do:" in text
    return text


def test_rows_are_found_by_name_and_columns_in_any_order(folder):
    done = []
    source = open_(folder, progress=lambda *counts: done.append(counts))
    assert source.names == ("J01", "J02", "J10", "J33")
    assert source.ids.tolist() == [0, 1, 2, 3]
    assert source.ids.dtype == np.int64
    flat = np.array([0.75, 0.25, 0.5, 1.0])
    expected = np.stack([1 - flat, flat, flat * 3 / 4, flat / 4], axis=1)
    np.testing.assert_array_equal(source.targets, expected.astype(np.float32))
    assert source.num_unlabelled == 1
    assert done[-1] == (4, 4)
    np.testing.assert_array_equal(source.decode(1), write_image(folder / "x.png", 0))
    assert source.decode(2).shape == (40, 60, 3)
    assert source.placement(0, source.decode(0)) is None


def test_pixel_scale_0_spans_the_frame_and_fine_images_are_shrunk(folder):
    assert open_(folder).pixel_scale is None
    write_image(folder / "images/J02.png", 0, (848, 1272))
    assert open_(folder).decode(1).shape == (848 // 3, 424, 3)
    source = open_(folder, pixel_scale=0.5)
    assert source.pixel_scale == 1.0
    assert source.decode(1).shape == (424, 636, 3)


@pytest.mark.parametrize("pixel_scale", [-1.0, float("nan"), float("inf")])
def test_impossible_pixel_scales_are_refused(pixel_scale, folder):
    with pytest.raises(UserError, match=r"pixel_scale is .*give a positive number"):
        open_(folder, pixel_scale=pixel_scale)


@pytest.mark.parametrize(
    ("names", "ids"),
    [
        (("2", "10", "1", "33"), [1, 2, 10, 33]),
        (("2.jpg", "10.png", "1", "33"), [1, 2, 10, 33]),
        (("2", "10", "1", "x"), [0, 1, 2, 3]),
        (("02", "2", "1", "33"), [0, 1, 2, 3]),
        (("9" * 18, "1", "2", "3"), [1, 2, 3, 10**18 - 1]),
        (("9" * 19, "1", "2", "3"), [0, 1, 2, 3]),
    ],
)
def test_whole_numbers_are_ids_and_other_names_are_counted(names, ids, tmp_path):
    for i, name in enumerate(names):
        write_image(tmp_path / f"images/{name.split('.')[0]}.png", i)
    write_labels(tmp_path, HEADER, *map(row, names))
    source = open_(tmp_path)
    assert source.ids.tolist() == ids
    for position, name in enumerate(source.names):
        expected = write_image(tmp_path / "x.png", names.index(name))
        np.testing.assert_array_equal(source.decode(position), expected)


@pytest.mark.parametrize(
    ("header", "column"),
    [
        ("ra,bar_n,File,frac_round,frac_flat,bar_y", ""),
        ("id,bar_n,name,frac_round,frac_flat,bar_y", ""),
        ("name,bar_n,galaxy,frac_round,frac_flat,bar_y", "galaxy"),
        (" ra , bar_n , name , frac_round , frac_flat , bar_y ", ""),
    ],
)
def test_names_are_in_the_column_asked_for_or_the_first_known(header, column, folder):
    write_labels(folder, header, *map(row, NAMES))
    assert open_(folder, name_column=column).names == tuple(sorted(NAMES))


def test_zip_and_list_of_paths_are_the_same_images(folder):
    plain, paths = open_(folder), sorted((folder / "images").iterdir())
    with zipfile.ZipFile(folder / "images.zip", "w") as archive:
        for path in paths:
            archive.write(path, f"any/where/{path.name}")
    lines = ["path", *(f"images/{path.name}" for path in paths)]
    (folder / "list.csv").write_text("\n".join([*lines, ""]))
    for source in (open_(folder, "images.zip"), open_(folder, "list.csv")):
        assert source.fingerprint == plain.fingerprint
        for i in range(4):
            np.testing.assert_array_equal(source.decode(i), plain.decode(i))


@pytest.mark.parametrize(
    "change",
    [
        lambda f: write_labels(f, HEADER, *(row(n, 0.5) for n in NAMES)),
        lambda f: write_labels(f, HEADER, *map(row, NAMES[:3])),
        lambda f: write_image(f / "images/J02.png", 0, (40, 61)),
    ],
)
def test_fingerprint_follows_votes_names_and_sizes(change, folder):
    before = open_(folder).fingerprint
    assert open_(folder, pixel_scale=2.0).fingerprint != before
    write_image(folder / "images/J98.png", 0)  # without a row
    assert open_(folder).fingerprint == before
    change(folder)
    assert open_(folder).fingerprint != before


def test_pickles_small(folder):
    source = open_(folder)
    blob = pickle.dumps(source)
    assert len(blob) < 4000
    copy = pickle.loads(blob)
    for i in range(4):
        np.testing.assert_array_equal(copy.decode(i), source.decode(i))


MATCHES = {
    **{"a/1.jpg": 0, "a/1": 0, "b/1.jpg": 1, "old/place/b/1.png": 1},
    **{"1.jpg": AMBIGUOUS, "1": AMBIGUOUS, "2": 2, "2.fits": 2, "d/c/2": 2},
    **{"x/2": MISSING, "3.jpg": 3, "3.png": 4, "3": AMBIGUOUS, "old/3.jpg": AMBIGUOUS},
    **{"4": MISSING, "deep/down/5": 5, "down/5.jpg": 5, "5": 5},
    **{"far/deep/down/5.gz": MISSING},
}


@pytest.mark.parametrize("name", MATCHES)
def test_names_match_by_stem_and_end_of_path_unless_ambiguous(name):
    images = ["a/1.jpg", "b/1.jpg", "c/2.jpg", "3.jpg", "3.png", "deep/down/5.jpg"]
    assert NameMatch(images).find(name) == MATCHES[name]


def test_all_problems_are_in_one_message(folder):
    (folder / "images/J33.jpg").unlink()
    (folder / "images/J10.jpg").write_bytes(b"")
    (folder / "images/J01.png").write_text("no image at all")
    write_labels(
        folder,
        HEADER,
        *map(row, NAMES),
        row("J99", 1.5),
        "1,2",
        row(""),
        "1,,J77,0.5,0.5,0.1",
        "1,0.1,J98,0.5,0.5,0.1",
        row("J02"),
        "1,0,J97,0,0,0",
        row("J02.png"),
    )
    text = message(folder)
    for line in (
        "rows without 6 fields (a truncated file?): 1 (line 7)",
        "rows without a name that can be printed: 1 (line 8)",
        "rows with a value that is not a number: 1 (line 9)",
        "labels: names given twice: 1 (name J02)",
        "value outside [0, 1] or NaN: 1 (name J99)",
        "rows of nothing but zeros: 1 (name J97)",
        "question 'bar' (bar_y to bar_n) does not add up to frac_flat: 1 (name J98)",
        f"images: missing from {folder}/images, by the column 'name': 3 (names J33, ",
        "labels: rows of one image: 1 (name J02 and J02.png)",
        "images: empty: 1 (name J10.jpg)",
        "images: not an image: 1 (name J01.png)",
    ):
        assert line in text, text
    assert "empty" not in message(folder, check_images=False)


def test_rounded_tables_are_taken_and_shares_of_those_asked_are_not(folder):
    flat, bar_n = (0.333, 0.125, 0.667, 0.5), (0.111, 0.1, 0.2, 0.005)
    rounded = [
        f"1,{b:.2f},{name},{1 - f:.2f},{f:.2f},{f - b:.2f}"
        for name, f, b in zip(NAMES, flat, bar_n, strict=True)
    ]
    write_labels(folder, HEADER, *rounded)
    assert len(open_(folder)) == 4
    write_labels(folder, HEADER, *(f"1,0.25,{n},0.25,0.75,0.75" for n in NAMES))
    text = message(folder)
    assert "'bar' (bar_y to bar_n) does not add up to frac_flat: 4" in text
    assert "Shares of those who were asked are to be multiplied by" in text


def test_tables_without_a_column_of_names_are_refused(folder):
    write_labels(folder, HEADER.replace("name", "galaxy"), *map(row, NAMES))
    assert "no column of names: looked for any of name, id, galaxyid" in message(folder)
    text = message(folder, name_column="galxy")
    assert "looked for 'galxy' (nearest: 'galaxy')" in text
    write_labels(folder, HEADER.replace(",", ";"), "1;2;3;4;5;6")
    assert "columns are separated by ';': make it ','" in message(folder)


def test_missing_and_ambiguous_images_are_in_one_message(folder):
    write_image(folder / "images/J01.jpg", 1)
    text = message(folder)
    assert f"that may be several in {folder}/images, by the column 'name': 1" in text
    shutil.rmtree(folder / "images")
    (folder / "labels.csv").unlink()
    text = message(folder)
    assert "labels: labels.csv cannot be read: No such file" in text
    assert f"images: {folder}/images: there is no such path" in text


def test_image_that_breaks_later_is_named(folder):
    source = open_(folder)
    (folder / "images/J01.png").write_bytes(b"")
    with pytest.raises(
        UserError, match=r"images: J01\.png: empty.*remove the row 'J01'"
    ):
        source.decode(0)


@pytest.fixture(scope="module")
def survey(tmp_path_factory):
    """A made-up survey of three questions, whose names are no numbers."""
    folder = tmp_path_factory.mktemp("survey")
    questions = GZ2.questions[:3]
    tree = Tree("bars", questions, tuple("abcdefg"))
    fields = tree.to_dict()
    fields["columns"] = dict(zip(tree.answer_names, tree.columns, strict=True))
    (folder / "tree.json").write_text(json.dumps(fields))
    data = folder / "data"
    write_folder(SyntheticSource(44, size_px=106, tree=tree), data)
    return rename(data).parent


def rename(data):
    for path in (data / "images").iterdir():
        path.rename(path.with_name(f"g{path.name}"))
    text = (data / "labels.csv").read_text()
    (data / "labels.csv").write_text(re.sub(r"^(\d{6}),", r"g\1,", text, flags=re.M))
    return data


def survey_config(survey, **changes):
    data = {"kind": "survey", "dir": str(survey / "data"), "labels": "labels.csv"}
    data |= {"images": "images", "pixel_scale": 0.0}
    keys = {"num_train_steps": 2, "head_warmup_steps": 0, "split__kind": "stratified"}
    keys |= {"tree": str(survey / "tree.json")}
    keys |= {f"data__{key}": value for key, value in data.items()}
    return make_config(**keys | changes)


@pytest.fixture(scope="module")
def runs(survey):
    file = shutil.copy(survey / "tree.json", survey / "gone.json")
    train_and_evaluate(survey_config(survey, tree=str(file)), survey / "a")
    shutil.copytree(survey / "a", survey / "b")
    Path(file).unlink()  # not needed any more
    return [survey / "a", survey / "b"]


def test_survey_trains_and_says_which_galaxy_is_which(runs, survey):
    run = read_run(runs[0]).run
    assert run["config"]["split"]["question"] == "smooth_or_featured"
    votes = read_votes(runs[0] / "predictions-valid-none.csv")
    assert votes.columns == tuple("abcdefg")
    with (runs[0] / "names-valid-none.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["GalaxyID", "name"]
    assert [int(i) for i, _ in rows] == votes.ids.tolist()
    assert {name for _, name in rows} < {f"g{100001 + i}" for i in range(44)}
    truth = read_votes(runs[0] / "targets-valid-none.csv")
    with (survey / "data/labels.csv").open(newline="") as file:
        table = {row["name"]: float(row["a"]) for row in csv.DictReader(file)}
    for (_, name), of_galaxy in zip(rows, truth.votes, strict=True):
        assert of_galaxy[0] == pytest.approx(table[name], abs=1e-7)


def test_evaluating_needs_no_tree_file_and_runs_blend(runs, survey):
    result = evaluate(runs[0], split="all")
    assert result["galaxies"] == 44
    assert set(result["questions"]) == {q.name for q in GZ2.questions[:3]}
    assert result["classification"]["question"] == "smooth_or_featured"
    ensemble(runs, "valid-none", output=survey / "blend")
    of_run, blend = (
        read_votes(folder / "predictions-valid-none.csv")
        for folder in (runs[0], survey / "blend")
    )
    assert blend.ids.tolist() == of_run.ids.tolist()


def test_images_of_the_survey_get_the_same_votes_in_a_table(runs, survey, tmp_path):
    evaluate(runs[0], split="all")
    known = read_votes(runs[0] / "predictions-all-none.csv").votes
    predict(survey / "data/images", tmp_path / "t.csv", workdirs=runs[:1], kind="table")
    with (tmp_path / "t.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == [f"g{100001 + i}" for i in range(44)]
    bar = [float(row["bar_yes"]) for row in rows]
    np.testing.assert_allclose(bar, known[:, 5], atol=1e-6)
    assert "smooth_or_featured: " in rows[0]["morphology"]


def test_other_data_of_a_survey_are_a_survey(runs, survey, tmp_path):
    other, tree = tmp_path / "other", read_tree(survey / "tree.json")
    write_folder(SyntheticSource(12, seed=3, size_px=106, tree=tree), other)
    result = evaluate(runs[0], data=other, split="all", pixel_scale=4.0)
    assert result["galaxies"] == 12
    label = f"all-none-data{result['fingerprint'][:8]}"
    ids = read_votes(runs[0] / f"predictions-{label}.csv").ids
    assert ids.tolist() == list(range(100001, 100013))
    assert not (runs[0] / f"names-{label}.csv").exists()  # the ids are the names
    with pytest.raises(UserError, match=f"{tmp_path}/labels.csv: the survey is not"):
        evaluate(runs[0], data=tmp_path)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (("D", "l.csv", "sub/i"), ("E", "l.csv", "sub/i")),
        (("D", "/D/l.csv", "/D/sub/i"), ("E", "l.csv", "i")),
        (("", "D/l.csv", "D/sub/i"), ("E", "l.csv", "i")),
        (("E", "/D/l.csv", "i"), ("E", "/D/l.csv", "i")),  # the run's own
    ],
)
def test_other_data_are_looked_for_by_their_names(before, after):
    keys = ("dir", "labels", "images")
    config = make_config(data__kind="survey")
    config.data.update(dict(zip(keys, before, strict=True)))
    use_data("run", "E", None, "")(config)
    assert config.data.kind == "survey"
    assert tuple(config.data[key] for key in keys) == after


def test_report_knows_the_tree_and_the_names(runs, tmp_path):
    page = report(runs[:1], output=tmp_path / "page.html", cam_layer="none")
    text = page.read_text()
    assert "edge_on" in text
    assert text.count("data:image/jpeg") >= 10
    assert "Galaxy g1000" in text
    assert "cannot be shown" not in text
    run = shutil.copytree(runs[0], tmp_path / "run")
    (run / "names-valid-none.csv").write_text("GalaxyID,name\n1\n")
    with pytest.raises(UserError, match=r"names-valid-none\.csv cannot be read"):
        report([run], output=tmp_path / "page.html", cam_layer="none")


def test_resuming_from_elsewhere_is_the_same_run(runs, survey, tmp_path):
    moved = shutil.copytree(survey / "data", tmp_path / "moved")
    run = shutil.copytree(runs[0], tmp_path / "run")
    data = {"data__labels": str(moved / "labels.csv"), "data__dir": ""}
    data["data__images"] = str(moved / "images")
    config = survey_config(survey, num_train_steps=3, **data)
    assert int(train_and_evaluate(config, run).step) == 3
    with pytest.raises(UserError, match="the decision tree"):
        train_and_evaluate(make_config(data__kind="synthetic"), run)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"data__labels": ""}, "give --config.data.labels=a .csv"),
        ({"data__images": ""}, "give --config.data.images=a folder"),
        ({"data__detections": "detections-2.csv"}, "are not centred"),
        ({"data__kind": "surve"}, "'surve'; nearest: 'survey'"),
    ],
)
def test_config_that_cannot_be_a_survey_is_one_message(changes, words, survey):
    with pytest.raises(UserError, match=re.escape(words)):
        make_source(survey_config(survey, **changes), TREE)


def test_wrong_pixel_scale_of_a_survey_is_noted(survey, capsys):
    tree = read_tree(survey / "tree.json")
    Experiment(survey_config(survey, data__pixel_scale=1.0), tree)
    assert "Copies of whole frames need pixel_scale=0" in capsys.readouterr().err
    assert Experiment(survey_config(survey), tree).frame_px == 424
    assert "pixel_scale" not in capsys.readouterr().err


def test_relative_paths_are_in_the_data_folder(survey, monkeypatch):
    tree = read_tree(survey / "tree.json")
    monkeypatch.setenv("GZJAX_DATA", str(survey / "data"))
    assert len(make_source(survey_config(survey, data__dir=""), tree).ids) == 44
    monkeypatch.delenv("GZJAX_DATA")
    monkeypatch.chdir(survey / "data")
    assert len(make_source(survey_config(survey, data__dir=""), tree).ids) == 44


def test_synthesize_prints_the_command_that_trains(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("t.json").write_text(
        '{"name": "t", "questions": [{"name": "bar", "answers": ["yes", "no"]}]}'
    )
    options = ["--num_galaxies=44", "--size_px=106", "--output=my survey"]
    assert main(["synthesize", "--tree=t.json", *options]) == 0
    assert (tmp_path / "my survey/images/100001.jpg").is_file()
    header = (tmp_path / "my survey/labels.csv").read_text().splitlines()[0]
    assert header == "name,bar.yes,bar.no"
    command = capsys.readouterr().err.split("python -m gzjax.main ")[1].split("\n")[0]
    first, *overrides = shlex.split(command)
    config = load_config(first.removeprefix("--config="), overrides)
    source = make_source(config, find_tree(config.tree))
    drawn = SyntheticSource(44, size_px=106, tree=find_tree("t.json"))
    assert source.ids.tolist() == drawn.ids.tolist()
    np.testing.assert_array_equal(source.targets, drawn.targets)
    np.testing.assert_array_equal(source.decode(3), drawn.decode(3))
    assert source.pixel_scale == drawn.pixel_scale
    text = Path("t.json").read_text().replace("bar", "colour")
    Path("t.json").write_text(text)
    assert main(["synthesize", "--tree=t.json", "--output=x"]) == 2
    assert "no votes for question 'colour'" in capsys.readouterr().err
    assert not Path("x").exists()


def test_synthetic_source_has_the_votes_of_the_configs_tree():
    tree = Tree("bars", GZ2.questions[:3])
    source = make_source(make_config(), tree)
    whole = SyntheticSource(44, size_px=106)
    np.testing.assert_array_equal(source.targets, whole.targets[:, :7])
    assert source.read(0) == whole.read(0)
    assert source.fingerprint != whole.fingerprint
    assert pickle.loads(pickle.dumps(source)) == source
    assert source != whole
