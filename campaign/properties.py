"""Every property of ``tests/invariants/test_properties_*.py`` on many random examples.

    python -m campaign.properties --examples 200 --docs docs

Exit code 1, and a line for each, where one failed.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from campaign.counted import Outcome, examine, write
from experiments.framework import programs
from experiments.framework.results import Row
from odegan.utils.checks import check_int

MODULES = {
    "field": "tests.invariants.test_properties_field",
    "runs": "tests.invariants.test_properties_runs",
    "analysis": "tests.invariants.test_properties_analysis",
}


def properties(module: str) -> list[Callable[..., Any]]:
    """The tests of a module that take random examples."""
    found = vars(importlib.import_module(module))
    return [test for name, test in found.items() if name.startswith("test_") and hasattr(test, "hypothesis")]


@dataclass
class Examination:
    """How many examples to try, and where to write."""

    examples: int = 100
    """Of each property."""
    docs: Path | None = None
    """The documentation folder to write the table into; by default it is only printed."""

    def check(self) -> None:
        """Refuse a number of examples that is not positive."""
        check_int("examples", self.examples, low=1)


def examine_all(name: str, modules: Mapping[str, str], description: str | None, argv: Sequence[str] | None) -> int:
    """The command line of a campaign over these modules, by area; 1 where a property failed."""
    program = f"python -m campaign.{name}"

    def run(options: Examination) -> int:
        found = [
            (area, outcome) for area, module in modules.items() for outcome in outcomes(area, module, options.examples)
        ]
        if options.docs:
            write(options.docs, name, f"{program} --examples {options.examples} --docs docs", table(found))
        return int(any(outcome.failure for _, outcome in found))

    return programs.main(Examination, run, program, description, argv)


def outcomes(area: str, module: str, examples: int) -> Iterator[Outcome]:
    """Every property of a module, examined and printed one after the other."""
    for test in properties(module):
        one = examine(test, examples)
        print(f"{area}: {one.name}: {one.held} held in {one.seconds:.1f} s {one.failure}", flush=True)
        yield one


def table(found: Sequence[tuple[str, Outcome]]) -> list[Row]:
    """A row for each property, and one for all."""
    rows: list[Row] = [
        {"area": area, "property": o.name, "examples that held": o.held, "failed": "yes" if o.failure else "no"}
        for area, o in found
    ]
    held = sum(o.held for _, o in found)
    spent = sum(o.seconds for _, o in found)
    failed = sum(bool(o.failure) for _, o in found)
    together = f"{len(found)} properties, {spent:.0f} CPU seconds"
    return [*rows, {"area": "all", "property": together, "examples that held": held, "failed": failed or "none"}]


def main(argv: Sequence[str] | None = None) -> int:
    """Examine all of them; write the table."""
    return examine_all("properties", MODULES, __doc__, argv)


if __name__ == "__main__":
    sys.exit(main())
