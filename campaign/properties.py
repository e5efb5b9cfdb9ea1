"""Every property of ``tests/invariants/test_properties_*.py`` on many random examples.

    python -m campaign.properties --examples 200 --docs docs

Exit code 1, and a line for each, where one failed.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from campaign.counted import Outcome, examine, write

MODULES = {
    "field": "tests.invariants.test_properties_field",
    "runs": "tests.invariants.test_properties_runs",
    "analysis": "tests.invariants.test_properties_analysis",
}


def properties(module: str) -> list[Callable[..., Any]]:
    """The tests of a module that take random examples."""
    found = vars(importlib.import_module(module))
    return [test for name, test in found.items() if name.startswith("test_") and hasattr(test, "hypothesis")]


def examine_all(name: str, modules: Mapping[str, str], arguments: list[str] | None = None) -> int:
    """The command line of a campaign over these modules, by area; 1 where a property failed."""
    program = f"python -m campaign.{name}"
    parser = argparse.ArgumentParser(prog=program)
    parser.add_argument("--examples", type=int, default=100, help="of each property")
    parser.add_argument("--docs", type=Path, help="the documentation folder to write the table into")
    given = parser.parse_args(arguments)
    found: list[tuple[str, Outcome]] = []
    for area, module in modules.items():
        for test in properties(module):
            one = examine(test, given.examples)
            found.append((area, one))
            print(f"{area}: {one.name}: {one.held} held in {one.seconds:.1f} s {one.failure}", flush=True)
    failed = [outcome for _, outcome in found if outcome.failure]
    if given.docs:
        rows: list[Any] = [(area, o.name, o.held, "yes" if o.failure else "no") for area, o in found]
        held, spent = sum(o.held for _, o in found), sum(o.seconds for _, o in found)
        rows.append(("all", f"{len(found)} properties, {spent:.0f} CPU seconds", held, len(failed) or "none"))
        command = f"{program} --examples {given.examples} --docs docs"
        write(given.docs, name, command, ["area", "property", "examples that held", "failed"], rows)
    return 1 if failed else 0


def main(arguments: list[str] | None = None) -> int:
    """Examine all of them; write the table."""
    return examine_all("properties", MODULES, arguments)


if __name__ == "__main__":
    sys.exit(main())
