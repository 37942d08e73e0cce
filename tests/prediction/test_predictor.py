"""A run as a function: the numbers of ``predict``, whatever the images come as."""

import functools
import subprocess
import sys

import numpy as np
import pytest
from ml_collections import ConfigDict
from tiny import PLAIN, make_pair_config, make_plain_config

import gzjax
from gzjax.data.synthetic.folder import write_folder
from gzjax.data.synthetic.source import SyntheticSource
from gzjax.data.vote_files import read_votes
from gzjax.errors import UserError
from gzjax.evaluation.evaluate import train_and_evaluate
from gzjax.models import make_model
from gzjax.models.probes.embedding import embed, num_features
from gzjax.prediction.predict import predict
from gzjax.training.open_run import read_run
from gzjax.trees import GZ2

SOURCE = SyntheticSource(24, size_px=106)
submit = functools.partial(predict, kind="submission")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    write_folder(SOURCE, folder / "data")
    data = {"data__kind": "challenge", "data__dir": str(folder / "data")}
    config = make_plain_config(
        num_train_steps=1, head_warmup_steps=0, data__pixel_scale=4.0, **data
    )
    train_and_evaluate(config, folder / "run")
    return folder


@pytest.fixture(scope="module")
def predictor(folder):
    return gzjax.load(folder / "run")


@pytest.fixture(scope="module")
def paths(folder):
    return sorted((folder / "data" / "images_training_rev1").iterdir())


def test_importing_the_package_does_not_import_jax():
    code = "import sys, gzjax; assert gzjax.__version__; print('jax' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.stdout == "False\n", run.stderr
    with pytest.raises(AttributeError, match="no attribute 'lode'"):
        _ = gzjax.lode


@pytest.mark.parametrize("averaging", ["none", "d4"])
def test_the_numbers_are_those_of_predict(
    folder, predictor, paths, averaging, tmp_path
):
    out = tmp_path / "out.csv"
    submit(paths[0].parent, out, workdirs=[folder / "run"], averaging=averaging)
    result = predictor(paths, averaging=averaging)
    assert result.votes.dtype == np.float32
    assert result.flags == ("ok",) * 24
    np.testing.assert_allclose(result.votes, read_votes(out).votes, atol=1e-6)
    assert np.ptp(result.votes, axis=0).max() > 1e-4


def test_bfloat16_gives_the_same_to_its_rounding(folder, predictor, paths, tmp_path):
    run, out = folder / "run", tmp_path / "out.csv"
    submit(paths[0].parent, out, workdirs=[run], dtype="bfloat16")
    loaded = gzjax.load(run, dtype="bfloat16")(paths).votes
    np.testing.assert_allclose(loaded, read_votes(out).votes, atol=1e-4)
    assert 1e-6 < np.abs(loaded - predictor(paths).votes).max() < 1e-2


def test_arrays_and_paths_of_any_number_agree(predictor, paths):
    arrays = np.stack([SOURCE.decode(i) for i in range(11)])
    known = predictor(paths[:11]).votes
    for images in (arrays, list(arrays), [paths[0], *arrays[1:]]):
        np.testing.assert_allclose(predictor(images).votes, known, atol=1e-6)
    for n in (1, 3, 8):
        np.testing.assert_allclose(predictor(arrays[:n]).votes, known[:n], atol=1e-6)
    assert predictor([]).votes.shape == (0, 37)
    assert predictor.embed([]).shape == (0, 8)


def test_batches_have_few_sizes(predictor, monkeypatch):
    sizes = set()

    def note(program, variables, source, indices, warps, config, *rest, **options):
        sizes.add(config.eval_batch_size)
        shape = (len(indices), 1, 37)
        yield np.zeros(shape, np.float32), np.zeros(len(indices), np.uint8), ()

    monkeypatch.setattr("gzjax.training.experiment.run_batches", note)
    images = np.zeros((40, 9, 9, 3), np.uint8)
    for n in range(1, 41):
        predictor(images[:n])
    assert sizes == {1, 2, 4, 8}


def test_answers_go_by_name(predictor, paths):
    result = predictor(paths[:3])
    assert result.names == GZ2.answer_names
    assert result.columns == GZ2.columns
    assert list(result.to_dict()) == list(GZ2.answer_names)
    np.testing.assert_array_equal(result["bar.yes"], result.votes[:, 5])
    np.testing.assert_array_equal(result.to_dict()["bar.yes"], result["bar.yes"])
    with pytest.raises(KeyError, match=r"no answer 'bar'.*bar\.yes"):
        _ = result["bar"]


