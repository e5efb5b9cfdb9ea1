"""Measured numbers in the documentation: a page names a cell of a results table, and the build puts in what is there.

A quote is ``RESULTS: ROW -> COLUMN``, optionally ``as FORM``, in double braces: RESULTS is a page of docs/results, ROW the
first cells of one row, separated by semicolons, or ``min``, ``max`` or ``sum`` of the column over the rows that begin with
the cells that follow it. FORM is ``mean`` (without the deviation), ``percent``, a format such as ``.2f``, or several of
these. ``table RESULTS`` is a whole table, ``table RESULTS: ROW -> COLUMN as FORM; COLUMN`` the rows that begin with ROW and
some columns; ``claims`` is the table of ``experiments.claims``.
What stands in backticks is left as it is. mkdocs.yml has this file as its hook.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from experiments.framework.tables import of_cells

QUOTE = re.compile(r"(?<!`)\{\{ (.+?) \}\}(?!`)")
CELL = re.compile(r"(?<!\\)\|")
NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?")

OVER_ROWS: Mapping[str, Callable[[list[float]], float]] = {"min": min, "max": max, "sum": sum}
FORMS: Mapping[str, Callable[[str], str]] = {
    "mean": lambda text: text.split(" ± ")[0],
    "percent": lambda text: NUMBER.sub(lambda found: f"{100 * float(found[0]):.12g}", text) + " %",
}

Table = list[list[str]]  # lines of cells, the head first


class Missing(ValueError):
    """A quote of something that is not there."""


def tables(results: Path, name: str) -> list[Table]:
    """The tables of a results page."""
    path = results / f"{name}.md"
    if not path.exists():
        raise Missing(f"there is no {path.name} in results")
    blocks = re.findall(r"(?:^\|.*\n)+", path.read_text(), re.MULTILINE)
    return [[cells(line) for i, line in enumerate(block.splitlines()) if i != 1] for block in blocks]


def cells(line: str) -> list[str]:
    """The cells of a line of a Markdown table."""
    return [cell.strip().replace(r"\|", "|") for cell in CELL.split(line)[1:-1]]


def measured(results: Path, quote: str) -> str:
    """What a quote without a form stands for; raises ``Missing``."""
    name, colon, place = quote.partition(": ")
    row, arrow, column = place.rpartition(" -> ")
    if not colon or not arrow:
        raise Missing("it must be RESULTS: ROW -> COLUMN")
    found = [(head.index(column), rows) for head, *rows in tables(results, name) if column in head]
    if not found:
        raise Missing(f"{name}.md has no column {column!r}")
    kind, *rest = row.split("; ")
    first = rest if kind in OVER_ROWS else [kind, *rest]
    chosen = [line[at] for at, rows in found for line in rows if line[: len(first)] == first]
    if kind in OVER_ROWS:
        values = [float(match[0]) for match in map(NUMBER.match, chosen) if match]
        if not values:
            raise Missing(f"{name}.md has no numbers there")
        return f"{OVER_ROWS[kind](values):.4g}"
    if len(chosen) != 1:
        raise Missing(f"{name}.md has {len(chosen)} rows that begin with {row!r}")
    return chosen[0]


def value(results: Path, quote: str) -> float:
    """The first number of a quote, or a number that stands for itself."""
    text = quote if NUMBER.fullmatch(quote) else measured(results, quote)
    number = NUMBER.match(text)
    if number is None:
        raise Missing(f"{text!r} is no number")
    return float(number[0])


def shaped(text: str, form: str) -> str:
    """A cell in another form.

    >>> shaped("0.251 ± 0.069", "mean .2f"), shaped("0.8347", "percent .0f"), shaped("2.202e+04", ",.0f")
    ('0.25', '83 %', '22,020')
    >>> shaped("0.8347", "percent")
    '83.5 %'
    """
    words = form.split()
    for word in [*words, ".3g"] if words[-1:] == ["percent"] else words:
        if word in FORMS:
            text = FORMS[word](text)
            continue
        try:
            text = NUMBER.sub(lambda found, word=word: format(float(found[0]), word), text)  # type: ignore[misc]
        except ValueError:
            raise Missing(f"{word!r} is no form: {', '.join(FORMS)}, or a format such as .2f") from None
    return text


def table(results: Path, quote: str) -> str:
    """The first table of a results page, or those of its rows and columns that are named."""
    name, _, chosen = quote.partition(": ")
    row, _, named = chosen.rpartition(" -> ")
    head, *rows = tables(results, name)[0]
    first = row.split("; ") if row else []
    kept = [line for line in rows if line[: len(first)] == first]
    if not kept:
        raise Missing(f"{name}.md has no rows that begin with {row!r}")
    columns = [column.partition(" as ") for column in (named.split("; ") if named else head)]
    for column, _, _ in columns:
        if column not in head:
            raise Missing(f"{name}.md has no column {column!r}")
    body = [[shaped(line[head.index(column)], form) for column, _, form in columns] for line in kept]
    return of_cells([[column for column, _, _ in columns], *body])


def linked(results: Path, quote: str, here: str) -> str:
    """A quoted cell, with a link to its table."""
    place, _, form = quote.partition(" as ")
    name, _, title = place.partition(": ")
    text = shaped(measured(results, place), form)
    there = posixpath.relpath(f"results/{name}.md", posixpath.dirname(here) or ".")
    return f'[{text}]({there} "{title}"){{ .measured }}'


def filled(markdown: str, results: Path, here: str = "page.md") -> str:
    """A page with its quotes replaced; ``here`` is its place below docs. Raises ``Missing`` with the quote."""

    def put(found: re.Match[str]) -> str:
        try:
            if found[1] == "claims":
                from experiments.framework import claims

                return filled(claims.table(results), results, here)
            kind, _, rest = found[1].partition(" ")
            return table(results, rest) if kind == "table" else linked(results, found[1], here)
        except Missing as error:
            said = str(error)
            raise Missing(said if said.startswith("{{") else f"{found[0]}: {said}") from None

    return QUOTE.sub(put, markdown)


def on_page_markdown(markdown: str, page: Any, config: Any, **_: Any) -> str:
    """mkdocs calls this for every page; a quote of what is not there ends the build in one line."""
    from mkdocs.exceptions import PluginError

    try:
        return filled(markdown, Path(config["docs_dir"]) / "results", page.file.src_uri)
    except Missing as error:
        raise PluginError(f"{page.file.src_uri}: {error}") from None
