"""Keeps ``comparison.json`` and ``comparison.md``: the scores of all systems so far."""

import json
from pathlib import Path

from gzjax.data.ledger import check_same
from gzjax.evaluation.compare.scores import summary
from gzjax.evaluation.compare.table import markdown
from gzjax.files import read_json, write_json, write_text

JSON, MARKDOWN = "comparison.json", "comparison.md"
_CONDITIONS = ("budget", "data", "split", "tree")


class Comparison:
    """The two files of one output folder; both are rewritten at every change.

    A comparison that ``output`` holds is continued.

    Attributes:
        content: what the JSON file holds: the conditions (``budget``, ``data``,
            ``split``, ``tree``), ``source`` (the name of the data), ``machine`` (of the
            last command: ``device``, ``devices``, ``cpus``, ``jax`` and ``date``),
            ``training_mean`` (its RMSE), and ``systems``: for each ``name``,
            ``config``, ``parameters``, ``runs``, one for each seed, and their
            ``summary`` (:func:`gzjax.evaluation.compare.scores.summary`). A run has
            ``seed``, ``workdir`` and ``machine``, and either its scores or ``failed``,
            why.

    Raises:
        UserError: the comparison there is broken, or has other conditions: names them.
    """

    def __init__(self, output: Path, conditions: dict, source: str, machine: dict):
        self._output = output
        self.content = {"training_mean": None, "systems": []}
        path = output / JSON
        if path.exists():
            again = "move it away, and run the same command again to make it anew"
            self.content = read_json(path, again, _parse)
            there = {key: self.content[key] for key in _CONDITIONS}
            what_to_do = "Give another --output, or the same budget, data and split."
            check_same(there, conditions, path, what_to_do)
        now = json.loads(json.dumps(conditions))
        self.content |= now | {"source": source, "machine": machine}

    def add_system(self, name: str, config: str, parameters: int) -> None:
        """Adds a system, unless it is there."""
        if self._find(name) is None:
            system = {"name": name, "config": config, "parameters": parameters}
            self.content["systems"].append(system | {"runs": [], "summary": {}})

    def is_finished(self, name: str, seed: int) -> bool:
        """Returns whether this run has its scores; one that failed has none."""
        return any(
            run["seed"] == seed and "failed" not in run
            for run in self._find(name)["runs"]
        )

    def set_run(self, name: str, seed: int, workdir: Path, result: dict) -> None:
        """Writes what a run scored (``run_scores``), or ``{"failed": why}``."""
        system = self._find(name)
        run = {"seed": seed, "workdir": str(workdir)} | result
        run["machine"] = self.content["machine"]
        if "training_mean" in run:  # the same for all: same data, same split
            self.content["training_mean"] = run.pop("training_mean")
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


def _parse(content: dict) -> dict:
    if missing := {*_CONDITIONS, "training_mean", "systems"} - content.keys():
        raise ValueError(f"it has no {', '.join(sorted(missing))}")
    return content
