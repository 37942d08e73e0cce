"""Makes the state that a training, or a phase of it, starts with."""

import jax
import jax.numpy as jnp

from gzjax.errors import UserError
from gzjax.progress import say
from gzjax.steps.mesh import of_first
from gzjax.steps.optim import rate_factor
from gzjax.steps.state import TrainState
from gzjax.training.identity import check_same_run
from gzjax.training.weights.initialise import initialise


def check_starts(experiment) -> None:
    """Raises a UserError if a phase needs a best state, and none can be measured."""
    for phase in experiment.programs.phases[1:]:
        if phase.config.start_from == "best" and not len(experiment.splits["valid"]):
            raise UserError(
                f"config.phases.{phase.name}.start_from is 'best', and there are no "
                "galaxies to validate on: give 'last', or a config.split with some"
            )


def fresh_state(experiment) -> TrainState:
    """Returns the state of step 0, with the weights that ``config.init_from`` names."""
    config, programs = experiment.config, experiment.programs
    state = programs.make_state()
    if not config.init_from:
        return state
    state, lines = initialise(
        state, programs.model, config.init_from, config.init_keep_head
    )
    say("\n".join(lines))
    return state


def first_state(experiment, run, checkpoints, workdir, fresh) -> TrainState:
    """Returns the newest state that was saved, or else a fresh one.

    Raises:
        UserError: the checkpoints are those of another run than ``run`` describes.
    """
    newest = of_first(checkpoints.newest_step)
    if newest is None:
        return fresh_state(experiment) if fresh is None else fresh
    before = checkpoints.read_description(newest)
    check_same_run(before, run, workdir)
    say(f"{workdir}: resuming from step {newest}")
    planned, config = before["config"]["num_train_steps"], experiment.config
    now, moves = config.num_train_steps, config.schedule.kind != "constant"
    if planned != now and moves and not config.phases:
        say(
            f"note: planned for {planned} steps, now {now}: the schedule is another one"
        )
    return checkpoints.restore(newest, experiment.programs.abstract_state(newest))


def enter(experiment, phase, state, checkpoints) -> TrainState:
    """Returns the state that a phase begins with, or resumes with."""
    index = experiment.programs.phases.index(phase)
    if not phase.name or state.step > phase.start:
        return state
    config = phase.config
    rate = config.learning_rate * rate_factor(config)
    recipe = f"loss {config.loss}, learning rate {rate:g}"
    if not index:
        say(f"phase {phase.name}: {phase.stop} steps, {recipe}")
        return state
    programs, step = experiment.programs, phase.start
    before = programs.phases[index - 1]
    if config.start_from == "best":
        checkpoints.wait()
        step = of_first(checkpoints.best_step(before.start, before.stop))
        lost = checkpoints.lost_best_of(before.start, before.stop)
        if of_first(lost is not None):
            raise UserError(
                f"{lost or 'a checkpoint'} is damaged, and may be the best of "
                f"{before.name}, from which {phase.name} is to start\nWhat to do: "
                f"delete that folder, to start from step {step}; or train in another "
                "--workdir"
            )
        state = checkpoints.restore(step, programs.abstract_state(step))
        if state.ema_params is not None:  # it is they that were the best
            params = jax.tree.map(jnp.copy, state.ema_params)
            state = state.replace(params=params)
    say(
        f"phase {phase.name}: steps {phase.start + 1} to {phase.stop}, {recipe}, from "
        f"step {step}, the {config.start_from} of {before.name}; the optimiser starts "
        "anew"
    )
    return programs.enter(phase, state)
