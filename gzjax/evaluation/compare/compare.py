"""Trains several configs under one budget, and writes one table of them."""

import contextlib
import datetime
import gc
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from gzjax.data.averaging import num_placements
from gzjax.errors import UserError
from gzjax.evaluation.compare.budget import num_steps_of
from gzjax.evaluation.compare.record import MARKDOWN, Comparison
from gzjax.evaluation.compare.scores import NO_AVERAGING, is_evaluated, run_scores
from gzjax.evaluation.compare.systems import build_systems, check_folder, check_images
from gzjax.evaluation.compare.table import markdown
from gzjax.evaluation.evaluate import evaluate, train_and_evaluate
from gzjax.files import check_place
from gzjax.progress import say

DEFAULT_OUTPUT = "runs/compare"


def compare(
    configs: Sequence[str],
    *,
    output: str | Path = "",
    num_images: int = 12_800,
    batch_size: int = 32,
    seeds: int = 1,
    averaging: str = "d4",
    data: str | Path = "",
    pixel_scale: float | None = None,
    overrides: Sequence[str] = (),
) -> int:
    """Trains configs under one budget, evaluates them, and writes and prints a table.

    A finished run is not repeated, an interrupted one is resumed, and a failed one is
    tried again. A further call with the same conditions adds its rows.

    Args:
        configs: see :func:`gzjax.training.load_config.load_config`.
        output: a folder, made if missing; "": ``runs/compare``. Gets the runs,
            ``NAME-seedN``, ``comparison.json`` and ``comparison.md``.
        num_images: training images that each run sees, rounded up to whole batches.
        seeds: the number of runs of each config: seeds 0, 1, ...
        averaging: the set (:func:`gzjax.data.averaging.averaging_set`) of a second
            evaluation; "none": no second one.
        data: a folder like the challenge download; "": what the configs name.
        pixel_scale: see ``configs/base.py``; None: what the configs say.
        overrides: ``--config.KEY=VALUE`` for every config.

    Returns:
        The number of runs that failed; the table says why.

    Raises:
        UserError: bad arguments, configs or data, or an output of another comparison,
            before any training.
        SystemExit: stopped by SIGTERM or Ctrl-C, after saving.
    """
    num_steps = num_steps_of(num_images, batch_size)
    _check_arguments(seeds, averaging)
    output = Path(output or DEFAULT_OUTPUT)
    check_place(output / MARKDOWN)
    overrides = [*_data_overrides(data, pixel_scale), *overrides]
    systems = build_systems(configs, overrides, num_steps, batch_size, averaging)
    budget = {
        "num_images": num_images,
        "batch_size": batch_size,
        "num_steps": num_steps,
        "averaging": averaging,
        "overrides": systems[0].overrides,
    }
    conditions = {"budget": budget, **systems[0].common}
    config = systems[0].config.data
    source = Path(config.dir).name if config.dir else config.kind
    comparison = Comparison(output, conditions, source, _machine())
    runs = [
        (system, seed, output / f"{system.name}-seed{seed}")
        for seed in range(seeds)  # the first of every system comes first
        for system in systems
    ]
    for run in runs:
        check_folder(*run)
    for system in systems:
        comparison.add_system(system.name, system.argument, system.parameters)
    failures = _run_all(runs, comparison, averaging)
    print(markdown(comparison.content), end="")
    print(f"written  {output / MARKDOWN}")
    return failures


def _check_arguments(seeds, averaging):
    num_placements(averaging)
    if seeds < 1:
        raise UserError(f"--seeds is {seeds}, not at least 1")
    jax = sys.modules.get("jax")  # a process that has not imported it is alone
    if jax and jax.process_count() > 1:
        raise UserError("compare runs in one process, on all of its devices: start one")


def _data_overrides(data, pixel_scale) -> list[str]:
    given = []
    if data:
        given += ["--config.data.kind=challenge", f"--config.data.dir={data}"]
    if pixel_scale is not None:
        given.append(f"--config.data.pixel_scale={pixel_scale}")
    return given


def _machine() -> dict:
    import jax

    return {
        "device": jax.devices()[0].device_kind,
        "devices": jax.device_count(),
        "cpus": os.cpu_count(),
        "jax": jax.__version__,
        "date": datetime.date.today().isoformat(),
    }


def _run_all(runs, comparison, averaging) -> int:
    import jax

    checked, failures = False, 0
    for number, (system, seed, workdir) in enumerate(runs, 1):
        here = f"[{number}/{len(runs)}] {system.name}, seed {seed}"
        config = system.config_of(seed)
        if comparison.is_finished(system.name, seed) and all(
            is_evaluated(workdir, name, config.num_train_steps)
            for name in (NO_AVERAGING, averaging)
        ):
            say(f"{here}: finished before")
            continue
        if not checked:  # here, so that bad images are not taken for a bad system
            check_images(system)
            comparison.write()  # from now on this folder is of this budget
            checked = True
        say(f"{here}: {config.num_train_steps:,} steps")
        try:
            result = _run(config, workdir, averaging)
        except (UserError, jax.errors.JaxRuntimeError) as error:
            why = str(error).strip().partition("\n")[0]
            result = {"failed": why or type(error).__name__}
            failures += 1
            say(f"{here}: failed: {error}")
        except (SystemExit, KeyboardInterrupt):
            say(f"{here}: interrupted; run the same command again to resume")
            raise
        else:
            say(f"{here}: RMSE {result['rmse']['value']:.5f}")
        comparison.set_run(system.name, seed, workdir, result)
        jax.clear_caches()  # the programs of one network are of no use to the next
        gc.collect()
    return failures


def _run(config, workdir: Path, averaging: str) -> dict:
    data = config.data.dir if config.data.kind == "challenge" else ""
    scale = config.data.pixel_scale
    # The tables of single runs would bury the one that is asked for.
    with contextlib.redirect_stdout(io.StringIO()):
        if not is_evaluated(workdir, NO_AVERAGING, config.num_train_steps):
            train_and_evaluate(config, workdir)
        if not is_evaluated(workdir, averaging, config.num_train_steps):
            say(f"{workdir}: evaluating with {averaging}")
            evaluate(workdir, data=data, pixel_scale=scale, averaging=averaging)
    return run_scores(workdir, averaging)
