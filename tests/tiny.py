"""A run small enough for a test: every part real, every number small."""

from gzjax.configs import p4m

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


def make_config(**changes):
    """The flagship, shrunk; ``changes`` are keys with ``__`` for ``.``."""
    config = p4m.get_config()
    config.update_from_flattened_dict(OVERRIDES)
    config.update_from_flattened_dict(
        {key.replace("__", "."): value for key, value in changes.items()}
    )
    return config


def flags(**changes):
    """The same as command-line arguments."""
    changes = {key.replace("__", "."): value for key, value in changes.items()}
    return [f"--config.{key}={value}" for key, value in (OVERRIDES | changes).items()]
