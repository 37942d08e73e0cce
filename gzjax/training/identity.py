"""What identifies a run: stored with every checkpoint, compared before resuming."""

import json
from importlib import metadata

import numpy as np
from ml_collections import ConfigDict

from gzjax.configs import base
from gzjax.data.splits import split_question
from gzjax.errors import UserError
from gzjax.steps.phases import flat, phase_lengths
from gzjax.trees import Tree

# Keys that may differ between a checkpoint and the command that resumes it: how long,
# how often it reports, and how (not what) it reads. The fingerprint guards where the
# data lie, and the tree itself its name or file.
MAY_CHANGE = (
    "tree",
    "num_train_steps",
    "log_every_steps",
    "eval_every_steps",
    "eval_batch_size",
    "averaging",
    "model.answers",
    "checkpoint_every_steps",
    "remat",
    "keep_newest",
    "keep_best",
    "data.dir",
    "data.labels",
    "data.images",
    "data.name_column",
    "data.detections",
    "data.check_images",
    "data.num_workers",
    "data.num_threads",
    "wandb",
)
# Keys that runs of an older gzjax lack; they were trained as by the default.
_ADDED = ("loss_consistency",)
_PACKAGES = (
    "gzjax",
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "orbax-checkpoint",
    "grain",
    "numpy",
    "opencv-python-headless",
    "sep",
)


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:  # OpenCV goes by several names
        return "unknown"


def describe_run(experiment) -> dict:
    """Returns a JSON-ready description of an Experiment.

    Returns:
        ``config`` and ``tree`` as plain data; ``versions`` of packages; the data's
        ``fingerprint``; ``train_mean``, the column means of the training split;
        ``detection_threshold`` used to centre the galaxies, or None if they were not
        centred; ``frame_px``, the original pixels that an image spans.
    """
    source, tree = experiment.source, experiment.tree
    train = source.targets[experiment.splits["train"]]
    config = _plain(experiment.config.to_dict())
    config["split"]["question"] = split_question(experiment.config.split, tree)
    return {
        "config": config,
        "tree": _plain(tree.to_dict()),
        "versions": {name: _version(name) for name in _PACKAGES},
        "backend": experiment.mesh.devices.flat[0].platform,
        "fingerprint": source.fingerprint,
        "detection_threshold": source.threshold,
        "frame_px": experiment.frame_px,
        "train_mean": train.mean(axis=0, dtype=np.float64).tolist(),
    }


def read_config(run: dict) -> ConfigDict:
    """Returns the config of a run, with tuples where JSON has lists."""

    def tuples(x):
        if isinstance(x, dict):
            return {key: tuples(value) for key, value in x.items()}
        return tuple(x) if isinstance(x, list) else x

    return ConfigDict(tuples(run["config"]))


def check_run(run: dict, workdir) -> None:
    """Raises a UserError unless this may be what :func:`describe_run` returned.

    A workdir is not trusted. Checked are the tree, the keys of the config with the kind
    of value of each, and the numbers that predictions are made of. A key that an older
    gzjax did not have is added to the config, with its default.
    """
    try:
        known = base.get_config().to_dict()
        run["config"] = {key: known[key] for key in _ADDED} | run["config"]
        _check_kinds(run["config"], known)
        if not isinstance(run["config"]["model"]["name"], str):
            raise ValueError("config.model.name is not a text")
        tree, mean = Tree.from_dict(run["tree"]), np.float64(run["train_mean"])
        if mean.shape != (tree.num_answers,) or not np.isfinite(mean).all():
            raise ValueError("train_mean is not a number for each answer")
        texts = {"fingerprint": run["fingerprint"], **run["versions"]}
        if not all(isinstance(text, str) for text in texts.values()):
            raise ValueError("fingerprint or versions are not texts")
        threshold = run.get("detection_threshold")
        if threshold is not None and _kind(threshold) != "number":
            raise ValueError("detection_threshold is not a number")
    except (AttributeError, LookupError, OverflowError, TypeError, ValueError) as error:
        raise UserError(
            f"{workdir}: its checkpoint does not describe a run of this gzjax: "
            f"{type(error).__name__}: {error}"
        ) from error


def _check_kinds(config: dict, known: dict, where: str = "config") -> None:
    """Raises a ValueError if a key is missing or has another kind of value."""
    for key, default in known.items():
        value, name = config.get(key), f"{where}.{key}"
        if key not in config:
            raise ValueError(f"{name} is missing")
        if _kind(value) != _kind(default):
            raise ValueError(f"{name} is {value!r:.60}")
        if key == "phases" and any(_kind(phase) != "dict" for phase in value.values()):
            raise ValueError(f"{name} are not keys with values")
        if isinstance(default, dict) and key != "model":
            _check_kinds(value, default, name)


def check_same_run(old: dict, new: dict, workdir) -> None:
    """Raises a UserError if the checkpoint in ``workdir`` is of another run, or none.

    The message names every key of the config that differs with both values, except the
    keys that may differ.
    """
    check_run(old, workdir)
    before, now = (flat(run["config"]) for run in (old, new))
    may_change = set(MAY_CHANGE)
    if "best" in [value for key, value in now.items() if key.endswith("start_from")]:
        may_change -= {"eval_every_steps", "keep_best"}  # they decide what is the best
    differing = [
        f"  config.{key}: {before.get(key, 'absent')!r} there, "
        f"{now.get(key, 'absent')!r} here"
        for key in sorted(before.keys() | now.keys())
        if key not in may_change and before.get(key) != now.get(key)
    ]
    a, b = phase_lengths(old["config"]), phase_lengths(new["config"])
    if a[:-1] != b[:-1] or a[-1][0] != b[-1][0]:
        differing.append(
            "  the steps of config.phases (of the last alone the number may change)"
        )
    if old["tree"] != new["tree"]:
        differing.append("  the decision tree")
    if old["fingerprint"] != new["fingerprint"] and not differing:
        differing.append("  the data: other ids, votes, images or detections")
    if differing:
        raise UserError(
            f"{workdir} holds a run that differs from this one in\n"
            + "\n".join(differing)
            + "\nGive another folder (train: --workdir, compare: --output), or the "
            "config that this one was started with."
        )


_KINDS = (bool, "bool"), (int | float, "number"), (str, "text"), (list | tuple, "list")


def _kind(value) -> str:
    names = (name for types, name in _KINDS if isinstance(value, types))
    return next(names, type(value).__name__)


def _plain(content: dict) -> dict:
    """Returns the content as it comes back from a file: lists for tuples."""
    return json.loads(json.dumps(content))