def test_what_cannot_be_used_is_flagged_and_nan(predictor, paths, tmp_path):
    (tmp_path / "empty.jpg").touch()
    blank = np.full((20, 20, 3), 7, np.uint8)
    images = [paths[0], tmp_path / "empty.jpg", tmp_path / "no.jpg", blank, tmp_path]
    result = predictor(images)
    assert result.flags == ("ok", "empty", "missing", "blank", "unreadable")
    assert np.isfinite(result.votes[0]).all()
    assert np.isnan(result.votes[1:]).all()
    assert np.isnan(predictor.embed(images)[1:]).all()


def test_pixel_scale_says_how_much_an_image_shows(predictor):
    whole = SOURCE.decode(0)
    inner = whole[8:-8, 8:-8]
    known = predictor([whole]).votes
    scaled = predictor([inner], pixel_scale=4.0).votes
    np.testing.assert_allclose(scaled, known, atol=1e-6)
    assert np.abs(predictor([inner]).votes - known).max() > 1e-6


@pytest.mark.parametrize(
    ("images", "options", "message"),
    [
        ("galaxy.jpg", {}, "galaxy.jpg is one path: give a list"),
        ([np.zeros((9, 9, 3))], {}, r"image 0 is float64 \[9, 9, 3\]: give uint8 RGB"),
        (np.zeros((9, 9, 3), np.uint8), {}, "is one image: give a list"),
        (np.zeros((2, 9, 9), np.uint8), {}, "is one image: give a list"),
        ([np.zeros((9, 0, 3), np.uint8)], {}, "image 0 has no pixels"),
        (None, {}, "None is no list of images"),
        (np.array(3), {}, r"array\(3\) is no list of images"),
        ([], {"averaging": "d9"}, "no averaging set 'd9'"),
        ([], {"pixel_scale": 0.0}, "^pixel_scale=0.0 is not a number above 0"),
        ([], {"stretch": "sinh"}, "sinh"),
    ],
)
def test_bad_arguments_are_said(predictor, images, options, message):
    with pytest.raises(UserError, match=message):
        predictor(images, **options)


def test_what_is_no_run_is_refused(folder, tmp_path):
    with pytest.raises(UserError, match="holds no checkpoint"):
        gzjax.load(tmp_path)
    (tmp_path / "config.json").touch()
    with pytest.raises(UserError, match=r"but neither checkpoints/ of a run nor model"):
        gzjax.load(tmp_path)
    with pytest.raises(UserError, match=r"opened by jax\.export\.deserialize"):
        gzjax.load(tmp_path / "config.json")
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(UserError, match=r"config\.json cannot be read"):
        read_run(tmp_path)
    with pytest.raises(UserError, match="a file: give the folder of a run"):
        read_run(tmp_path / "config.json")
    with pytest.raises(UserError, match="no checkpoint '7'"):
        gzjax.load(folder / "run", checkpoint="7")


def test_answers_are_linear_in_the_features(predictor, paths):
    """They are what the outputs see; through the head they give the votes."""
    features = predictor.embed(paths[:5])
    assert features.shape == (5, predictor.num_features)
    assert features.dtype == np.float32
    outputs = predictor.variables["params"]["outputs"]
    logits = np.maximum(features @ outputs["kernel"] + outputs["bias"][None], 0)
    first = logits[:, GZ2.slices[0]]
    shares = first / first.sum(1, keepdims=True)
    votes = predictor(paths[:5]).votes[:, GZ2.slices[0]]
    np.testing.assert_allclose(shares, votes, atol=1e-5)


def test_features_are_averaged_over_the_set(predictor):
    image = SOURCE.decode(3)
    turns = [np.rot90(image, k) for k in range(4)]
    each = predictor.embed(turns, averaging="none")
    mean = predictor.embed([image], averaging="c4")
    np.testing.assert_allclose(mean[0], each.mean(0), atol=1e-5)
    assert np.abs(each - mean).max() > 1e-3


def test_a_pair_has_the_features_of_both(key):
    config = make_pair_config()
    config.model.first = ConfigDict(PLAIN)
    config.model.second = ConfigDict(PLAIN | {"hidden": (5,)})
    model = make_model(config, 37)
    images = np.random.default_rng(0).normal(size=(2, 62, 62, 3)).astype("f4")
    variables = model.init(key, images, train=False)
    features = embed(model, variables, images)
    assert features.shape == (2, 8 + 5)
    assert num_features(model, 1) == 13
    of_first = {kind: tree["first"] for kind, tree in variables.items()}
    first = embed(make_model(make_plain_config(), 37), of_first, images)
    np.testing.assert_allclose(features[:, :8], first, atol=1e-6)
    assert np.ptp(first, axis=0).max() > 1e-3
