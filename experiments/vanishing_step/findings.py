"""The finding of each part of the experiment: a panel of a figure, and rows of the table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from experiments.framework.folder import Row
from experiments.framework.power_laws import Mean
from experiments.vanishing_step.figures import Panel
from odegan import solvers

STEP = "step h"
BATCH = "batch size B"
SUP = "sup distance to the flow"
SQUARE = "mean square deviation"


class Finding(NamedTuple):
    """One panel, and the rows that belong to it."""

    panel: Panel
    rows: list[Row]


def row(game: str, what: str, method: str, theory: float, measured: Mean, over: Sequence[float]) -> Row:
    """One line of the table."""
    return {
        "game": game,
        "what": what,
        "method": method,
        "theory": theory,
        "measured": measured.value,
        "standard error": measured.error or None,
        "over": f"{over[0]:.4g} to {over[-1]:.4g}",
    }


def order_of(solver: str) -> int:
    """The order of a solver; every solver here has one."""
    order = solvers.get(solver).order
    assert order is not None
    return order
