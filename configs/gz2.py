"""The network that comes with the package: its recipe (gzjax/pretrained/gz2/CARD.md).

``dn:small`` with more planes and milder augmentation, whose weights are averaged.

    python -m gzjax.main --config=configs/gz2.py --config.data.dir=GALAXIES

GALAXIES are half-size copies of the challenge's training images (212 px). With the
originals, give ``--config.data.pixel_scale=1 --config.data.decode_scale=2``.

The variant ``:all`` trains on the last tenth too, which is held out otherwise.
"""

from gzjax.configs import base, dn


def everything(config):
    """No galaxy is held out."""
    config.split.kind = "all"


def get_config(variant=""):
    """``variant``: "all"."""
    config = dn.get_config("small")
    config.model.planes, config.model.hidden = (2, 4, 8, 16), 256
    config.model.dropout_rate = 0.3
    config.augment.shift_px = 12.0
    config.augment.zoom = 1.2
    config.augment.brightness = 0.2
    config.augment.hue = 0.02
    config.data.pixel_scale = 2.0
    config.ema_decay = 0.999
    config.num_train_steps = 20_000
    config.eval_every_steps = config.checkpoint_every_steps = 1000
    return base.choose_variant(config, variant, {"all": everything})
