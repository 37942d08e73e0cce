"""Images without votes, read as a run's own were: sampled, and centred, likewise."""

from collections.abc import Callable

from gzjax.data.detections.find_galaxy import import_sep
from gzjax.data.images.stretch import Stretch
from gzjax.data.sources.challenge import check_scales
from gzjax.data.sources.unlabelled import UnlabelledSource
from gzjax.errors import UserError
from gzjax.training.description import read_config


def source_like(
    run: dict,
    images,
    pixel_scale: float | None,
    stretch: Stretch,
    make: Callable[..., UnlabelledSource] = UnlabelledSource,
) -> UnlabelledSource:
    """The images as a run's network wants them.

    Args:
        run: of :func:`gzjax.training.description.describe_run`; it may be anybody's.
        images: what ``make`` takes.
        pixel_scale: original px per px; None: each image spans the 424 px frame.
        stretch: of images without a range of their own.
        make: of the source.

    Raises:
        UserError: as :func:`detection_threshold`, or a scale that cannot be.
    """
    threshold, data = detection_threshold(run), read_config(run).data
    trained_scale = data.pixel_scale or 1.0  # 0: of a survey, whose images span it
    check_scales(trained_scale, data.decode_scale)
    return make(
        images, pixel_scale, stretch, threshold, data.decode_scale, trained_scale
    )


def detection_threshold(run: dict) -> float | None:
    """By which a run's galaxies were centred; None: they were taken as they lie.

    Raises:
        UserError: sep is not installed, or a run of before this was recorded.
    """
    if not run["config"]["data"]["detections"]:
        return None
    import_sep()
    if run.get("detection_threshold") is None:
        raise UserError(
            "a run on centred galaxies that does not say by which threshold they were "
            "found: it was made by an older gzjax; train it again"
        )
    return run["detection_threshold"]
