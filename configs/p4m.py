"""The flagship: an exactly rotation- and mirror-invariant p4m network.

Paper: Cao & Chen 2018, the network "GrouPy" (RMSE 0.07746 with head), made exact: see
gzjax/models/group_cnn.py. 4,793,605 parameters; R (eq. 7) is float error.

    python -m gzjax.main --config=configs/p4m.py --config.data.dir=DOWNLOAD

Variants: ``:small`` for 2 CPU cores, ``:demo`` the same on synthetic galaxies.
Learning rates x seeds: ``python launch/sweep.py p4m:small``.
"""

from gzjax.configs import base


def draw_galaxies(config):
    """Trains on synthetic galaxies, for a few minutes on 2 CPU cores."""
    config.data.kind = "synthetic"
    # Drawn galaxies are centred and vary less than real ones.
    config.augment.shift_px, config.augment.zoom = 8.0, 1.1
    config.augment.brightness, config.augment.hue = 0.1, 0.02
    config.model.dropout_rate = 0.2
    config.num_train_steps = 700
    config.eval_every_steps = config.checkpoint_every_steps = 350


def demo(config):
    """The small network and synthetic galaxies: what ``make demo`` runs."""
    base.small(config)
    draw_galaxies(config)


def get_config(variant=""):
    """``variant``: "", "small" or "demo"."""
    return base.choose_variant(
        base.get_config(), variant, {"small": base.small, "demo": demo}
    )


def sweep(add):
    """Learning rates about the paper's 0.01 and ``:small``'s 0.05, three seeds each."""
    for rate in (0.005, 0.01, 0.02, 0.05, 0.1):
        for seed in range(3):
            add(f"rate{rate}-seed{seed}", learning_rate=rate, seed=seed)
