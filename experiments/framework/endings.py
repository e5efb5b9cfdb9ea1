"""How a run ends: exit codes, Ctrl-C, divergence."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from odegan import Solution

FINISHED = 0
FAILED = 1  # an I/O error, or the loss of another process
WRONG_OPTION = 2
DIVERGED = 3
INTERRUPTED = 130  # the shell's exit code for a program ended by Ctrl-C

_COUNT = re.compile(r"(\d+)(?: of (\d+))?")


class Interrupted(Exception):
    """Ctrl-C ended a run; its checkpoint holds what was reached."""


class Diverged(Exception):
    """A run turned non-finite. ``rows`` is its summary, which the runner still writes."""

    def __init__(self, message: str, rows: Sequence[Mapping[str, Any]]) -> None:
        super().__init__(message)
        self.rows = rows


def finished(solution: Solution) -> Solution:
    """Return the solution, or raise ``Interrupted`` if Ctrl-C ended it; the runner then says how to resume."""
    if solution.status == "interrupted":
        raise Interrupted
    return solution


def diverged(rows: Sequence[Mapping[str, Any]]) -> tuple[str, bool]:
    """What diverged, in one line ("" if nothing did), and whether everything did.

    The column ``diverged`` of a summary holds the number of members that became non-finite, as "2 of 8" or as a number out of
    ``seeds`` (1 if there is no such column). A row goes by as many of its first cells as tell it from the others.

    >>> diverged([{"solver": "adam", "diverged": "2 of 2"}])
    ('diverged: adam (2 of 2)', True)
    >>> diverged([{"solver": "euler", "seeds": 3, "diverged": 3}, {"solver": "heun2", "seeds": 3, "diverged": 0}])
    ('diverged: euler (3 of 3)', False)
    >>> diverged([{"solver": "euler", "step size": 0.4, "diverged": 1}, {"solver": "euler", "step size": 0.2, "diverged": 0}])
    ('diverged: euler 0.4 (1 of 1)', False)
    """
    counts = [_count(row) for row in rows]
    said = [f"{name} ({lost} of {members})" for name, (lost, members) in zip(_names(rows), counts, strict=True) if lost]
    return f"diverged: {', '.join(said)}" if said else "", bool(rows) and all(
        lost >= members for lost, members in counts
    )


def _names(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The fewest first cells that differ from row to row, joined."""
    cells = [[str(value) for value in row.values()] for row in rows]
    enough = next((n for n in range(1, 5) if len({tuple(row[:n]) for row in cells}) == len(cells)), 1)
    return [" ".join(row[:enough]) for row in cells]


def _count(row: Mapping[str, Any]) -> tuple[int, int]:
    """The number of diverged members, and the number of all members."""
    found = _COUNT.fullmatch(str(row.get("diverged", 0)))
    # A cell such as "-" in a table without that notion: nothing is counted as lost.
    if found is None:
        return 0, 1
    return int(found[1]), int(found[2] or row.get("seeds", 1))
