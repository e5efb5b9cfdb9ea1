"""Rows of a summary as text, and as Markdown."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

Value = object  # a number, a text, None, or a mean and a standard deviation (a pair or a dict)


def cell(value: Value) -> str:
    """Format a cell: numbers to four significant digits, mean ± standard deviation, or - without a number.

    >>> cell(0.123456), cell((6.75, 1.92)), cell({"mean": 15.0, "deviation": 1.0}), cell(None)
    ('0.1235', '6.75 ± 1.9', '15 ± 1', '-')
    """
    if isinstance(value, Mapping):
        value = (value["mean"], value["deviation"])
    if isinstance(value, tuple | list):
        return "-" if None in value or math.isnan(value[0]) else f"{value[0]:.3g} ± {value[1]:.2g}"
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def aligned(rows: Sequence[Mapping[str, Value]]) -> str:
    """The rows in aligned columns, with numbers flush right."""
    lines = _cells(rows)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    right = [all(isinstance(row[key], int | float | tuple | None) for row in rows) for key in rows[0]]
    return "\n".join(
        "  ".join(
            text.rjust(w) if r else text.ljust(w) for text, w, r in zip(line, widths, right, strict=True)
        ).rstrip()
        for line in lines
    )


def markdown(rows: Sequence[Mapping[str, Value]]) -> str:
    """The rows as a Markdown table."""
    return of_cells(_cells(rows))


def of_cells(rows: Sequence[Sequence[str]]) -> str:
    """Cells as a Markdown table; the first row is the header."""
    marked = [rows[0], ["---"] * len(rows[0]), *rows[1:]]
    return "\n".join("| " + " | ".join(text.replace("|", r"\|") for text in line) + " |" for line in marked)


def _cells(rows: Sequence[Mapping[str, Value]]) -> list[list[str]]:
    return [list(rows[0]), *([cell(row[key]) for key in rows[0]] for row in rows)]
