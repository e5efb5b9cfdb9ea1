"""How a run ends: exit codes, Ctrl-C, divergence."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from odegan import Solution

FINISHED = 0
FAILED = 1  # the disk, or another process of the run
WRONG_OPTION = 2
DIVERGED = 3
INTERRUPTED = 130  # the shell's exit code of a program ended by Ctrl-C

_COUNT = re.compile(r"(\d+)(?: of (\d+))?")


class Interrupted(Exception):
    """Ctrl-C ended a solution; what was reached is in its checkpoint."""


class Diverged(Exception):
    """A run turned non-finite. ``rows`` are its summary all the same, which the runner writes before it says so."""

    def __init__(self, message: str, rows: Sequence[Mapping[str, Any]]) -> None:
        super().__init__(message)
        self.rows = rows


def finished(solution: Solution) -> Solution:
    """The solution, unless Ctrl-C ended it: then the experiment ends here, and the runner says how to resume."""
    if solution.status == "interrupted":
        raise Interrupted
    return solution


def diverged(rows: Sequence[Mapping[str, Any]]) -> tuple[str, bool]:
    """What diverged, in one line ("" where nothing did), and whether nothing else is left.

    A summary says so in the column ``diverged``: how many members of a row ended in numbers that are not finite, as "2 of 8"
    or as a number of ``seeds`` (1 where there is no such column).

    >>> diverged([{"solver": "adam", "diverged": "2 of 2"}])
    ('diverged: adam (2 of 2)', True)
    >>> diverged([{"solver": "euler", "seeds": 3, "diverged": 3}, {"solver": "heun2", "seeds": 3, "diverged": 0}])
    ('diverged: euler (3 of 3)', False)
    """
    counts = [_count(row) for row in rows]
    said = [
        f"{next(iter(row.values()))} ({lost} of {members})"
        for row, (lost, members) in zip(rows, counts, strict=True)
        if lost
    ]
    return f"diverged: {', '.join(said)}" if said else "", bool(rows) and all(
        lost >= members for lost, members in counts
    )


def _count(row: Mapping[str, Any]) -> tuple[int, int]:
    """How many members of how many diverged."""
    found = _COUNT.fullmatch(str(row.get("diverged", 0)))
    if found is None:
        return 0, 1
    return int(found[1]), int(found[2] or row.get("seeds", 1))
