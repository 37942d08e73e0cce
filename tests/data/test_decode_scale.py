"""JPEGs made smaller as they are decoded: the same galaxy, in the same place."""

import cv2
import numpy as np
import pytest
from tiny import make_config, make_plain_config

from gzjax.data import make_source
from gzjax.data.geometry import pixel_matrix, place, view_matrix, warp
from gzjax.data.images.cutouts import find_cutouts
from gzjax.data.images.decode_jpeg import BadImageError, decode
from gzjax.data.images.shrink import Shrink, block_means
from gzjax.data.images.stretch import DEFAULT_STRETCH, parse_stretch
from gzjax.data.sources.unlabelled import UnlabelledSource
from gzjax.data.synthetic.folder import write_folder
from gzjax.data.synthetic.source import SyntheticSource
from gzjax.data.vote_files import read_votes
from gzjax.errors import UserError
from gzjax.evaluation.evaluate import evaluate, train_and_evaluate
from gzjax.prediction.predict import predict
from gzjax.training.open_run import use_data
from gzjax.trees import GZ2

IMAGES = "images_training_rev1"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Six drawn galaxies, 424 px as the challenge's."""
    folder = tmp_path_factory.mktemp("data")
    write_folder(SyntheticSource(6, size_px=424), folder)
    return folder


def open_(folder, scale, **data):
    data = {"kind": "challenge", "dir": str(folder), "pixel_scale": 1.0, **data}
    config = make_config(**{f"data__{k}": v for k, v in data.items()})
    config.data.decode_scale = scale
    return make_source(config, GZ2)


@pytest.mark.parametrize("scale", [2, 4, 8])
def test_pixels_are_near_the_means_of_blocks(scale, folder):
    whole, small = open_(folder, 1), open_(folder, scale)
    assert small.pixel_scale == scale
    for index in range(len(whole)):
        means = block_means(whole.decode(index), scale).astype(float)
        image = small.decode(index)
        assert image.shape == (424 // scale, 424 // scale, 3)
        assert np.abs(image - means).mean() < 1
        # Negative control: a pixel's shift or another order of colours is more.
        for other in (np.roll(image, 1, axis=1), image[..., ::-1]):
            assert np.abs(other - means).mean() > 2 * np.abs(image - means).mean()


def test_means_of_blocks_leave_out_what_fills_none():
    rng = np.random.default_rng(0)
    fine = rng.integers(0, 256, (1000, 901, 3), np.uint8)
    assert block_means(fine, 1) is fine
    small = block_means(fine, 3)
    assert small.shape == (333, 300, 3)
    expected = fine[:999, :900].reshape(333, 3, 300, 3, 3).mean((1, 3))
    np.testing.assert_allclose(small, expected, atol=0.51)


def test_centre_stays_where_it_is():
    """A blob seen through the view's geometry at all scales."""
    y, x = np.mgrid[:424, :424]
    blob = 200 * np.exp(-((x - 231.5) ** 2 + (y - 196.5) ** 2) / (2 * 12**2))
    image = np.repeat(blob[..., None], 3, 2).astype(np.uint8)
    data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 98])[1].tobytes()
    for scale in (1, 2, 4):
        image = decode(data, 1, scale)
        matrix = pixel_matrix(
            view_matrix(place()[None], 116, 2.4375), scale, image.shape[:2]
        )
        view = warp(image.astype(np.float32), matrix, 116)[0, ..., 0]
        rows, columns = np.mgrid[:116, :116]
        found = [(view * at).sum() / view.sum() for at in (columns, rows)]
        expected = 57.5 + np.array([20, -15]) / 2.4375
        np.testing.assert_allclose(found, expected, atol=0.05)


def test_a_data_set_of_other_pixels_is_another(folder):
    assert open_(folder, 2).fingerprint != open_(folder, 1).fingerprint


def test_sides_that_would_move_the_centre_are_refused():
    image = np.random.default_rng(0).integers(0, 256, (26, 24, 3), np.uint8)
    data = cv2.imencode(".jpg", image)[1].tobytes()
    assert decode(data, 7, 2).shape == (13, 12, 3)
    with pytest.raises(BadImageError, match=r"decode_scale is 4.*galaxy 7.*24 x 26 px"):
        decode(data, 7, 4)


def test_scales_and_kinds_that_are_not_there_are_refused(folder):
    for pixel_scale in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(UserError, match="pixel_scale must be a positive number"):
            open_(folder, 1, pixel_scale=pixel_scale)
    with pytest.raises(UserError, match=r"decode_scale is 3; there are: 1, 2, 4, 8"):
        open_(folder, 3)
    with pytest.raises(UserError, match=r"decode_scale is 2, .*kind is 'synthetic'"):
        open_(folder, 2, kind="synthetic")


