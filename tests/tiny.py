"""A run small enough for a test: every part real, every number small."""

from pathlib import Path

from ml_collections import ConfigDict

from gzjax.configs import dieleman, p4m

OVERRIDES = {
    "data.kind": "synthetic",
    "data.synthetic.num_galaxies": 44,
    "data.synthetic.size_px": 106,
    "split.valid": 0.25,
    "view.size_px": 62,
    "view.scale": 4.5,
    "model.planes": (1, 2, 2, 2, 3, 3),
    "model.hidden": 8,
    "batch_size": 8,
    "eval_batch_size": 8,
    "num_train_steps": 6,
    "head_warmup_steps": 2,
    "learning_rate": 0.05,
    "log_every_steps": 1,
    "eval_every_steps": 3,
    "checkpoint_every_steps": 2,
}
# The winner's network instead, on views of 33 px.
VIEW_MODEL = {
    "part_px": 25,
    "filters": (2, 2, 3, 3),
    "kernel_sizes": (4, 3, 2, 2),
    "weight_stds": (0.2, 0.2, 0.2, 0.2),
    "hidden_std": 0.3,
}
VIEW_OVERRIDES = {
    **{key: value for key, value in OVERRIDES.items() if not key.startswith("model.")},
    **{f"model.{key}": value for key, value in VIEW_MODEL.items()},
    "model.hidden": (4, 3),
    "view.size_px": 33,
    "view.scale": 6.5,
}
PLAIN = {
    "name": "plain_cnn",
    "filters": (2,),
    "kernel_sizes": (3,),
    "pools": (4,),
    "norm": "before_relu",
    "hidden": (8,),
    "dropout_rates": (0.0, 0.5),
}


def make_config(**changes):
    """The flagship, shrunk; ``changes`` are keys with ``__`` for ``.``."""
    return _shrunk(p4m.get_config(), OVERRIDES, changes)


def make_view_config(variant="", **changes):
    """The winner's system, shrunk."""
    return _shrunk(dieleman.get_config(variant), VIEW_OVERRIDES, changes)


def make_plain_config(**changes):
    """One convolution instead of the flagship's network: quick to compile."""
    config = _shrunk(p4m.get_config(), OVERRIDES, {})
    config.model = ConfigDict(PLAIN)
    return _shrunk(config, {}, changes)


def make_pair_config(**changes):
    """The flagship's network and a plain one, trained together."""
    config = _shrunk(p4m.get_config(), OVERRIDES, changes)
    second = config.model.copy_and_resolve_references()
    pair = {"name": "pair", "shrinks": (1, 1), "answers": "both"}
    config.model = ConfigDict({**pair, "first": PLAIN, "second": second})
    return config


def _shrunk(config, overrides, changes):
    config.update_from_flattened_dict(overrides | _dotted(changes))
    return config


def flags(**changes):
    """:func:`make_config` as command-line arguments."""
    return _flags(OVERRIDES | _dotted(changes))


def view_flags(**changes):
    """:func:`make_view_config` as command-line arguments."""
    return ["--config=dieleman", *_flags(VIEW_OVERRIDES | _dotted(changes))]


def plain_flags(**changes):
    """:func:`make_plain_config`, a network that is traced and compiled sooner."""
    config = Path(__file__).with_name("plain_config.py")
    return [f"--config={config}", *_flags(_dotted(changes))]


def _dotted(changes):
    return {key.replace("__", "."): value for key, value in changes.items()}


def _flags(changes):
    return [f"--config.{key}={value}" for key, value in changes.items()]
