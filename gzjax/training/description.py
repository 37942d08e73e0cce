"""What identifies a run: stored with every checkpoint, compared before resuming."""

import json
from importlib import metadata

import jax
import numpy as np
from ml_collections import ConfigDict

from gzjax.configs import base
from gzjax.data.splits import split_question
from gzjax.errors import UserError, first_few
from gzjax.steps.phases import phase_lengths
from gzjax.trees import Tree, tree_file
from gzjax.trees.names import check_column_names

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
# Keys that configs did not always have; today's defaults are what was done then. With
# the later ones a run of before goes on as it began.
_LATER = ("accumulate_steps", "compute_dtype", "reference_batch_size")
_ADDED = ("data.decode_scale", "view.samples", *_LATER)
_PACKAGES = ("gzjax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain",
             "numpy", "opencv-python-headless", "sep")  # fmt: skip


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:  # OpenCV goes by several names
        return "unknown"


def find_tree(config) -> Tree:
    """The tree that ``config.tree`` names.

    Raises:
        UserError: there is none, its file is wrong, or a table of predictions could
            not hold it.
    """
    tree = tree_file.find_tree(config.tree)
    try:
        check_column_names(tree)
    except ValueError as error:  # better said before a training than after it
        raise UserError(f"{config.tree}: {error}") from error
    return tree


def describe_run(experiment) -> dict:
    """A JSON-ready description of an :class:`gzjax.training.experiment.Experiment`.

    Returns:
        ``config`` and ``tree`` as plain data, ``versions``, ``fingerprint`` of the
        data, ``train_mean``, the column means of the training split, and
        ``detection_threshold``, by which galaxies were centred (None: they were not),
        and ``frame_px``, the original pixels that an image spans.
    """
    train = experiment.source.targets[experiment.splits["train"]]
    config = _plain(experiment.config.to_dict())
    config["split"]["question"] = split_question(
        experiment.config.split, experiment.tree
    )
    return {
        "config": config,
        "tree": _plain(experiment.tree.to_dict()),
        "versions": {name: _version(name) for name in _PACKAGES},
        "backend": jax.default_backend(),
        "fingerprint": experiment.source.fingerprint,
        "detection_threshold": experiment.source.threshold,
        "frame_px": experiment.frame_px,
        "train_mean": train.mean(axis=0, dtype=np.float64).tolist(),
    }


def read_config(run: dict) -> ConfigDict:
    """The config of a run, with tuples where JSON has lists.

    Raises:
        UserError: the run was made before the config had all of today's keys; those
            that may change between commands have today's default then.
    """
    missing = sorted(_of_every_network(base.get_config().to_dict())
                     - _of_every_network(run["config"])
                     - {*MAY_CHANGE, *_ADDED})  # fmt: skip
    if missing:
        raise UserError(
            f"the run was made by gzjax {run['versions']['gzjax']}, whose configs had "
            f"no config.{missing[0]}: evaluate it with that version"
        )

    def tuples(x):
        if isinstance(x, dict):
            return {key: tuples(value) for key, value in x.items()}
        return tuple(x) if isinstance(x, list) else x

    config = ConfigDict(tuples(run["config"]))
    defaults = _flat(base.get_config().to_dict())
    config.update_from_flattened_dict(
        {
            key: defaults[key]
            for key in (*MAY_CHANGE, *_ADDED)
            if key in defaults and key not in _flat(run["config"])
        }
    )
    return config


def check_run(run: dict, workdir) -> None:
    """Raises a UserError unless this may be what :func:`describe_run` returned.

    A workdir may be anybody's: what is looked at are the tree, the kind of value of
    each key of the config, and the numbers that predictions are made of.
    """
    try:
        config, known = _flat(run["config"]), _flat(base.get_config().to_dict())
        wrong = [
            f"config.{key} is {value!r:.60}"
            for key, value in config.items()
            if key in _of_every_network(known) and _kind(value) != _kind(known[key])
        ]
        wrong += [f"config.{key} has keys" for key in known if _is_dict(run, key)]
        if wrong:
            raise ValueError(first_few(wrong))
        if not isinstance(run["config"]["model"]["name"], str):
            raise ValueError("config.model.name is no text")
        if not all(phase.items for phase in run["config"].get("phases", {}).values()):
            raise ValueError("config.phases are none")
        if not isinstance(run["versions"]["gzjax"], str):
            raise ValueError("versions.gzjax is no text")
        tree, mean = Tree.from_dict(run["tree"]), np.float64(run["train_mean"])
        if mean.shape != (tree.num_answers,) or not np.isfinite(mean).all():
            raise ValueError("train_mean is not a number for each answer")
        if not isinstance(run["fingerprint"], str):
            raise ValueError("fingerprint is no text")
        threshold = run.get("detection_threshold")
        if threshold is not None and _kind(threshold) != "number":
            raise ValueError("detection_threshold is no number")
    except (AttributeError, LookupError, OverflowError, TypeError, ValueError) as error:
        raise UserError(
            f"{workdir}: its checkpoint does not describe a run of gzjax: "
            f"{type(error).__name__}: {error}"
        ) from error


def check_same_run(old: dict, new: dict, workdir) -> None:
    """Raises a UserError if the checkpoint in ``workdir`` is of another run.

    Names every key of the config that differs (but for those that may), with both
    values.
    """
    defaults = _flat(base.get_config().to_dict())
    before = {key: defaults[key] for key in _LATER} | _flat(old["config"])
    now = _flat(new["config"])
    may_change = set(MAY_CHANGE)
    if "best" in [value for key, value in now.items() if key.endswith("start_from")]:
        may_change -= {"eval_every_steps", "keep_best"}  # they decide what is the best
    differing = [
        f"  config.{key}: {before.get(key, 'absent')!r} there, "
        f"{now.get(key, 'absent')!r} here"
        for key in sorted(before.keys() | now.keys())
        if key not in may_change and before.get(key) != now.get(key)
    ]
    if not _same_phases(old["config"], new["config"]):
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


def _same_phases(before: dict, now: dict) -> bool:
    """Whether all phases begin where they did."""
    a, b = phase_lengths(before), phase_lengths(now)
    return a[:-1] == b[:-1] and [x[0] for x in a] == [x[0] for x in b]


def _is_dict(run: dict, key: str) -> bool:
    value = run["config"]
    for part in key.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return isinstance(value, dict)


def _kind(value) -> str:
    for name, types in (("bool", bool), ("number", int | float), ("text", str),
                        ("list", list | tuple)):  # fmt: skip
        if isinstance(value, types):
            return name
    return type(value).__name__


def _of_every_network(config: dict) -> set[str]:
    return {key for key in _flat(config) if not key.startswith("model.")}


def _plain(content: dict) -> dict:
    """As it comes back from a file: lists for tuples."""
    return json.loads(json.dumps(content))


def _flat(tree: dict, prefix: str = "") -> dict:
    flat = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat
