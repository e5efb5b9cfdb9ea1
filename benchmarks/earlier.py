"""What earlier commands measured: rows that a later command leaves out stay, below the command that made them."""

from __future__ import annotations

import json
import shlex
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.rows import ROWS


class Earlier(NamedTuple):
    """verdicts, measurements: the lines of the rows that stay; commands: those that made them, one a line."""

    verdicts: list[dict[str, Any]]
    measurements: list[dict[str, Any]]
    commands: list[str]


def earlier(docs: Path, again: Collection[str]) -> Earlier:
    """The results in a folder without the rows that are measured again."""
    path = docs / "results" / "speed.json"
    if not path.exists():
        return Earlier([], [], [])
    found = json.loads(path.read_text())
    verdicts, measurements = ([line for line in table["rows"] if line["row"] not in again] for table in found["tables"])
    return Earlier(verdicts, measurements, list(_without(found["command"].splitlines(), again)))


def _without(commands: list[str], again: Collection[str]) -> Iterator[str]:
    """The commands without these rows; one that measured no other is left out."""
    for line in commands:
        command, mark, comment = line.partition("  # ")
        words = shlex.split(command)
        named = [word for word in words if word in ROWS] or list(ROWS)
        left = [row for row in named if row not in again]
        options = [word for word in words[3:] if word not in ROWS]
        if left:
            yield shlex.join([*words[:3], *left, *options]) + mark + comment


def in_order(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Lines in the order of the table of rows."""
    order: Mapping[str, int] = {name: i for i, name in enumerate(ROWS)}
    return sorted(lines, key=lambda line: order[line["row"]])
