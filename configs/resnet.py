"""ResNets with the tree's head, coarse-to-fine and otherwise: Cao & Chen 2018.

Published, ResNet-18: RMSE 0.07520 coarse-to-fine, 0.0832 with the coarse loss only,
0.0812 with the fine loss from the start (validation), 0.0769 focal, 0.0809 sigmoid,
0.1350 KL; R = 0.0209 with continuous angles, 0.0194 with discrete ones. ResNet-50,
coarse: 0.0807. 11,451,549 and 24,551,069 parameters; 224 px.

    python -m gzjax.main --config=configs/resnet.py:18-c2f --config.data.dir=DOWNLOAD \\
        --init_from=resnet18.safetensors

They began with ImageNet's weights: give torchvision's state dict, as ``.safetensors``
or ``.pth``; without it training starts from random ones. ``:34`` is there too, and
``--config.model.depth=101`` or 152. ``:18-discrete`` turns by multiples of 45° only,
without shift and zoom, as those runs did; ``:18-continuous`` by any angle, and is
``:18`` itself, as is ``:18-coarse``. ``,small`` is for 2 CPU cores.

Deviations: Nesterov momentum; outputs start at 0.1, and the first 625 steps are without
the head (a question that dies under it, as "odd" did here, stays dead); pixels are
normalised by the data's own mean (their code had a traffic-sign set's); the coarse
phase lasts 100 epochs ("to convergence"), and the rate of the last drops each 20 epochs
as that of the second; the fine loss is the code's, ``fine_paper``
is eq. 5; focal weights are 1 in the mean (theirs were 1/37 for most of each epoch); the
KL divergence is weighted by P(asked).
"""

from ml_collections import ConfigDict

from gzjax.configs import base


def fine(config):
    """The fine loss from the start."""
    config.loss = "fine_code"


def c2f(config):
    """Coarse to convergence, then two fine phases at smaller rates, from the best.

    The first phase is the config as it stands.
    """
    config.phases = ConfigDict(
        {
            "phase1": {},
            "phase2": _fine_phase(4e-3, 0.3),
            "phase3": _fine_phase(5e-4, 0.1),
        }
    )


def _fine_phase(learning_rate, dropout_rate):
    return {
        "num_train_steps": 60_620,  # 70 epochs
        "head_warmup_steps": 0,
        "start_from": "best",
        "loss": "fine_code",
        "learning_rate": learning_rate,
        "schedule": {"decay_at": (2 / 7, 4 / 7, 6 / 7)},  # 20, 40, 60 epochs
        "model": {"dropout_rates": (dropout_rate, dropout_rate)},
    }


def focal(config):
    """Answers weighted by their running share of the error."""
    config.loss = "focal"


def sigmoid(config):
    """37 sigmoids instead of the tree's head."""
    config.head = "sigmoid"


def kl(config):
    """The Kullback-Leibler divergence of each question's shares."""
    config.loss = "kl"


def discrete(config):
    """Multiples of 45° only; no shift, no zoom."""
    config.augment.rotation_step_deg = 45.0
    config.augment.shift_px, config.augment.zoom = 0.0, 1.0


def unchanged(config):
    """The base line under another name."""
    del config


def small(config):
    """A quarter of the planes at 80 px."""
    config.view.size_px, config.view.scale = 80, 3.5
    shrink(config.model)
    few_steps(config)
    for phase, steps in zip(config.phases.values(), (1200, 500, 300), strict=False):
        phase.num_train_steps = steps
        if "model" in phase:
            phase.learning_rate *= 2.5
            phase.schedule.kind, phase.schedule.warmup_steps = "cosine", 0
            phase.model.dropout_rates = (0.0, 0.0)


def few_steps(config):
    """At 2.5 times the rate."""
    base.few_steps(config)
    config.learning_rate = 0.05


def shrink(model):
    """A quarter of the planes, 128 units, of which none are dropped."""
    model.planes = tuple(n // 4 for n in model.planes)
    model.hidden, model.dropout_rates = (128,), (0.0, 0.0)


REGIMES = {
    "coarse": unchanged,
    "fine": fine,
    "c2f": c2f,
    "focal": focal,
    "sigmoid": sigmoid,
    "kl": kl,
    "discrete": discrete,
    "continuous": unchanged,
}
DEPTHS = (18, 34, 50)


def make_model(depth=18) -> ConfigDict:
    """The network's fields."""
    model = ConfigDict()
    model.name = "resnet"
    model.depth = depth  # 18, 34, 50, 101 or 152
    model.group = "p1"  # or "p4", "p4m"; with steerable filters "d8" and others too
    model.planes = (64, 128, 256, 512)  # of the four stages
    model.exact = False  # of p4 and p4m: the window rule, shared norm, group pooling
    model.block_bias = False  # in the 3x3 convolutions
    model.hidden = (500,)  # units of the dense layers
    model.dropout_rates = (0.5, 0.5)  # on what enters each dense layer
    model.filters = "free"  # or "steerable": right at nearly every angle, if exact
    return model


def recipe(config):
    """Their view and training, of 100 epochs."""
    config.view.size_px, config.view.scale = 224, 424 / 300  # the central 317 px
    config.batch_size = 64
    config.num_train_steps = 86_600
    config.learning_rate = 0.02
    config.schedule.decay_at = (0.25, 0.5, 0.75)  # each 25 epochs


def _variant(depth, change):
    def apply(config):
        config.model = make_model(depth)
        change(config)

    return apply


def get_config(variant="18"):
    """``variant``: "18", "50-c2f" and so on, with "small" after a comma or without."""
    config = base.get_config()
    config.model = make_model()
    recipe(config)
    variants = {str(depth): _variant(depth, unchanged) for depth in DEPTHS}
    variants |= {
        f"{depth}-{name}": _variant(depth, change)
        for depth in DEPTHS
        for name, change in REGIMES.items()
    }
    return base.choose_variant(config, variant, variants | {"small": small}, variants)
