"""Khunger's two-layer CNN, and a ResNet-50 (PyTorch).

Its scores are unusable: a bug made all its targets zero (gzjax refuses such labels).
``:cnn``: 64 px of the central 256, 207,205 parameters. ``:resnet50``: 28 px of the
same, 23,583,845; ``--config.model.depth=18`` and 34 were tried too.

    python -m gzjax.main --config=configs/khunger.py:cnn --config.data.dir=DOWNLOAD
    python -m gzjax.main predict --workdir=runs/khunger-cnn --images=DOWNLOAD \\
        --output=submission.csv

``:cnn,plain`` trains without augmentation, as it was tried too. Deviations: the CNN's
number of epochs is not said, and is the ResNet's; the loss is the mean square error,
and the ResNet's outputs are sigmoids, as neither is said. The ResNet wants
``--init_from=`` torchvision's weights, with their ``config.view.mean`` and ``std``.
"""

from gzjax.configs import base, resnet, tund


def cnn(config):
    """Two convolutions; Adam, large batches."""
    config.view.size_px, config.view.scale = 64, 4.0
    config.model = tund.make_model()
    config.model.filters, config.model.kernel_sizes = (16, 32), (3, 3)
    config.model.norm = "after_relu"
    config.model.pools, config.model.pool_padding = (2, 2), 0
    config.model.last_pool = "mean"
    config.model.hidden, config.model.hidden_norm = (32,), True
    config.model.dropout_rates, config.model.weight_std = (0.0, 0.2), 0.0
    config.batch_size, config.learning_rate = 1024, 1e-3
    config.num_train_steps = 7200  # 150 epochs of 49,262 galaxies


def resnet50(config):
    """A ResNet-50 on very small views."""
    config.view.size_px, config.view.scale = 28, 256 / 28
    config.model = resnet.make_model(50)
    config.model.hidden, config.model.dropout_rates = (), (0.0,)
    config.batch_size, config.learning_rate = 256, 1e-6
    config.num_train_steps = 28_800  # 150 epochs


def plain(config):
    """Without augmentation."""
    config.augment.rotation_deg, config.augment.mirror_rate = 0.0, 0.0


def get_config(variant="cnn"):
    """``variant``: "cnn" or "resnet50", with ",plain" or without."""
    config = base.get_config()
    base.uncoloured(config)
    config.augment.rotation_deg = 90.0
    config.augment.zoom, config.augment.shift_px = 1.0, 0.0
    config.head, config.head_warmup_steps = "sigmoid", 0
    config.split.valid = 0.2
    config.optimizer, config.weight_decay = "adam", 0.0
    config.schedule.kind = "constant"
    config.eval_every_steps = config.checkpoint_every_steps = 1000
    cnn(config)
    variants = {"cnn": cnn, "resnet50": resnet50, "plain": plain}
    return base.choose_variant(config, variant, variants, ("cnn", "resnet50"))
