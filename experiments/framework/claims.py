"""Claims of the five publications that can be tested here: the measurement, and whether it agrees.

They are listed in ``claims.json``. Verdicts are computed: each test of a claim compares cells of the results with each other
or with a number; ~ means equal to within 2 percent. If nothing decides, the remark says why. Cells are quoted as in
``experiments.framework.references``, in braces within the text of a measurement: ``{mog16: euler -> quality}``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from experiments.framework import references
from experiments.framework.tables import of_cells

SIGN = re.compile(r" (<|>|~|<=|>=) ")
COMPARE: Mapping[str, Callable[[float, float], bool]] = {
    "<": lambda a, b: a < b,
    ">": lambda a, b: a > b,
    "<=": lambda a, b: a <= b,
    ">=": lambda a, b: a >= b,
    "~": lambda a, b: abs(a - b) <= 0.02 * abs(b),
}
QUOTE = re.compile(r"\{([\w-]+: .+? -> .+?)\}")
CLAIMS = Path(__file__).with_name("claims.json")
RUNS = ("full", "changed", "short", "own", "exact", "none")  # explained on the page


@dataclass(frozen=True)
class Claim:
    """A statement, the measurement, the tests that decide, and a remark on the verdict; all texts may contain quotes."""

    claim: str
    measured: str
    tests: Mapping[str, str] = field(default_factory=dict)  # experiment -> comparison; "" if there is only one
    remark: str = ""
    run: str = ""  # how the runs behind the measurement compare with the publication's, in the words of RUNS


def load() -> list[Claim]:
    """All claims, in the order in which the page shows them."""
    return [Claim(**entry) for entry in json.loads(CLAIMS.read_text())]


def holds(results: Path, test: str) -> bool:
    """Whether every comparison in ``A < B > C`` holds; several tests are joined by `` and ``."""
    return all(_chain(results, part) for part in test.split(" and "))


def _chain(results: Path, test: str) -> bool:
    first, *rest = SIGN.split(test)
    values = [references.value(results, quote) for quote in (first, *rest[1::2])]
    # Chained as in Python: A < B > C compares neighbors.
    return all(COMPARE[sign](a, b) for sign, a, b in zip(rest[::2], values, values[1:], strict=False))


def verdict(results: Path, claim: Claim) -> str:
    """The verdict for each test, and the remark."""
    said = []
    for where, test in claim.tests.items():
        agrees = "agrees" if holds(results, test) else "does not agree"
        said.append(f"{where}: {agrees}" if where else agrees)
    return "; ".join([*said, *([quoted(results, claim.remark)] if claim.remark else [])])


def quoted(results: Path, text: str) -> str:
    """A text with its quotes replaced by numbers from the results."""
    return QUOTE.sub(lambda quote: references.text(results, quote[1]), text)


def table(results: Path, links: str) -> str:
    """The claims as a Markdown table; ``links`` is the path from the page to the results."""
    rows = []
    for claim in load():
        names = sorted({quote.partition(": ")[0] for quote in QUOTE.findall(claim.measured)})
        sources = ", ".join(f"[{name}]({links}/{name}.md)" for name in names)
        rows.append([claim.claim, quoted(results, claim.measured), claim.run, verdict(results, claim), sources])
    return of_cells([["claim", "measured", "run", "agreement", "results"], *rows])
