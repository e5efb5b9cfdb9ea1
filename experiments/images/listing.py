"""``python -m experiments.images presets``: list the presets, or show all settings of some of them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from textwrap import fill

from tyro.conf import Positional

from experiments.framework.command_line import called, parse
from experiments.framework.endings import FINISHED, WRONG_OPTION
from experiments.framework.printing import closed_pipes_are_no_errors
from experiments.framework.tables import aligned
from experiments.images import preset_page, presets
from odegan import ArgumentError

COLUMNS = ("data", "networks", "loss", "solver", "step size", "penalty", "batch", "steps")


@dataclass
class Listing:
    """Which presets to show in full."""

    names: Positional[tuple[str, ...]] = ()
    """Presets to show in full; by default a table of all."""


def main(arguments: Sequence[str]) -> int:
    """Print, and return the exit code."""
    program = f"{called('experiments.images')} presets"
    try:
        chosen = parse(Listing, program, __doc__ or "", arguments)
        with closed_pipes_are_no_errors():
            print("\n\n".join(map(in_full, chosen.names)) if chosen.names else overview())
    except ArgumentError as error:
        print(f"{program}: {error}", file=sys.stderr)
        return WRONG_OPTION
    return FINISHED


def overview() -> str:
    """All presets, one a line."""
    cells = {name: preset_page.cells(preset) for name, preset in presets.PRESETS.items()}
    return aligned([{"preset": name} | {column: row[column] for column in COLUMNS} for name, row in cells.items()])


def in_full(name: str) -> str:
    """All settings of a preset.

    >>> print(in_full("digits").splitlines()[0])
    digits
    """
    said = asdict(presets.get(name))
    remarks = fill(said.pop("remarks"), 100, initial_indent="  ", subsequent_indent="  ")
    return "\n".join([name, *(f"  {key} = {value!r}" for key, value in said.items()), remarks])
