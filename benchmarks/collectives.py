"""What a compiled program sends between devices: kind, bytes and how often per run."""

import dataclasses
import math
import re
from collections.abc import Iterator

KINDS = (
    "all-reduce",
    "all-gather",
    "reduce-scatter",
    "all-to-all",
    "ragged-all-to-all",
    "collective-permute",
    "collective-broadcast",
)

_COMPUTATION = re.compile(r"^(ENTRY )?%?([\w.\-]+) .*\{$")
_INSTRUCTION = re.compile(r"^ +(?:ROOT )?%?[\w.\-]+ = (.*?) ([a-z][a-z\-]*)\(")
_CALLED = re.compile(r"(?:body|to_apply|calls|\w+_computation)=%?([\w.\-]+)")
_BRANCHES = re.compile(r"branch_computations=\{([^}]*)\}")
_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"\}')
_ARRAY = re.compile(r"\b(pred|[a-z]+(\d+)\w*)\[([\d,]*)\]")


@dataclasses.dataclass(frozen=True)
class Collective:
    """One instruction.

    Attributes:
        kind: one of ``KINDS``.
        num_bytes: of its result on one device.
        times: in one run of the program; more than 1 in a loop.
    """

    kind: str
    num_bytes: int
    times: int


def find_collectives(hlo: str) -> list[Collective]:
    """All collectives of a compiled program, in the order of its text.

    Args:
        hlo: ``compiled.as_text()``.

    Raises:
        ValueError: a loop that has some runs for a number of times that it does not
            say.
    """
    computations, entry = _computations(hlo)

    def within(name: str) -> Iterator[Collective]:
        for line in computations.get(name, ()):
            found = _INSTRUCTION.match(line)
            if not found:
                continue
            result, operation = found.groups()
            kind = operation.removesuffix("-start")
            if kind in KINDS:
                yield Collective(kind, _num_bytes(result), 1)
                continue  # what it applies is an addition
            inner = [c for called in _called(line) for c in within(called)]
            times = _trips(line) if inner and operation == "while" else 1
            for c in inner:
                yield dataclasses.replace(c, times=c.times * times)

    return list(within(entry))


def _computations(hlo: str) -> tuple[dict[str, list[str]], str]:
    """Lines by computation, and which is run."""
    computations: dict[str, list[str]] = {}
    entry = lines = None
    for line in hlo.splitlines():
        head = _COMPUTATION.match(line)
        if head:
            lines = computations.setdefault(head[2], [])
            entry = head[2] if head[1] else entry
        elif lines is not None:
            lines.append(line)
    if entry is None:
        raise ValueError("this is no text of a compiled program: it has no ENTRY")
    return computations, entry


def _called(line: str) -> list[str]:
    branches = _BRANCHES.search(line)
    names = branches[1].replace("%", "").split(", ") if branches else []
    return [*_CALLED.findall(line), *names]


def _trips(line: str) -> int:
    trips = _TRIPS.search(line)
    if not trips:
        raise ValueError(f"a loop with collectives of unknown length: {line:.200}")
    return int(trips[1])


def _num_bytes(shapes: str) -> int:
    return sum(
        math.prod(map(int, filter(None, sizes.split(",")))) * int(bits or 8) // 8
        for _, bits, sizes in _ARRAY.findall(shapes)
    )
