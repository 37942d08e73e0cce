"""Trains a config into a run folder; may be interrupted at any time."""

import contextlib
import itertools
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from gzjax.data.pipeline import train_batches
from gzjax.errors import UserError
from gzjax.files import clear_asides, write_json
from gzjax.metrics import baseline
from gzjax.progress import Progress, say
from gzjax.steps.mesh import of_first, to_devices
from gzjax.steps.optim import rate_factor, restart_momentum
from gzjax.steps.state import TrainState
from gzjax.training import run_files as layout
from gzjax.training.agreement import check_same_training, check_shared
from gzjax.training.checkpoint.checkpoints import Checkpoints
from gzjax.training.experiment import Experiment
from gzjax.training.identity import describe_run
from gzjax.training.load_config import check_paths
from gzjax.training.open_run import TrainedRun
from gzjax.training.start import check_starts, enter, first_state, fresh_state
from gzjax.training.stop_signals import StopSignals
from gzjax.training.writers import MetricWriter, StepProfile
from gzjax.trees.tree_file import find_tree

MAX_AHEAD = 3  # steps queued on the device, which never waits for the host


def train(config, workdir: str | Path, profile: str | Path | None = None) -> TrainedRun:
    """Trains or resumes a config in a run folder, and returns it with its final state.

    The state after step n is a function of the config and the data alone: an
    interrupted and resumed run ends bit for bit where an undisturbed one does.

    Args:
        workdir: made if missing; see :mod:`gzjax.training.run_files`.
        profile: the folder for a trace of a few steps
            (:class:`gzjax.training.writers.StepProfile`); "" for one in ``workdir``.

    Raises:
        UserError: the config or the data are wrong, the folder holds another run, or
            the loss is no longer finite.
        SystemExit: stopped by SIGTERM or Ctrl-C, after saving.
    """
    workdir = Path(workdir)
    check_paths(config, workdir)
    experiment = Experiment(config, find_tree(config.tree), to_train=True)
    check_starts(experiment)
    run = describe_run(experiment)
    check_same_training(run)
    folder = workdir / layout.CHECKPOINTS
    # Before anything is written: weights to start from may not fit.
    fresh = None if of_first(folder.is_dir()) else fresh_state(experiment)
    stops = [phase.stop for phase in experiment.programs.phases]
    check_shared(workdir)
    clear_asides(workdir)
    with Checkpoints(
        folder, config.keep_newest, config.keep_best, stops
    ) as checkpoints:
        state = first_state(experiment, run, checkpoints, workdir, fresh)
        _introduce(experiment, run, state)
        if state.step >= stops[-1]:
            say(f"{workdir} is trained for {state.step} steps: nothing left to train")
        else:
            lead = experiment.leads
            if lead:
                write_json(workdir / layout.CONFIG, run["config"])
            traces = None
            if lead and profile is not None:
                traces = Path(profile or workdir / layout.PROFILE)
            with (
                MetricWriter(workdir, int(state.step), lead, run["config"]) as writer,
                StepProfile(traces, int(state.step), stops[-1]) as tracer,
            ):
                for phase in experiment.programs.phases:
                    if state.step < phase.stop:
                        state = enter(experiment, phase, state, checkpoints)
                        state = _loop(
                            experiment, run, phase, state, checkpoints, writer, tracer
                        )
    return TrainedRun(workdir, experiment, state, int(state.step), run)


