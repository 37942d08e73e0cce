"""Mutual learning: ResNet-18 with Tund, or with the p4m network, Cao & Chen 2018.

Two networks are trained together, each on the votes and towards the other's answers.
Published: RMSE 0.0825 for ResNet with GrouPy. The text names ResNet and Tund, the table
ResNet and GrouPy; no code exists.

    python -m gzjax.main --config=configs/mutual.py --config.data.dir=DOWNLOAD

``:p4m``: with the exact p4m network; ``:small`` and ``:p4m,small`` for 2 CPU cores.
The answers are the mean of both; the same command with
``--config.model.answers=first``, once it is trained, scores the ResNet alone.
Deviations: no pretrained weights; both see one view, the
second network the means of 2 x 2 of its pixels, so the ResNet has 240 px (232 with
p4m) instead of 224; the difference has the weight of one network's error; the rest as
in resnet.py.
"""

from ml_collections import ConfigDict

from gzjax.configs import base, resnet, tund


def p4m(config):
    """With the exact p4m network instead of Tund."""
    config.model.second = base.get_config().model
    config.view.size_px, config.view.scale = 232, 1.21875  # 39/32: turns exactly


def small(config):
    """Both networks small, at 80 px."""
    config.view.size_px, config.view.scale = 80, 3.5
    config.model.shrinks = (1, 1)
    resnet.shrink(config.model.first)
    second = config.model.second
    if second.name == "group_cnn":
        second.planes = tuple(n // 2 for n in second.planes)
        second.hidden = 128
    else:
        tund.shrink(second)
    resnet.few_steps(config)


def get_config(variant=""):
    """``variant``: "", "p4m", "small", or both with a comma."""
    config = base.get_config()
    resnet.recipe(config)
    config.view.size_px, config.view.scale = 240, 424 / 360  # the central 283 px
    config.model = ConfigDict()
    config.model.name = "pair"
    config.model.first = resnet.make_model()
    config.model.second = tund.make_model()
    config.model.shrinks = (1, 2)  # each network sees the means of so many pixels
    config.model.answers = "both"  # or "first", "second": in evaluation
    return base.choose_variant(config, variant, {"p4m": p4m, "small": small})
