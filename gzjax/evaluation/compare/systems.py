"""Builds and checks all systems of a comparison before any of them is trained."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ml_collections import ConfigDict

from gzjax.data import check_there, make_source
from gzjax.data.averaging import averaging_set
from gzjax.data.ledger import differences
from gzjax.errors import UserError
from gzjax.evaluation.compare.budget import BUDGET_KEYS, set_budget
from gzjax.evaluation.compare.scores import NO_AVERAGING
from gzjax.steps.phases import flat
from gzjax.training.checkpoint.saved import SavedCheckpoints
from gzjax.training.identity import MAY_CHANGE, check_same_run, describe_run
from gzjax.training.load_config import load_config, run_name, say_which_config
from gzjax.training.run_files import CHECKPOINTS
from gzjax.trees.tree_file import find_tree

_ALIKE = (
    "Give all the same: --data=FOLDER, or the keys of the split, as "
    "--config.split.kind=last_fraction --config.split.valid=0.1 --config.split.test=0 "
    "--config.split.train=0"
)


class System(NamedTuple):
    """A config under the budget, built and checked.

    Attributes:
        name: unique; its runs are ``NAME-seedN``.
        argument: the item of ``--configs``.
        parameters: how many numbers the network trains.
        overrides: {key: value} of the overrides that make runs other runs.
        run: see :func:`gzjax.training.identity.describe_run`.
        common: JSON-ready, alike for all systems: ``data``, ``split`` and ``tree``.
    """

    name: str
    argument: str
    config: ConfigDict
    parameters: int
    overrides: dict
    run: dict
    common: dict

    def config_of(self, seed: int) -> ConfigDict:
        """Returns the config of one run, without the check of images."""
        return _unchecked(self.config, seed)


def build_systems(
    arguments: Sequence[str],
    overrides: Sequence[str],
    num_steps: int,
    batch_size: int,
    averaging: str = NO_AVERAGING,
) -> list[System]:
    """Builds every system, and opens its data without checking the images.

    Raises:
        UserError: names a config that is invalid or given twice, has no such averaging
            set, or has other data or another split than the first.
    """
    _check_names(arguments)
    for key in set(BUDGET_KEYS).intersection(_keys(overrides)):
        raise UserError(
            f"config.{key} is set by compare itself, from --num_images, --batch_size, "
            "--seeds and --averaging"
        )
    loaded = {}
    for argument in arguments:  # all, before JAX is imported for the first
        say_which_config(argument)
        with _named(argument):
            loaded[argument] = _load(argument, overrides, num_steps, batch_size)
            averaging_set(averaging, loaded[argument][0].model)
    systems = []
    for argument, config_and_given in loaded.items():
        with _named(argument):
            systems.append(_build(argument, *config_and_given))
    for system in systems[1:]:
        if lines := differences(systems[0].common, system.common):
            given = f"{systems[0].argument} and {system.argument} cannot be compared"
            raise UserError("\n".join([f"{given}:", *lines, _ALIKE]))
    return systems


def check_images(system: System) -> None:
    """Checks every image of the data, unless config.data.check_images is False."""
    from gzjax.training.experiment import Experiment

    if system.config.data.check_images:
        Experiment(system.config, find_tree(system.config.tree))


def check_folder(system: System, seed: int, workdir) -> None:
    """Raises a UserError if ``workdir`` holds a run other than this one."""
    if not (workdir / CHECKPOINTS).is_dir():
        return
    checkpoints = SavedCheckpoints(workdir / CHECKPOINTS)
    steps = [step for step in checkpoints.steps if not checkpoints.damage(step)]
    if not steps:
        return
    before = checkpoints.read_description(steps[-1])
    config = system.run["config"] | {"seed": seed}
    check_same_run(before, system.run | {"config": config}, workdir)
    planned, steps = before["config"]["num_train_steps"], config["num_train_steps"]
    if planned != steps:
        raise UserError(
            f"{workdir} holds a run of {planned} steps, not {steps}: give another "
            "--output for another budget"
        )


def _keys(overrides) -> list[str]:
    return [text.removeprefix("--config.").partition("=")[0] for text in overrides]


def _is_counted(key: str) -> bool:
    # Data and split are compared themselves, wherever they came from.
    alike = key in MAY_CHANGE or key.startswith(("data.", "split."))
    return key == "data.detections" or not alike


def _check_names(arguments):
    if not arguments:
        raise UserError("--configs names no config")
    named: dict[str, str] = {}
    for argument in arguments:
        name = run_name(argument)
        if name in named:
            raise UserError(
                f"--configs has {named[name]} and {argument}, whose runs would both be "
                f"called {name}: give each once, or rename a file"
            )
        named[name] = argument


@contextlib.contextmanager
def _named(argument: str) -> Iterator[None]:
    try:
        yield
    except UserError as error:
        raise UserError(f"{argument}: {error}") from error


def _load(argument, overrides, num_steps, batch_size) -> tuple[ConfigDict, dict]:
    """Returns the config under the budget, and the overrides that count."""
    config = load_config(argument, overrides)
    known = flat(config.to_dict())  # before the budget changes it
    given = {key: known[key] for key in _keys(overrides) if _is_counted(key)}
    set_budget(config, num_steps, batch_size)
    config.averaging = NO_AVERAGING
    check_there(config, find_tree(config.tree))
    return config, given


def _build(argument: str, config: ConfigDict, given: dict) -> System:
    import jax

    from gzjax.training.experiment import Experiment

    tree = find_tree(config.tree)
    experiment = Experiment(_unchecked(config, seed=0), tree, to_train=True)
    sizes = {name: len(part) for name, part in experiment.splits.items()}
    if not sizes["valid"]:
        raise UserError("its validation split is empty: set config.split.valid")
    run = describe_run(experiment)
    common = {
        "data": {"fingerprint": _fingerprint(experiment), "galaxies": sizes},
        "split": run["config"]["split"],
        "tree": run["tree"],
    }
    params = jax.tree.leaves(experiment.programs.abstract_state().params)
    name, parameters = run_name(argument), sum(p.size for p in params)
    return System(name, argument, config, parameters, given, run, common)


def _unchecked(config, seed):
    config = config.copy_and_resolve_references()
    config.seed, config.data.check_images = seed, False
    return config


def _fingerprint(experiment) -> str:
    # Centring is part of the system: the galaxies are the same without it.
    config = experiment.config.copy_and_resolve_references()
    if not config.data.detections:
        return experiment.source.fingerprint
    config.data.detections = ""
    return make_source(config, experiment.tree).fingerprint
