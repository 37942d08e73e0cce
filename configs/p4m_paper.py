"""Cao & Chen's "GrouPy" as published: 120 px, inexact pools, norm and head.

Paper: RMSE 0.07746 with head, 0.08202 without (``:nohead``), R = 0.0137. 4,796,629
parameters. Deviations: Nesterov momentum; outputs start at 0.1, and the first 625 steps
are without the head (else questions die under it); the colour is clipped once
(gzjax/data/augment.py). The augmentation is the paper's, not its code's.

    python -m gzjax.main --config=configs/p4m_paper.py --config.data.dir=DOWNLOAD
"""

from gzjax.configs import base


def nohead(config):
    """The 37 outputs themselves, after a ReLU."""
    config.head = "relu"


def small(config):
    """Half the planes, at the published 120 px, as long as p4m.py:small."""
    view = config.view.copy_and_resolve_references()
    base.small(config)
    config.view = view


def get_config(variant=""):
    """``variant``: "", "nohead" or "small"."""
    config = base.get_config()
    config.model.exact = False
    config.view.size_px, config.view.scale = 120, 424 / 180  # the central 283 px
    return base.choose_variant(config, variant, {"nohead": nohead, "small": small})
