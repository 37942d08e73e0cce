"""Every key of every config, with its meaning. The other configs only override.

A key is changed on the command line by ``--config.data.dir=...``. What a key may be is
checked in ``gzjax/training/check_config.py``.
"""

from collections.abc import Collection

from ml_collections import ConfigDict

from gzjax.errors import UserError


def get_config() -> ConfigDict:
    """The defaults: the exact p4m network, trained as Cao & Chen trained GrouPy."""
    c = ConfigDict()
    c.seed = 0  # of initialisation, shuffling, augmentation and dropout
    c.tree = "gz2"  # the questions: a name (gzjax.trees.TREES), or a .json file
    c.dtype = "float32"  # of parameters and arithmetic; float64 needs JAX_ENABLE_X64=1
    c.compute_dtype = ""  # "bfloat16": of convolutions and dense layers; "": as dtype
    c.remat = False  # recompute features for the gradient: less memory, more time

    c.data = ConfigDict()
    c.data.kind = "challenge"  # the download; "survey": your own; "synthetic": drawn
    c.data.dir = ""  # of the download, or made by prepare; "": the variable GZJAX_DATA
    c.data.labels = ""  # of a survey: a .csv with a row per galaxy, in data.dir if any
    c.data.images = ""  # of a survey: a folder, .zip or .csv of paths, likewise
    c.data.name_column = ""  # of data.labels; "": name, id, filename, path, ...
    c.data.pixel_scale = 1.0  # original px per px; 0: a survey's images span 424 each
    c.data.decode_scale = 1  # 2, 4: JPEGs made so much smaller as they are decoded
    c.data.detections = ""  # centre and rescale by this table of "gzjax.main detect"
    c.data.check_images = True  # look at every image's header and end at start-up
    c.data.num_workers = 0  # loader processes; 0: threads of this one
    c.data.num_threads = 0  # loader threads in each process; 0: all cores together
    c.data.synthetic = ConfigDict()
    c.data.synthetic.num_galaxies = 4000
    c.data.synthetic.seed = 0
    c.data.synthetic.size_px = 212  # of the drawn image; it spans the 424 px frame

    c.split = ConfigDict()  # always by id
    c.split.kind = "last_fraction"  # or "counts", "stratified", "all" (see data/splits)
    c.split.train = 0  # galaxies, for "counts"; 0: the rest
    c.split.valid = 0.1  # fraction; galaxies for "counts"
    c.split.test = 0.0  # fraction; galaxies for "counts"
    c.split.question = ""  # whose largest answer stratifies; "": the tree's first
    c.split.seed = 0  # of "stratified"

    c.view = ConfigDict()  # what the network sees, about the image's centre
    c.view.size_px = 116  # height and width in the network's pixels
    c.view.scale = 2.4375  # original px per view px; 2.4375 = 39/16 turns exactly
    c.view.samples = 1  # averaged to a pixel, along each axis: more: less aliasing
    c.view.angles_deg = (0.0,)  # one view for each; the winner had 0 and 45
    # Mean and deviation of R, G, B in [0, 1] over such views of training galaxies.
    c.view.mean = (0.072, 0.063, 0.048)
    c.view.std = (0.117, 0.098, 0.085)

    c.augment = ConfigDict()  # training only; units in data/augment
    c.augment.rotation_deg = 360.0  # any angle below, on top of rotation_from_deg
    c.augment.rotation_from_deg = 0.0
    c.augment.rotation_step_deg = 0.0  # > 0: only multiples of it, on top of the same
    c.augment.mirror_rate = 0.5  # share of galaxies mirrored
    c.augment.zoom = 1.5  # log-uniform in 1/zoom .. zoom
    c.augment.shear_deg = 0.0  # ±
    c.augment.shift_px = 40.0  # ±, in original px
    c.augment.brightness = 0.5  # factor in 1 ±
    c.augment.contrast = 0.1  # factor in 1 ±
    c.augment.saturation = 0.1  # factor in 1 ±
    c.augment.hue = 0.1  # ±, in turns
    c.augment.principal_colour = 0.0  # standard deviation; the winner's: 0.5

    # The fields of the network that is named, and of no other (gzjax.models).
    c.model = ConfigDict()
    c.model.name = "group_cnn"
    c.model.group = "p4m"  # or "p4"; dn: c4 to d16
    c.model.planes = (8, 16, 32, 32, 64, 64)  # of the six convolutions
    c.model.hidden = 512  # units before the outputs
    c.model.exact = True  # False: the published geometry, norm and head
    c.model.dropout_rate = 0.5  # on the hidden units

    c.init_from = ""  # weights to start from: a run's folder, .safetensors or .pth
    c.init_keep_head = False  # its outputs too, not only what leads to them

    c.head = "divisive"  # or "softmax", "sigmoid", "clip", "relu"
    c.head_warmup_steps = 625  # first steps with "clip" instead; momentum then restarts
    c.loss = "coarse"  # or "fine_code", "fine_paper", "focal", "kl", "bce"
    c.mutual_weight = 1.0  # of the difference between a pair's answers in the loss
    # > 0: a batch has each galaxy twice, turned anew; weight of the answers' difference
    c.loss_consistency = 0.0

    c.batch_size = 32  # of all devices together
    c.accumulate_steps = 1  # a batch in so many pieces one after the other: less memory
    c.num_train_steps = 433_000  # 250 epochs of 55,421 galaxies
    c.learning_rate = 0.01
    c.reference_batch_size = 0  # > 0: rates are for it, and times batch_size / it here
    c.schedule = ConfigDict()
    c.schedule.kind = "step"  # or "constant", "cosine", "cosine_restarts"
    c.schedule.decay_at = (0.4, 0.6, 0.8)  # fractions of num_train_steps
    c.schedule.decay_factor = 10.0
    c.schedule.first_period = 0.25  # of "cosine_restarts": fraction of num_train_steps
    c.schedule.period_factor = 3.0  # each period lasts so many times the one before
    c.schedule.min_rate = 0.0  # at the end of a cosine
    c.schedule.warmup_steps = 0  # linear, from 0
    c.optimizer = "sgd"  # or "adam", "adamax"
    c.momentum = 0.9  # Nesterov's, of "sgd"
    c.rate_in_velocity = False  # the winner's form of it (gzjax/steps/optim.py)
    c.weight_decay = 5e-4  # L2, on all parameters
    c.max_norm = ConfigDict()  # W *= min(limit / norm, 1), for each column of a layer
    c.max_norm.kind = "l2"  # or "rms", as the winner had it
    c.max_norm.layers = ()  # names of dense layers: ("hidden1", "hidden2")
    c.max_norm.limits = ()  # one for each of them
    c.max_norm.every_steps = 10
    c.ema_decay = 0.0  # > 0: evaluate an exponential moving average of the parameters
    # Name → the keys that this phase changes; in the order of names
    # (gzjax/steps/phases.py).
    c.phases = ConfigDict()
    c.start_from = "last"  # a phase: from the "last" or "best" state of the one before

    c.log_every_steps = 100
    c.eval_every_steps = 5000  # on the validation split
    c.eval_batch_size = 64  # of all devices together
    c.averaging = (
        "none"  # placements averaged by evaluations, see gzjax/data/averaging.py
    )
    c.checkpoint_every_steps = 5000
    c.keep_newest = 2  # checkpoints
    c.keep_best = 1  # checkpoints, by validation RMSE
    c.wandb = ""  # report to this project of Weights & Biases: PROJECT, ENTITY/PROJECT
    return c


def choose_variant(
    config: ConfigDict, variant: str, variants: dict, one_of: Collection[str] = ()
) -> ConfigDict:
    """Applies the ``:variant`` of a config path: a function that changes the config.

    Several, as in ``:big256,quick``, are applied in the order of ``variants``, so that
    those which scale the network down come last; of ``one_of`` at most one.

    Raises:
        UserError: there is no such variant, and names those that there are; or two that
            exclude each other.
    """
    chosen = variant.split(",") if variant else []
    for name in chosen:
        if name not in variants:
            there_are = ", ".join(variants) or "none"
            raise UserError(
                f"no variant ':{name}' of this config; there are: {there_are}"
                + ("\n(Several configs are parted by spaces.)" if ":" in name else "")
            )
    exclusive = [name for name in chosen if name in one_of]
    if len(exclusive) > 1:
        raise UserError(f"':{exclusive[0]}' and ':{exclusive[1]}' cannot be combined")
    for name, change in variants.items():
        if name in chosen:
            change(config)
    return config


def uncoloured(config: ConfigDict) -> None:
    """Pixels in 0 .. 1 as they are, without changes of colour in training."""
    config.view.mean, config.view.std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    config.augment.brightness = config.augment.contrast = 0.0
    config.augment.saturation = config.augment.hue = 0.0


def few_steps(config: ConfigDict) -> None:
    """2,000 steps at the config's own rate, to be seen through on 2 CPU cores."""
    config.num_train_steps = 2000
    config.head_warmup_steps = 100
    config.schedule.kind = "cosine"
    config.schedule.warmup_steps = 50
    config.log_every_steps = 20
    config.eval_every_steps = config.checkpoint_every_steps = 500


def small(config: ConfigDict) -> None:
    """Half the planes at 80 px: trains on 2 CPU cores in minutes."""
    config.view.size_px, config.view.scale = 80, 3.5
    config.model.planes = tuple(n // 2 for n in config.model.planes)
    config.model.hidden = 128
    config.learning_rate = 0.05
    few_steps(config)
