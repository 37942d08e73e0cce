"""The network that is robust at every angle: D_12 with steerable filters.

python -m gzjax.main --config=configs/dn.py --config.data.dir=DOWNLOAD
"""

from gzjax.configs import base


def recipe(config):
    """Sets the network and its optimiser."""
    config.model = base.ConfigDict()
    config.model.name = "steerable_cnn"
    config.model.group = "d12"
    config.model.filters = "steerable"
    config.model.planes = (3, 6, 12, 20)
    config.model.paddings = (0, 0, 2, 0)
    config.model.pool = "blur"
    config.model.pool_sizes, config.model.pool_strides = (7, 6), (3, 2)
    config.model.activation = "relu"
    config.model.hidden = 512
    config.model.dropout_rate = 0.5
    config.view.samples = 2


def small(config):
    base.small(config)
    config.model.planes = (2, 3, 6, 10)
    config.model.paddings = (0, 0, 2, 2)


def get_config(variant=""):
    """``variant``: "", "small"."""
    config = base.get_config()
    recipe(config)
    return base.choose_variant(config, variant, {"small": small})
