"""The p4m ResNet-18 of Cao & Chen's repository, as published and exactly invariant.

Published (README of the code): RMSE 0.07669. 10,552,028 parameters; 224 px, where the
strided windows break the equivariance, batch norm has a scale per element, and the head
sees the orientation.

    python -m gzjax.main --config=configs/p4m_resnet.py --config.data.dir=DOWNLOAD

``:exact``: 225 px at 45/32 px, shared batch norm, and the mean over the group before
the dense layers: R (eq. 7) is float error; 9,934,768 parameters. ``:small`` and
``:exact,small`` are for 2 CPU cores. Deviations: those of resnet.py; no pretrained
weights exist.
"""

from gzjax.configs import base, resnet


def exact(config):
    """Exactly invariant to quarter turns and mirror images."""
    config.model.exact = True
    config.view.size_px, config.view.scale = 225, 1.40625  # a field of 316 px


def small(config):
    """A quarter of the planes at 97 px, or 96 as published."""
    exact = config.model.exact
    config.view.size_px, config.view.scale = (97, 3.25) if exact else (96, 3.3)
    resnet.shrink(config.model)
    resnet.few_steps(config)


def get_config(variant=""):
    """``variant``: "", "exact", "small", or both with a comma."""
    config = base.get_config()
    resnet.recipe(config)
    config.model = resnet.make_model()
    config.model.group, config.model.planes = "p4m", (21, 42, 85, 170)
    config.model.block_bias = True
    return base.choose_variant(config, variant, {"exact": exact, "small": small})