def unlabelled(images, pixel_scale, scale, trained_scale=1.0):
    stretch = parse_stretch(DEFAULT_STRETCH)
    return UnlabelledSource(
        find_cutouts(images), pixel_scale, stretch, None, scale, trained_scale
    )


@pytest.mark.parametrize("pixel_scale", [None, 1.0])
def test_predictions_see_the_pixels_of_training(pixel_scale, folder):
    training = open_(folder, 2)
    predicting = unlabelled(folder / IMAGES, pixel_scale, 2)
    for index in range(len(training)):
        image = predicting.decode(index)
        np.testing.assert_array_equal(image, training.decode(index))
    assert predicting.pixel_scale == (pixel_scale and 2 * pixel_scale)


@pytest.mark.parametrize("side", [212, 300, 848])
@pytest.mark.parametrize("given", [False, True])
def test_predictions_see_the_pixels_of_training_on_copies(side, given, tmp_path):
    write_folder(SyntheticSource(2, size_px=side), tmp_path)
    pixel_scale = round(424 / side, 3)
    training = open_(tmp_path, 2, pixel_scale=pixel_scale)
    predicting = unlabelled(
        tmp_path / IMAGES, pixel_scale if given else None, 2, pixel_scale
    )
    for index in range(len(training)):
        image = training.decode(index)
        assert image.shape == (side // 2, side // 2, 3)
        np.testing.assert_array_equal(predicting.decode(index), image)


@pytest.mark.parametrize(
    ("side", "suffix", "expected"),
    [(848, ".jpg", 212), (848, ".png", 212), (300, ".jpg", 300), (425, ".jpg", 212)],
)
def test_images_of_other_sizes_come_as_near_as_they_can(
    side, suffix, expected, tmp_path
):
    ramp = np.linspace(20, 220, side)[None, :, None] * np.ones((side, 1, 3))
    path = tmp_path / f"1{suffix}"
    path.write_bytes(cv2.imencode(suffix, ramp.astype(np.uint8))[1].tobytes())
    image = unlabelled(tmp_path, None, 2).decode(0)
    assert image.shape == (expected, expected, 3)
    np.testing.assert_allclose(image[:, [0, -1], 0].mean(), 120, atol=1.5)


@pytest.mark.parametrize(
    ("trained", "expected"),
    [
        ((1.0, 4), {2.0: 2, 4.0: 1, 8.0: 1, 1.0: 4, 0.5: 8}),
        ((2.0, 1), {2.0: 1, 1.0: 2, 4.0: 1}),  # half-size copies, then originals
    ],
)
def test_decoded_pixels_span_what_they_did_in_training(trained, expected):
    config = make_config(data__pixel_scale=1.0)
    for pixel_scale, decode_scale in expected.items():
        config.data.pixel_scale, config.data.decode_scale = trained
        use_data("run", "copies", pixel_scale, "")(config)
        assert (config.data.pixel_scale, config.data.decode_scale) == (
            pixel_scale,
            decode_scale,
        )


def test_factors_are_of_what_an_image_spans():
    assert Shrink(None).factor(424, 300) == 1
    assert Shrink(None).factor(1272, 300) == 3
    assert Shrink(0.25).factor(1, 1) == 4
    assert Shrink(None, 1, trained_scale=2.0).factor(424, 300) == 2
    assert Shrink(1.0, 1, trained_scale=2.0).factor(1, 1) == 2
    assert Shrink(1.0, 4).in_decoding(424, 424) == 4
    assert Shrink(1.0, 4).in_decoding(424, 422) == 1
    assert Shrink(3.0, 4).in_decoding(424, 424) == 1


def test_a_run_is_trained_scored_and_predicts_on_the_same_pixels(folder, tmp_path):
    data = {"kind": "challenge", "dir": str(folder), "pixel_scale": 1.0}
    config = make_plain_config(
        **{f"data__{key}": value for key, value in data.items()},
        data__decode_scale=2,
        split__valid=0.5,
        batch_size=4,
        num_train_steps=1,
        head_warmup_steps=0,
    )
    train_and_evaluate(config, tmp_path / "run")
    evaluate(tmp_path / "run", split="all")
    scored = read_votes(tmp_path / "run" / "predictions-all-none.csv").votes

    predict(
        folder / IMAGES,
        tmp_path / "new.csv",
        workdirs=[tmp_path / "run"],
        kind="submission",
    )
    predicted = read_votes(tmp_path / "new.csv").votes
    np.testing.assert_allclose(predicted, scored, atol=1e-6)
