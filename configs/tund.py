"""Tund with batch norm: the planar network that Cao & Chen 2018 compare GrouPy with.

Published: RMSE 0.08786 without head, R = 0.0152; its original (team 6789, without batch
norm) 0.07869 with four averaged. 19,468,133 parameters; 120 px.

    python -m gzjax.main --config=configs/tund.py --config.data.dir=DOWNLOAD

Variants: ``:nobn`` without batch norm, ``:nohead`` the 37 outputs after a ReLU,
``:small`` for 2 CPU cores. Deviations: Nesterov momentum; outputs start at 0.1, and the
first 625 steps are without the head (else questions die under it); the colour is
clipped once, hue turns linearly (gzjax/data/augment.py). The augmentation is the
paper's: its code's stretch of the aspect ratio, which changes the answer to question 7,
is left out.
"""

from ml_collections import ConfigDict

from gzjax.configs import base


def nobn(config):
    """Without batch norm."""
    config.model.norm = "none"


def nohead(config):
    """The 37 outputs themselves, after a ReLU."""
    config.head = "relu"


def small(config):
    """Half the filters, an eighth of the dense units, at 80 px, at thrice the rate."""
    config.view.size_px, config.view.scale = 80, 3.5
    shrink(config.model)
    base.few_steps(config)
    config.learning_rate = 0.03


def shrink(model):
    """Fewer filters and units; these start larger, and fewer of them are dropped."""
    model.filters = tuple(n // 2 for n in model.filters)
    model.hidden, model.weight_std = (256, 256), 0.03
    model.dropout_rates = (0.0, 0.2, 0.2)


def make_model() -> ConfigDict:
    """The network's fields."""
    model = ConfigDict()
    model.name = "plain_cnn"
    model.filters = (48, 96, 192, 192, 384, 384)  # of the convolutions
    model.kernel_sizes = (5, 5, 3, 3, 3, 3)
    model.padding = "valid"  # or "same"
    model.norm = "before_relu"  # or "none", "after_relu"
    model.pools = (3, 2, 1, 1, 1, 3)  # windows and strides; 1: none
    model.pool_padding = 1
    model.last_pool = "max"  # or "mean"
    model.attention = "none"  # or "cbam", "cbam_residual"
    model.hidden = (2048, 2048)  # units of the dense layers
    model.hidden_activation = "relu"  # or "linear"
    model.hidden_norm = False
    model.dropout_rates = (0.0, 0.5, 0.5)  # on what enters each dense layer
    model.weight_std = 0.01  # initial; 0: He's
    return model


def get_config(variant=""):
    """``variant``: "", "nobn", "nohead", "small", or several with commas."""
    config = base.get_config()
    config.model = make_model()
    config.view.size_px, config.view.scale = 120, 424 / 180  # the central 283 px
    variants = {"nobn": nobn, "nohead": nohead, "small": small}
    return base.choose_variant(config, variant, variants)
