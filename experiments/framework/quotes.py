"""Measured numbers in the pages stand beside a comment that names their cell; this tool checks and rewrites them.

    python -m experiments.framework.quotes --check     # exit code 1, and a line for each page that is out of date
    python -m experiments.framework.quotes --write

A number in a page is followed by its quote (see ``experiments.framework.references``), and a new one is written with ? in
its place; whole tables, and the table of claims, stand between two comments::

    15.0 ± 1.0<!-- mog16: alternating -> modes covered as .1f -->

    <!-- table mog16: setting; quality as .2f -->
    ...
    <!-- end -->

What stands in backticks is left as it is.
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
QUOTE = re.compile(r"<!-- (\w+: .+? -> .+?) -->(?!`)")
NUMBER = r"[-+]?(?:\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?|inf)"
VALUE = rf"{NUMBER}(?: ± {NUMBER}i?)?(?: %)?"


@dataclass
class Quotes:
    """What to do with the pages."""

    check: bool = True
    """Say which pages are out of date; exit code 1 where one is."""
    write: bool = False
    """Rewrite the pages that are out of date."""
    root: Path = ROOT
    """The repository: README.md, and docs with its results."""


def pages(root: Path) -> list[Path]:
    """The pages that quote: all but the results themselves."""
    found = [root / "README.md", *sorted((root / "docs").rglob("*.md"))]
    return [page for page in found if page.exists() and page.parent != root / "docs" / "results"]


def rewritten(text: str, results: Path, links: str = "results") -> str:
    """A page with the numbers and tables that the results have now; raises ``Missing`` with the quote at fault.

    Args:
        text: of the page.
        results: folder of the results.
        links: path of that folder, seen from the page.
    """
    parts: list[str] = []
    end = 0
    for block in BLOCK.finditer(text):
        parts.append(_numbers(text[end : block.start()], results))
        parts.append(f"<!-- {block[1]} -->\n\n{_block(block[1], results, links)}\n\n<!-- end -->")
        end = block.end()
    return "".join(parts) + _numbers(text[end:], results)


def _block(quote: str, results: Path, links: str) -> str:
    """What stands between two comments."""
    if quote == "claims":
        return claims.table(results, links)
    return _looked_up(references.table, results, quote.removeprefix("table "))


def _numbers(text: str, results: Path) -> str:
    """Prose with its numbers as the results have them."""
    done = ""
    end = 0
    for found in QUOTE.finditer(text):
        quote = found[1]
        shown = _looked_up(references.text, results, quote)
        before = text[end : found.start()]
        old = re.search(rf"(?<![\w.])(?:\?|{_shape(shown)}|{VALUE})$", before)
        if old is None:
            raise Missing(f"{quote}: no such value stands before it; put ? in its place")
        done += before[: old.start()] + shown + found[0]
        end = found.end()
    return done + text[end:]


def _shape(shown: str) -> str:
    """A pattern of values that differ from this one in their numbers only."""
    return NUMBER.join(re.escape(part) for part in re.split(NUMBER, shown))


def _looked_up(look_up: Callable[[Path, str], str], results: Path, quote: str) -> str:
    """What a quote stands for; what is missing is said with the quote."""
    try:
        return look_up(results, quote)
    except Missing as error:
        raise Missing(f"{quote}: {error}") from None


def run(options: Quotes) -> int:
    """Check or rewrite all pages; 1 where one is out of date, or quotes what is not there."""
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
    """The command line; 0: up to date, 1: not, 2: a wrong option."""
    return programs.main(Quotes, run, "python -m experiments.framework.quotes", __doc__, argv)


if __name__ == "__main__":
    sys.exit(main())
