"""Check and rewrite measured numbers in the pages, each of which is followed by a comment that names its cell.

    python -m experiments.framework.quotes --check     # exit code 1 and a line for each outdated page
    python -m experiments.framework.quotes --write

A number in a page is followed by its quote (see ``experiments.framework.references``); for a new number write ?. Whole tables
and the table of claims are enclosed by two comments::

    15.0 ± 1.0<!-- mog16: alternating -> modes covered as .1f -->

    <!-- table mog16: setting; quality as .2f -->
    ...
    <!-- end -->

Text in backticks is not changed.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from experiments.framework import claims, programs, references
from experiments.framework.references import Missing

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"<!-- (table .+?|claims) -->\n.*?<!-- end -->", re.DOTALL)
QUOTE = re.compile(r"<!-- ([\w-]+: .+? -> .+?) -->(?!`)")
NUMBER = r"[-+]?(?:\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?|inf)"
VALUE = rf"{NUMBER}(?: ± {NUMBER}i?)?(?: %)?"


@dataclass
class Quotes:
    """Whether to check or to rewrite the pages."""

    check: bool = True
    """Say which pages are out of date; exit code 1 where one is."""
    write: bool = False
    """Rewrite the pages that are out of date."""
    root: Path = ROOT
    """The repository: README.md, and docs with its results."""


def pages(root: Path) -> list[Path]:
    """All pages that may contain quotes, which excludes the results themselves."""
    found = [root / "README.md", *sorted((root / "docs").rglob("*.md"))]
    return [page for page in found if page.exists() and page.parent != root / "docs" / "results"]


def rewritten(text: str, results: Path, links: str = "results") -> str:
    """The page with current numbers and tables.

    Args:
        text: of the page.
        results: folder of the results.
        links: path from the page to that folder.

    Raises:
        Missing: a quote has no cell; the message contains the quote.
    """
    parts: list[str] = []
    end = 0
    for block in BLOCK.finditer(text):
        parts.append(_numbers(text[end : block.start()], results))
        parts.append(f"<!-- {block[1]} -->\n\n{_block(block[1], results, links)}\n\n<!-- end -->")
        end = block.end()
    return "".join(parts) + _numbers(text[end:], results)


def _block(quote: str, results: Path, links: str) -> str:
    """The text between the two comments of a block."""
    if quote == "claims":
        return claims.table(results, links)
    return _looked_up(references.table, results, quote.removeprefix("table "))


def _numbers(text: str, results: Path) -> str:
    """The prose of a page with its quoted numbers brought up to date."""
    done = ""
    end = 0
    for found in QUOTE.finditer(text):
        quote = found[1]
        shown = _looked_up(references.text, results, quote)
        before = text[end : found.start()]
        # The longest form first: a value with a deviation would otherwise match at its last number only.
        old = re.search(rf"(?<![\w.])(?:\?|{_shape(shown)}|{VALUE})$", before)
        if old is None:
            raise Missing(f"{quote}: no such value stands before it; put ? in its place")
        done += before[: old.start()] + shown + found[0]
        end = found.end()
    return done + text[end:]


def _shape(shown: str) -> str:
    """A pattern that matches values of the same form as this one, with other numbers."""
    return NUMBER.join(re.escape(part) for part in re.split(NUMBER, shown))


def _looked_up(look_up: Callable[[Path, str], str], results: Path, quote: str) -> str:
    """The value of a quote; an error names the quote."""
    try:
        return look_up(results, quote)
    except Missing as error:
        raise Missing(f"{quote}: {error}") from None


def run(options: Quotes) -> int:
    """Check or rewrite all pages; return 1 if one is outdated or has a quote without a cell."""
    wrong = 0
    docs = options.root / "docs"
    for page in pages(options.root):
        name = page.relative_to(options.root)
        links = "docs/results" if page.parent == options.root else "../" * (len(name.parts) - 2) + "results"
        old = page.read_text()
        try:
            new = rewritten(old, docs / "results", links)
        except Missing as error:
            print(f"{name}: {error}", file=sys.stderr)
            wrong = 1
            continue
        if new != old and options.write:
            page.write_text(new)
            print(f"{name}: rewritten")
        elif new != old and options.check:
            line = next(
                i for i, (a, b) in enumerate(zip(old.splitlines(), new.splitlines(), strict=False), 1) if a != b
            )
            print(f"{name}:{line}: out of date; --write rewrites it", file=sys.stderr)
            wrong = 1
    return wrong


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; exit code 0: up to date, 1: outdated, 2: a wrong option."""
    return programs.main(Quotes, run, "python -m experiments.framework.quotes", __doc__, argv)


if __name__ == "__main__":
    sys.exit(main())
