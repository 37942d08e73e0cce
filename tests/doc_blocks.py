"""The code blocks of a page of docs/, to be run."""

import re
from pathlib import Path
from typing import NamedTuple

DOCS = Path(__file__).parent.parent / "docs"
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """What stands between the fences: ``language`` is "python", "sh", ..."""

    language: str
    code: str


def blocks_of(page):
    """Of ``docs/PAGE``, in order."""
    text = (DOCS / page).read_text(encoding="utf-8")
    return [Block(*match) for match in _BLOCK.findall(text)]
