"""Statistics are of the galaxy and not of its file; wrong images are drawn and told."""

import cv2
import numpy as np
import pytest

from gzjax.data.familiar.classifier import Reference
from gzjax.data.familiar.statistics import NAMES, SIZE_PX, crop, statistics
from gzjax.data.familiar.wrong_kinds import (
    DRAWN_KINDS,
    KINDS,
    ORDERS,
    TOO_LARGE,
    TOO_SMALL,
    UNKNOWN,
    draw_wrong,
    resize_wrongly,
)
from gzjax.data.geometry import place
from gzjax.data.images.shrink import block_means
from gzjax.data.synthetic.source import SyntheticSource

SOURCE = SyntheticSource(40)
IMAGES = [SOURCE.decode(i) for i in range(40)]


def of(images, pixel_scale=1.0):
    return statistics(np.stack([crop(image, pixel_scale) for image in images]))


def shift(values, others):
    """Median change of each statistic in deviations between galaxies."""
    return np.median(np.abs(values - others), axis=0) / (values.std(axis=0) + 1e-3)


def as_jpeg(image, quality):
    data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return cv2.imdecode(data, cv2.IMREAD_COLOR)


def test_the_same_galaxy_at_half_size_has_the_same_statistics():
    half = [block_means(image, 2) for image in IMAGES]
    np.testing.assert_allclose(of(half, 2.0), of(IMAGES), atol=0.02)
    again = [as_jpeg(image, 80) for image in half]
    assert np.median(shift(of(IMAGES), of(again, 2.0))) < 0.1
    assert shift(of(IMAGES), of(half, 1.0)).max() > 0.5  # a wrong scale


def test_other_bands_and_noise_change_them():
    swapped = [np.ascontiguousarray(image[..., ::-1]) for image in IMAGES]
    assert shift(of(IMAGES), of(swapped)).max() > 1
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 256, image.shape, np.uint8) for image in IMAGES]
    assert shift(of(IMAGES), of(noise)).max() > 5


def test_any_crop_has_finite_statistics():
    flat = np.stack([np.full((SIZE_PX, SIZE_PX, 3), x, np.uint8) for x in (0, 9, 255)])
    line = np.eye(SIZE_PX, dtype=np.uint8)[None, ..., None]
    for crops in (flat, 255 - flat, line * flat):
        values = statistics(crops)
        assert values.shape == (3, len(NAMES))
        assert np.isfinite(values).all()
    assert crop(np.zeros((1, 1, 3), np.uint8), 1.0).shape == (SIZE_PX, SIZE_PX, 3)


def test_a_crop_is_about_the_galaxy_that_was_found():
    image = np.zeros((424, 424, 3), np.uint8)
    image[100:104, 300:304] = 255
    centred = crop(image, 1.0, place(shift_px=(302 - 212.0, 102 - 212.0)))
    assert centred[31:33, 31:33].min() > 50
    assert crop(image, 1.0)[31:33, 31:33].max() == 0


@pytest.mark.parametrize("kind", DRAWN_KINDS)
def test_wrong_images_are_drawn_by_the_seed(kind):
    for seed in range(6):
        image = draw_wrong(kind, np.random.default_rng(seed), 106)
        assert image.shape == (106, 106, 3)
        assert image.dtype == np.uint8
        again = draw_wrong(kind, np.random.default_rng(seed), 106)
        np.testing.assert_array_equal(image, again)
        assert (image != draw_wrong(kind, np.random.default_rng(99), 106)).any()


@pytest.mark.parametrize(("kind", "sign"), [(TOO_SMALL, -1), (TOO_LARGE, 1)])
def test_wrong_scales_move_the_light(kind, sign):
    within = NAMES.index("light_within_20")
    rng = np.random.default_rng(0)
    crops = [crop(*resize_wrongly(image, 1.0, kind, rng)) for image in IMAGES]
    moved = statistics(np.stack(crops))[:, within] - of(IMAGES)[:, within]
    assert np.median(moved) * sign < -0.2


def make_reference():
    """Knows the drawn galaxies; its classifier finds everything familiar."""
    values = of(IMAGES)
    bias = np.zeros(UNKNOWN, np.float32)
    bias[0] = 20
    return Reference(
        mean=values.mean(axis=0),
        deviation=values.std(axis=0) + 1e-3,
        whitening=np.eye(len(NAMES), dtype=np.float32),
        far=np.float32(3),
        offset=np.float32(0),
        kernels=(np.zeros((len(NAMES), UNKNOWN), np.float32),),
        biases=(bias,),
    )


def test_what_is_far_from_all_galaxies_is_unlike_whatever_the_classifier_says():
    reference = make_reference()
    familiar = reference.judge_statistics(of(IMAGES))
    assert familiar.unlike.max() < 0.5
    assert not familiar.kind.any()
    white = np.full((1, SIZE_PX, SIZE_PX, 3), 255, np.uint8)
    judged = reference.judge(white)
    assert judged.unlike[0] > 0.9
    assert KINDS[judged.kind[0]] == "nothing known"


def test_the_likeliest_kind_is_named():
    reference = make_reference()
    reference.biases[0][ORDERS.index((2, 1, 0)) + 1] = 25
    judged = reference.judge_statistics(of(IMAGES[:2]))
    np.testing.assert_allclose(judged.unlike, 1 / (1 + np.exp(-5)), atol=1e-4)
    assert KINDS[judged.kind[1]] == "bands in the order BGR"


def test_arrays_keep_a_reference_and_wrong_ones_are_refused():
    reference = make_reference()
    arrays = reference.to_arrays()
    values = of(IMAGES[:3]) + 2
    again = Reference.from_arrays(arrays).judge_statistics(values)
    np.testing.assert_allclose(
        again.unlike, reference.judge_statistics(values).unlike, atol=1e-6
    )
    for name, array in arrays.items():
        with pytest.raises((KeyError, ValueError)):
            Reference.from_arrays({k: v for k, v in arrays.items() if k != name})
        with pytest.raises(ValueError, match="not finite"):
            Reference.from_arrays(arrays | {name: array * np.nan})
    with pytest.raises(ValueError, match="not those of a reference"):
        Reference.from_arrays(arrays | {"mean": np.zeros(3)})