def _loop(experiment, run, phase, state, checkpoints, writer, tracer):
    config, steps = phase.config, phase.stop
    start = int(state.step)
    batches = train_batches(
        experiment.source,
        experiment.splits["train"],
        config,
        start_step=start - phase.start,
        process_index=jax.process_index(),
        num_processes=jax.process_count(),
    )
    losses: list[jax.Array] = []  # since the last report
    since, valid_rmse, text = time.monotonic(), None, ""
    with (
        contextlib.closing(batches),
        StopSignals() as stop,
        Progress("training", steps, start, before="starting") as progress,
    ):
        feed = to_devices(batches, experiment.mesh)
        for step, batch in zip(itertools.count(start + 1), feed, strict=False):
            with tracer.before(step):
                state, loss = experiment.programs.train_step(step - 1)(state, batch)
            tracer.after(step, loss)
            losses.append(loss)
            if len(losses) > MAX_AHEAD:  # else a signal waits for all that is queued
                losses[-1 - MAX_AHEAD].block_until_ready()
            if phase.head(step) != phase.head(step - 1):
                state = _restart_momentum(state)

            stopping = stop.requested(step)
            evaluating = step % config.eval_every_steps == 0 or step == steps
            # What was evaluated is saved, so that it can be among the best.
            saving = evaluating or stopping or step % config.checkpoint_every_steps == 0
            if saving or step % config.log_every_steps == 0:
                mean_loss = _mean_of_finite(losses, step, checkpoints)
                seconds = max(time.monotonic() - since, 1e-9)
                rate = len(losses) * config.batch_size / seconds
                losses.clear()
                writer.write(step, {"train/loss": mean_loss, "img_per_sec": rate})
                text = _summary(mean_loss, valid_rmse, rate)
                since = time.monotonic()
            progress.update(step, text)
            if not saving:
                continue
            _check_finite(state, step, checkpoints)
            measured = None
            if evaluating and len(experiment.splits["valid"]):
                measured = valid_rmse = experiment.valid_rmse(state, step)
                writer.write(step, {"valid/rmse": valid_rmse})
                text = _summary(mean_loss, valid_rmse, rate)
                since = time.monotonic()
            checkpoints.save(step, state, run, measured)
            if stopping and step < experiment.programs.phases[-1].stop:
                checkpoints.wait()
                say(f"stopped; step {step} is saved. Run the same command to resume")
                raise SystemExit(stop.exit_code)
    done = f"phase {phase.name} is done" if phase.name else "trained"
    say(f"{done}, {steps} steps: {text}")
    return state


def _introduce(experiment, run, state):
    splits, mesh = experiment.splits, experiment.mesh
    steps = experiment.programs.phases[-1].stop
    sizes = ", ".join(f"{name} {len(indices)}" for name, indices in splits.items())
    count = sum(p.size for p in jax.tree.leaves(state.params))
    devices = f"{mesh.size} x {mesh.devices.flat[0].device_kind}"
    say(f"galaxies: {sizes}; parameters: {count:,}; devices: {devices}")
    if experiment.programs.head(steps) == "clip":
        say(
            f"note: all {steps} steps belong to the head's warm-up "
            f"(config.head_warmup_steps): the answers to a question will not add up"
        )
    factor = rate_factor(experiment.config)
    if factor != 1:
        say(
            f"note: learning rates are {factor:g} times the config's, for batches of "
            f"{experiment.config.batch_size} (config.reference_batch_size); warm-up: "
            f"{experiment.config.schedule.warmup_steps} steps "
            "(config.schedule.warmup_steps)"
        )
    unlabelled = experiment.source.num_unlabelled
    if unlabelled:
        say(f"note: {unlabelled} images have no row in the labels and are left out")
    if len(splits["valid"]):
        targets = experiment.source.targets[splits["valid"]]
        score = baseline(run["train_mean"], targets)
        say(f"valid RMSE of always answering the training mean: {score:.5f}")


@jax.jit
def _restart_momentum(state: TrainState) -> TrainState:
    return state.replace(opt_state=restart_momentum(state.opt_state))


@jax.jit
def _all_finite(tree) -> jax.Array:
    return jnp.stack([jnp.isfinite(x).all() for x in jax.tree.leaves(tree)]).all()


def _mean_of_finite(losses, step, checkpoints) -> float:
    values = np.array(jax.device_get(losses))
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        _stop_not_finite(step - len(values) + 1 + int(bad[0]), checkpoints)
    return float(values.mean())


def _check_finite(state, step, checkpoints):
    # A finite loss may still have given an infinite update: never save that.
    if not _all_finite((state.params, state.batch_stats)):
        _stop_not_finite(step, checkpoints)


def _stop_not_finite(step, checkpoints):
    checkpoints.wait()
    kept = checkpoints.newest_step
    left = "no checkpoint was saved yet" if kept is None else f"step {kept} is kept"
    raise UserError(
        f"the loss or the parameters are not finite at step {step}; {left}. "
        "A smaller config.learning_rate usually helps"
    )


def _summary(loss: float, valid_rmse: float | None, rate: float) -> str:
    valid = "" if valid_rmse is None else f"  valid RMSE {valid_rmse:.5f}"
    return f"loss {loss:.5f}{valid}  {rate:.0f} img/s"
