"""The JSON file of ``gpu.py``: what was measured, and what was not and why."""

import json
from pathlib import Path

from gzjax.errors import UserError
from gzjax.files import read_json, write_text


class Results:
    """What is known of each part, in a file that is written at every change.

    A part's entry has ``seconds`` and one of ``result``, ``failed`` and ``left_out``
    (the reason). ``running`` is the part under way.

    Args:
        path: of the file; it may be missing.
    """

    def __init__(self, path: Path):
        self.path = path
        self.data = {"plan": [], "parts": {}, "running": None}
        self.read()

    def read(self) -> None:
        """Takes what the file holds, if there is one."""
        if self.path.exists():
            found = read_json(self.path, "give another --output")
            if not isinstance(found, dict) or found.keys().isdisjoint(self.data):
                raise UserError(f"{self.path} is not of gpu.py: give another --output")
            self.data |= found

    @property
    def plan(self) -> list[str]:
        """The names of all parts, in order."""
        return self.data["plan"]

    @property
    def running(self) -> str | None:
        return self.data["running"]

    def of(self, name: str) -> dict:
        """Returns the entry of a part, empty before it was tried."""
        return self.data["parts"].get(name, {})

    def result(self, name: str) -> dict | None:
        """Returns what a part measured, or None."""
        return self.of(name).get("result")

    def forget_failures(self) -> None:
        """Keeps only what was measured, so that the rest is tried again."""
        kept = {k: v for k, v in self.data["parts"].items() if "result" in v}
        self._set(parts=kept, running=None)

    def describe(self, description: dict, plan: list[str]) -> str | None:
        """Notes the machine and the plan; returns how the file's differ, or None."""
        for key, value in description.items():
            old = self.data.get(key, value)
            if old != value:
                return f"{self.path} holds figures with {key} {old}, not {value}"
        self._set(plan=plan, **description)
        return None

    def begin(self, name: str) -> None:
        """Notes that a part is under way."""
        self._set(running=name)

    def end(self, name: str, seconds: float, **outcome) -> None:
        """Notes how a part ended."""
        entry = {"seconds": round(seconds, 1), **outcome}
        self._set(parts=self.data["parts"] | {name: entry}, running=None)

    def why_left_out(self, name: str, guess: float, left: float) -> str | None:
        """Returns why a part should not begin with ``left`` seconds, or None.

        It may take as long as the longest of its kind (the first word of its name), or
        the guess where none was measured.
        """
        kind = name.split()[0]
        took = [
            entry["seconds"]
            for other, entry in self.data["parts"].items()
            if other.split()[0] == kind and "result" in entry
        ]
        expected = max(took, default=guess)
        if expected <= left:
            return None
        return f"takes about {expected:.0f} s, {max(0, left):.0f} s were left"

    def _set(self, **changes) -> None:
        self.data |= changes
        # Not write_json: a check may find NaN.
        write_text(self.path, json.dumps(self.data, indent=2) + "\n")
