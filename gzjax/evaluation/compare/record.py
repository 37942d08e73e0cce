"""``comparison.json`` and ``comparison.md``: what compared systems scored so far."""

import json
from pathlib import Path

from gzjax.errors import READ_ERRORS, UserError, reason
from gzjax.evaluation.compare.scores import summary
from gzjax.evaluation.compare.table import markdown
from gzjax.files import read_text, write_json, write_text

JSON, MARKDOWN = "comparison.json", "comparison.md"
_CONDITIONS = ("budget", "data", "split", "tree")


class Comparison:
    """The two files of one output folder; both are rewritten at every change.

    Attributes:
        content: what the JSON file holds: the conditions (``budget``, ``data``,
            ``split``, ``tree``), ``source`` (the name of the data), ``machine`` (of the
            last command: ``device``, ``devices``, ``cpus``, ``jax`` and ``date``),
            ``training_mean`` (its RMSE), and ``systems``: for each ``name``,
            ``config``, ``parameters``, ``runs``, one for each seed, and their
            ``summary`` (:func:`gzjax.evaluation.compare.scores.summary`). A run has
            ``seed``, ``workdir`` and ``machine``, and either its scores or ``failed``,
            why.

    Args:
        output: the folder; it may hold a comparison, which then goes on.
        conditions: ``budget``, ``data``, ``split`` and ``tree``.
        source: the name of the data.
        machine: of this command.

    Raises:
        UserError: the comparison there is broken, or has other conditions: names them.
    """

    def __init__(self, output: Path, conditions: dict, source: str, machine: dict):
        self._output = output
        now = json.loads(json.dumps(conditions))
        self.content = {"training_mean": None, "systems": []}
        path = output / JSON
        if path.exists():
            self.content = _read(path)
            _check_same({k: self.content[k] for k in _CONDITIONS}, now, path)
        self.content |= now | {"source": source, "machine": machine}

    def add_system(self, name: str, config: str, parameters: int) -> None:
        """A row; nothing changes if it is there."""
        if self._find(name) is None:
            self.content["systems"].append(
                {"name": name, "config": config, "parameters": parameters,
                 "runs": [], "summary": {}}
            )  # fmt: skip

    def is_finished(self, name: str, seed: int) -> bool:
        """Whether this run has its scores; one that failed has none."""
        return any(
            run["seed"] == seed and "failed" not in run
            for run in self._find(name)["runs"]
        )

    def set_run(self, name: str, seed: int, workdir: Path, result: dict) -> None:
        """Writes what a run scored, or ``{"failed": why}``, instead of what was there.

        Args:
            name: of the system.
            seed: of the run.
            workdir: of the run.
            result: of :func:`gzjax.evaluation.compare.scores.run_scores`.
        """
        system = self._find(name)
        result = dict(result)
        mean = result.pop("training_mean", None)
        if mean is not None:  # the same for all: same data, same split
            self.content["training_mean"] = mean
        run = {"seed": seed, "workdir": str(workdir),
               "machine": self.content["machine"], **result}  # fmt: skip
        others = [r for r in system["runs"] if r["seed"] != seed]
        system["runs"] = sorted([*others, run], key=lambda r: r["seed"])
        system["summary"] = summary([r for r in system["runs"] if "failed" not in r])
        self.write()

    def write(self) -> None:
        """Writes both files, whole."""
        self._output.mkdir(parents=True, exist_ok=True)
        write_json(self._output / JSON, self.content)
        write_text(self._output / MARKDOWN, markdown(self.content))

    def _find(self, name) -> dict | None:
        return next((s for s in self.content["systems"] if s["name"] == name), None)


def differences(before: dict, now: dict, prefix: str = "") -> list[str]:
    """A line for each value that differs between two trees: key, before, now."""
    lines = []
    for key in sorted(before.keys() | now.keys()):
        a, b = before.get(key, "absent"), now.get(key, "absent")
        if isinstance(a, dict) and isinstance(b, dict):
            lines += differences(a, b, f"{prefix}{key}.")
        elif a != b:
            lines.append(f"  {prefix}{key}: {a!r} there, {b!r} here")
    return lines


def _read(path) -> dict:
    try:
        content = json.loads(read_text(path))
        missing = {*_CONDITIONS, "training_mean", "systems"} - content.keys()
        if missing:
            raise ValueError(f"it has no {', '.join(sorted(missing))}")
        return content
    except (*READ_ERRORS, AttributeError) as error:
        raise UserError(
            f"{path} cannot be read: {reason(error)}; move it away, and the same "
            "command makes it again from the runs beside it"
        ) from error


def _check_same(before, now, path) -> None:
    differing = differences(before, now)
    if differing:
        raise UserError(
            f"{path} compares under other conditions:\n"
            + "\n".join(differing)
            + "\nGive another --output, or the same budget, data and split."
        )
