"""The 2014 winner's 16-part network: Dieleman, Willett & Dambre 2015, and its code.

Published: RMSE 0.07693 (private leaderboard; public 0.07671) for the best network with
60 averaged maps, 0.07492 (0.07467) for the blend of 17; 67 hours a network on a GTX
680. 42,377,125 parameters. Where the text and the code differ this follows the code.
One deviation: a view is rounded to 8 bits after its one warp.

    python -m gzjax.main --config=configs/dieleman.py --config.data.dir=DOWNLOAD
    python -m gzjax.main evaluate --workdir=runs/dieleman --averaging=dieleman60

The 17 networks are variants; with ``,quick`` they are small: ``:big256,quick``. The
``:centred`` ones need the table that ``python -m gzjax.main detect --data=DOWNLOAD``
makes (``:centred10``: with ``--threshold=10``).
"""

from ml_collections import ConfigDict

from gzjax.configs import base


def rerun(config):
    """Another initialisation, order and augmentation."""
    config.seed = 1


def centred(config):
    """Galaxies centred and rescaled by Source Extractor's detections at 2 sigma."""
    config.data.detections = "detections-2.csv"


def centred10(config):
    """The same at 10 sigma."""
    config.data.detections = "detections-10.csv"


def big256(config):
    """256 filters in the last convolution."""
    config.model.filters = (32, 64, 128, 256)


def max_norm(config):
    """The winner's norm constraint, which as coded is one of the root mean square."""
    config.max_norm.kind = "rms"
    config.max_norm.layers = ("hidden1", "hidden2")
    config.max_norm.limits = (0.4, 0.23)


def maxout1(config):
    """One dense maxout layer."""
    config.model.hidden = (2048,)


def filters8(config):
    """Kernels of 8, 4, 3 and 3 px."""
    config.model.kernel_sizes = (8, 4, 3, 3)


def relu(config):
    """One dense ReLU layer of 4096 units."""
    config.model.hidden, config.model.activation = (4096,), "relu"


def filters192(config):
    """192 filters in the last convolution."""
    config.model.filters = (32, 64, 128, 192)


def part_dense(config):
    """A dense layer on each part, maxout of 512 to 256, and one on all."""
    config.model.part_hidden, config.model.hidden = 256, (2048,)


def part_dense512(config):
    """The same, maxout of 1024 to 512."""
    config.model.part_hidden, config.model.hidden = 512, (2048,)


def together(*changes):
    """Several changes as one."""

    def change(config):
        for one in changes:
            one(config)

    return change


def quick(config):
    """The same phases on few steps: minutes on 2 CPU cores.

    Half the filters, a quarter of the dense units. The published initial weights need
    thousands of steps to come to life; here they start larger.
    """
    config.model.filters = tuple(n // 2 for n in config.model.filters)
    config.model.hidden = tuple(n // 4 for n in config.model.hidden)
    config.model.part_hidden //= 2
    config.model.weight_stds, config.model.hidden_std = (0.1, 0.05, 0.05, 0.05), 0.02
    config.num_train_steps = 2500
    config.head_warmup_steps = 100
    config.log_every_steps = 20
    config.eval_every_steps = config.checkpoint_every_steps = 500


# The 17 runs of the blend: this and the best network itself.
RUNS = {
    "rerun": rerun,
    "centred": centred,
    "centred_rerun": together(centred, rerun),
    "centred10": centred10,
    "big256": big256,
    "max_norm": max_norm,
    "maxout1": maxout1,
    "maxout1_centred": together(maxout1, centred),
    "filters8": filters8,
    "filters8_centred": together(filters8, centred),
    "filters8_maxout1": together(filters8, maxout1),
    "filters8_maxout1_centred": together(filters8, maxout1, centred),
    "filters192_relu": together(filters192, relu),
    "relu_centred": together(relu, centred),
    "part_dense": part_dense,
    "part_dense512": part_dense512,
}


def get_config(variant=""):
    """``variant``: "", one of RUNS, "quick", or several of them with commas."""
    config = base.get_config()
    config.view.size_px, config.view.scale = 69, 3.0
    config.view.angles_deg = (0.0, 45.0)
    base.uncoloured(config)

    config.augment.rotation_deg, config.augment.mirror_rate = 360.0, 0.5
    config.augment.zoom, config.augment.shift_px = 1.3, 4.0
    config.augment.principal_colour = 0.5

    config.model = ConfigDict()
    config.model.name = "view_net"
    config.model.part_px = 45  # smaller: the parts overlap less
    config.model.filters = (32, 64, 128, 128)  # of the convolutions
    config.model.kernel_sizes = (6, 5, 3, 3)
    config.model.strides = (1, 1, 1, 1)
    config.model.pools = (2, 2, 1, 2)  # windows of the max pools; 1: none
    config.model.pool_strides = (2, 2, 1, 2)  # smaller than the window: overlapping
    config.model.weight_stds = (0.01, 0.01, 0.01, 0.1)  # initial
    config.model.part_hidden = 0  # units of a dense maxout layer on each part; 0: none
    config.model.hidden = (2048, 2048)  # units of the dense layers, after maxout
    config.model.hidden_std = 0.001  # initial, of the dense layers' weights
    config.model.activation = "maxout"  # or "relu", of the dense layers
    config.model.dropout_rate = 0.5  # on what enters a dense layer
    config.model.input_noise = 0.0  # standard deviation, pixels in [0, 1]

    config.head_warmup_steps = 625  # an epoch of 10,000 images
    config.batch_size = 16
    config.num_train_steps = 1_562_500  # 25 million images
    config.learning_rate = 0.04
    config.schedule.decay_at = (0.72, 0.92)  # steps 1,125,000 and 1,437,500
    config.weight_decay, config.rate_in_velocity = 0.0, True
    return base.choose_variant(config, variant, {**RUNS, "quick": quick})


def sweep(add):
    """Five seeds of one network, to be blended, or to tell scores apart by."""
    for seed in range(5):
        add(f"seed{seed}", seed=seed)
