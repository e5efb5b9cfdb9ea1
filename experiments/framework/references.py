"""Resolve quotes of measured numbers.

A quote is ``RESULTS: ROW -> COLUMN``, optionally ``as FORM``. RESULTS is the name of a file in docs/results. ROW is
the first cells of a row, separated by semicolons; or ``min``, ``max`` or ``sum``, followed by cells, for that of the column
over all rows that begin with these cells. FORM is ``mean`` (without the deviation), ``percent``, a format such as ``.2f``, or
several of these.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from experiments.framework import results
from experiments.framework.results import Cell, Table
from experiments.framework.tables import cell, of_cells

NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?")
OVER_ROWS: Mapping[str, Callable[[list[float]], float]] = {"min": min, "max": max, "sum": sum}
WORDS = ("mean", "percent")


class Missing(ValueError):
    """A quote whose cell does not exist."""


def tables(folder: Path, name: str) -> list[Table]:
    """The tables of some results."""
    path = folder / f"{name}.json"
    if not path.exists():
        raise Missing(f"there is no {path.name} in results")
    return list(results.load(path).tables)


def measured(folder: Path, place: str) -> Cell:
    """The cell ``RESULTS: ROW -> COLUMN``; raises ``Missing`` if it does not exist."""
    name, colon, rest = place.partition(": ")
    row, arrow, column = rest.rpartition(" -> ")
    if not colon or not arrow:
        raise Missing("it must be RESULTS: ROW -> COLUMN")
    found = [table for table in tables(folder, name) if column in table.columns]
    if not found:
        raise Missing(f"{name}.json has no column {column!r}")
    kind, *cells = row.split("; ")
    first = cells if kind in OVER_ROWS else [kind, *cells]
    # By the text that a page shows: a quote names what its reader sees.
    chosen = [line[column] for table in found for line in rows_of(table, first)]
    if kind in OVER_ROWS:
        values = [value for value in map(number, chosen) if value is not None]
        if not values:
            raise Missing(f"{name}.json has no numbers there")
        return float(OVER_ROWS[kind](values))
    if len(chosen) != 1:
        raise Missing(f"{name}.json has {len(chosen)} rows that begin with {row!r}")
    return chosen[0]


def rows_of(table: Table, first: list[str]) -> list[results.Row]:
    """The rows that begin with these cells."""
    return [row for row in table.rows if [cell(one) for one in list(row.values())[: len(first)]] == first]


def number(of: Cell) -> float | None:
    """The number in a cell: the mean if there is a deviation, and 2 for "2 of 8"."""
    if results.is_spread(of):
        return of["mean"]
    if isinstance(of, str):
        leading = NUMBER.match(of)
        return float(leading[0]) if leading else None
    return None if of is None else float(of)  # type: ignore[arg-type]


def value(folder: Path, quote: str) -> float:
    """The value of a quote, or of a literal number."""
    if NUMBER.fullmatch(quote):
        return float(quote)
    found = measured(folder, quote)
    known = number(found)
    if known is None:
        raise Missing(f"{cell(found)!r} is no number")
    return known


def text(folder: Path, quote: str) -> str:
    """The text that a page shows for a quote."""
    place, _, form = quote.partition(" as ")
    return shaped(measured(folder, place), form)


def shaped(of: Cell, form: str) -> str:
    """A cell formatted by FORM.

    >>> shaped({"mean": 0.251, "deviation": 0.069}, "mean .2f"), shaped(0.8347, "percent .0f"), shaped(22020.0, ",.0f")
    ('0.25', '83 %', '22,020')
    >>> shaped(0.8347, "percent"), shaped({"mean": 15.0, "deviation": 1.0}, ".1f"), shaped("2 of 8", "")
    ('83.5 %', '15.0 ± 1.0', '2 of 8')
    """
    words = form.split()
    specs = [word for word in words if word not in WORDS] or ([".3g"] if "percent" in words else [])
    if not words or (not specs and number(of) is None):
        return cell(of)
    numbers = [of["mean"], of["deviation"]] if results.is_spread(of) else [number(of)]
    numbers = numbers[:1] if "mean" in words else numbers
    if None in numbers or (isinstance(of, str) and not NUMBER.fullmatch(of)):
        raise Missing(f"{cell(of)!r} is no number")
    factor = 100 if "percent" in words else 1
    if not specs:
        return cell(numbers[0])
    try:
        shown = " ± ".join(format(factor * one, specs[0]) for one in numbers)  # type: ignore[operator]
    except ValueError:
        raise Missing(f"{specs[0]!r} is no form: {', '.join(WORDS)}, or a format such as .2f") from None
    return shown + " %" * (factor == 100)


def table(folder: Path, quote: str) -> str:
    """``RESULTS``: its first table; ``RESULTS: ROW -> COLUMN as FORM; COLUMN``: some columns of the rows that match."""
    name, _, chosen = quote.partition(": ")
    row, _, named = chosen.rpartition(" -> ")
    found = tables(folder, name)[0]
    kept = rows_of(found, row.split("; ") if row else [])
    if not kept:
        raise Missing(f"{name}.json has no rows that begin with {row!r}")
    columns = [column.partition(" as ") for column in (named.split("; ") if named else found.columns)]
    for column, _, _ in columns:
        if column not in found.columns:
            raise Missing(f"{name}.json has no column {column!r}")
    body = [[shaped(line[column], form) for column, _, form in columns] for line in kept]
    return of_cells([[column for column, _, _ in columns], *body])
