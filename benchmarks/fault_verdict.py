"""What must be true after a fault: the same command ends as if nothing had happened."""

import dataclasses
import re
from collections.abc import Callable

from fault_injection import (
    FINISHED,
    RESUMED,
    STEPS,
    Trial,
    finish,
    half_written,
    results,
    tree_digest,
)

# The same command, run again, ends as if nothing had happened:
EXACT = "bit-exact"
MESSAGE = "message"  # likewise, once what a message asked for was done
REFUSED = 2  # the exit code with a message
MAX_MESSAGES = 3


@dataclasses.dataclass
class Verdict:
    """What came of a fault.

    Attributes:
        kind: of the fault.
        seed: of the trial.
        what: the fault, in words.
        code: with which the disturbed training ended.
        outcome: EXACT or MESSAGE.
        problems: what must not be, in words; none if all is well.
        orphans: how many processes outlived their trainer.
    """

    kind: str
    seed: str
    what: str
    code: int | None
    outcome: str
    problems: list[str]
    orphans: int


def judge(trial: Trial, fault: Callable, seed: str) -> Verdict:
    """Lets ``fault`` disturb a trial, runs the same command again, and compares."""
    disturbed = fault(trial)
    problems = unclear(disturbed.code, disturbed.output)
    orphans = len(trial.orphans())
    outcome = MESSAGE if disturbed.code == REFUSED else EXACT
    damaged = set(disturbed.damaged)
    environment = disturbed.environment
    for _ in range(1 + MAX_MESSAGES):
        intact = max(trial.checkpoints.keys() - damaged, default=None)
        code, output = finish(trial.start(**environment))
        problems += unclear(code, output)
        if code == 0:
            break
        outcome = MESSAGE
        disturbed.mend()
    disturbed.mend()
    orphans += len(trial.orphans())
    if code != 0:
        problems.append(f"lost: exit code {code}: {output[-2000:]}")
    else:
        # Damage may be of no consequence, as in a mark that nobody reads.
        if not any(_found(step, output) for step in (intact, *damaged)):
            problems.append(f"lost: step {intact} was intact, and not found: {output}")
        problems += _differing(trial)
    return Verdict(
        fault.__name__, seed, disturbed.what, disturbed.code, outcome, problems, orphans
    )


def unclear(code: int | None, output: str) -> list[str]:
    """What is wrong with how a training ended, whatever the reason."""
    found = []
    if code is None:
        found.append(f"hangs: {output[-2000:]}")
    if re.search(r"Traceback|^\w*Error\b", output, re.MULTILINE):
        found.append(f"unclear: {output[-3000:]}")
    if code == REFUSED and not re.search(r"^gzjax: .", output, re.MULTILINE):
        found.append(f"unclear: exit code {code} without a message: {output[-2000:]}")
    if code is not None and code > 0 and code not in (REFUSED, 130, 143):
        found.append(f"unclear: exit code {code}: {output[-2000:]}")
    return found


def _found(newest: int | None, output: str) -> bool:
    """Whether the training went on from the newest checkpoint that was intact."""
    match = re.search(rf"{RESUMED} (\d+)", output)
    if FINISHED in output and newest == STEPS:
        return True
    return (int(match[1]) if match else None) == newest


def _differing(trial: Trial) -> list[str]:
    problems = []
    expected = trial.ground.expected
    try:
        found = results(trial.workdir, trial.ground.template)
    except Exception as error:  # a checkpoint or file that cannot be read, in any way
        return [f"lost: {error!r}"]
    differing = [k for k in expected if found.get(k) != expected[k]]
    if differing:
        problems.append(f"diverged: {', '.join(differing)}")
    if torn := half_written(trial.workdir):
        problems.append(f"half-written: {', '.join(torn)}")
    if tree_digest(trial.data) != trial.ground.data:
        problems.append("the galaxies have changed")
    return problems
