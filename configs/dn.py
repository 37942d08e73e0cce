"""The network that is robust at every angle: D_12 and steerable filters.

R (eq. 7 of Cao & Chen 2018) at quarter turns is float error, as with p4m; over all
multiples of 15° it is a fraction of p4m's (docs/results/robustness.md). The network is
that of gzjax/models/steerable_cnn.py; 2,303,841 parameters.

    python -m gzjax.main --config=configs/dn.py --config.data.dir=DOWNLOAD

Variants: ``:small`` for 2 CPU cores, ``:demo`` the same on synthetic galaxies; a group,
as in ``:d8`` or ``:c16,small``, with about as many channels; and two controls, ``:max``
with max pools in place of blur pools, and ``:free`` over d4 with free filters;
``:max,free`` has both.

``--averaging=half2`` averages the answers at 0 and 45°, and takes most of the rest.
"""

from gzjax.configs import base, p4m

ORDERS = {"c4": 4, "c8": 8, "c12": 12, "c16": 16}
ORDERS |= {"d4": 8, "d8": 16, "d12": 24, "d16": 32}


def over(group):
    """Returns the variant over a group, with about as many channels as over d12."""

    def change(config):
        factor = 24 / ORDERS[group]
        config.model.group = group
        config.model.planes = tuple(round(n * factor) for n in config.model.planes)

    return change


def max_pools(config):
    """Windows that lie as densely, of the largest value."""
    config.model.pool, config.model.pool_sizes = "max", (4, 3)


def free_filters(config):
    """Every pixel of a filter is a parameter; only quarter turns move it."""
    over("d4")(config)
    config.model.filters = "free"


def small(config):
    """Fewer planes at 64 px: trains on 2 CPU cores in minutes."""
    base.few_steps(config)
    config.view.size_px, config.view.scale = 64, 4.0
    config.model.planes, config.model.hidden = (2, 3, 5, 8), 128
    config.model.pool_sizes, config.model.pool_strides = (6, 6), (2, 2)


def demo(config):
    """Synthetic galaxies, a few minutes on 2 CPU cores."""
    small(config)
    p4m.draw_galaxies(config)


def get_config(variant=""):
    """``variant``: a group, "max", "free", "small", "demo"; or several with commas."""
    config = base.get_config()
    config.model = base.ConfigDict()
    config.model.name = "steerable_cnn"
    config.model.group = "d12"
    config.model.filters = "steerable"
    config.model.planes = (3, 6, 12, 20)
    config.model.paddings = (0, 0, 2, 0)
    config.model.pool = "blur"
    config.model.pool_sizes, config.model.pool_strides = (7, 6), (3, 2)
    config.model.activation = "elu"
    config.model.hidden = 512
    config.model.dropout_rate = 0.2
    config.view.samples = 2
    config.optimizer, config.learning_rate = "adam", 2e-3
    config.weight_decay = 0.0
    config.schedule.kind = "cosine"
    sizes = {"small": small, "demo": demo}
    groups = {group: over(group) for group in ORDERS}
    others = {"max": max_pools, "free": free_filters}
    return base.choose_variant(
        config, variant, {**sizes, **groups, **others}, [*groups, "free"]
    )
