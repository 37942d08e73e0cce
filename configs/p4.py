"""Quarter turns only, at the channel width of p4m.py: twice the planes, half the group.

Exactly invariant to the four rotations; mirror images are learnt, not built in.

    python -m gzjax.main --config=configs/p4.py --config.data.dir=DOWNLOAD
"""

from gzjax.configs import base


def get_config(variant=""):
    """``variant``: "" or "small"."""
    config = base.get_config()
    config.model.group = "p4"
    config.model.planes = (16, 32, 64, 64, 128, 128)
    return base.choose_variant(config, variant, {"small": base.small})
