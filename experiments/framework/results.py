"""Results of an experiment in the documentation: ``docs/results/NAME.json``, with numbers stored as numbers.

    {"name": ..., "command": ..., "seed": ..., "device": ..., "tables": [{"title", "columns", "units", "rows"}]}

A row maps columns to cells: a number, a text, null if there is no number, or {"mean": m, "deviation": s} over the seeds.
Infinity is the text "inf".
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict, TypeGuard

from experiments.framework.json_files import dump, with_infinities
from experiments.framework.tables import markdown


class Spread(TypedDict):
    """Mean and standard deviation over the seeds."""

    mean: float
    deviation: float


Cell = float | int | str | Spread | None
Row = Mapping[str, Cell]

UNITS: Mapping[str, str] = {
    "seconds": "s",
    "ms": "ms",
    "processor ms": "ms",
    "per second": "1/s",
    "steps a second": "1/s",
    "MB": "MB",
}
SUFFIXES = ("s", "MB", "MiB", "steps")  # units of columns such as "all ended within, s"


def is_spread(cell: object) -> TypeGuard[Spread]:
    """Whether a cell is a mean with a deviation."""
    return isinstance(cell, Mapping) and cell.keys() == {"mean", "deviation"}


def unit(column: str) -> str | None:
    """The unit of a column, None if it has none.

    >>> unit("seconds"), unit("peak memory, MiB"), unit("quality")
    ('s', 'MiB', None)
    """
    suffix = column.rpartition(", ")[2]
    return UNITS.get(column) or (suffix if suffix != column and suffix in SUFFIXES else None)


@dataclass(frozen=True)
class Table:
    """Rows with the same columns."""

    rows: Sequence[Row]
    title: str = ""

    @property
    def columns(self) -> list[str]:
        """Column names from left to right."""
        return list(self.rows[0])

    def markdown(self) -> str:
        """The table in Markdown, below its title."""
        return f"## {self.title}\n\n{markdown(self.rows)}" if self.title else markdown(self.rows)


@dataclass(frozen=True)
class Results:
    """Tables, with the command and settings that made them."""

    name: str
    command: str
    tables: Sequence[Table]
    made_with: Mapping[str, Cell] = field(default_factory=dict)  # seed, seeds, device, versions, machine

    def save(self, path: Path) -> None:
        """Write the results as a JSON file."""
        tables = [
            {
                "title": table.title,
                "columns": table.columns,
                "units": {column: found for column in table.columns if (found := unit(column))},
                "rows": [{column: _stored(cell) for column, cell in row.items()} for row in table.rows],
            }
            for table in self.tables
        ]
        content = {"name": self.name, "command": self.command, **self.made_with, "tables": tables}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dump(with_infinities(content), indent=1) + "\n")


def load(path: Path) -> Results:
    """Read a JSON file that ``Results.save`` wrote."""
    content = json.loads(path.read_text())
    tables = [Table(table["rows"], table["title"]) for table in content.pop("tables")]
    return Results(content.pop("name"), content.pop("command"), tables, content)


def _stored(cell: object) -> object:
    """The cell as stored: a pair (mean, deviation) becomes a dict, or null without a mean."""
    if not isinstance(cell, list | tuple):
        return cell
    mean, deviation = cell
    # mean != mean: nan, which JSON lacks.
    return None if mean is None or mean != mean else {"mean": mean, "deviation": deviation}
