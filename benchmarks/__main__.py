"""``python -m benchmarks``: every row side by side with its peers, as ratios, against its goal.

Medians of the repetitions, in which the peers take turns (A B A B); a ratio is the median of the ratios pair by pair.
"""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from benchmarks import report
from benchmarks.rows import ROWS
from benchmarks.rows.result import Result
from benchmarks.side_by_side import Settings
from experiments.framework import programs
from experiments.framework.tables import aligned
from odegan.utils.checks import check_int, check_number, choose


@dataclass
class Benchmarks:
    """What to measure, and how often."""

    rows: Positional[tuple[str, ...]] = ()
    """The rows to measure; all by default."""
    repetitions: int | None = None
    """Turns of each peer; 5 by default, 2 with --quick."""
    turn: float | None = None
    """Seconds that a turn lasts about; 0.5 by default, a single call with --quick."""
    quick: bool = False
    """A form whose numbers mean nothing, to see that all works."""
    docs: Path = Path("runs/benchmarks")
    """Folder for results/speed.json, results/speed.md and figures/speed_*.png; docs for the documentation."""

    def check(self) -> None:
        """Refuse rows that there are not, and no turns."""
        for name in self.rows:
            choose("rows", name, ROWS)
        if self.repetitions is not None:
            check_int("repetitions", self.repetitions, low=1)
        if self.turn is not None:
            check_number("turn", self.turn, low=0.0, strict=True)

    def settings(self) -> Settings:
        """The settings that all rows take."""
        turn = 0.0 if self.quick else 0.5
        repetitions = 2 if self.quick else 5
        return Settings(self.repetitions or repetitions, turn if self.turn is None else self.turn, self.quick)

    def command(self, measured: Sequence[str]) -> str:
        """What makes the same numbers of these rows again: the command without where they go."""
        rows = [] if set(measured) == set(ROWS) else measured
        repetitions = ["--repetitions", str(self.repetitions)] if self.repetitions else []
        turn = ["--turn", f"{self.turn:g}"] if self.turn else []
        quick = ["--quick"] if self.quick else []
        return shlex.join(["python", "-m", "benchmarks", *rows, *repetitions, *turn, *quick])


def run(options: Benchmarks) -> int:
    """Measure the rows one after the other, and write what there is after each; 0 whether or not the goals are met."""
    about = report.machine(os.getloadavg()[0])
    print(report.sentence(about))
    results: dict[str, Result] = {}
    for name in options.rows or ROWS:
        start = time.perf_counter()
        results[name] = ROWS[name](options.settings())
        print(f"\n{name} ({time.perf_counter() - start:.0f} s)", flush=True)
        for lines in results[name][::-1]:
            print(aligned(report.uniform(lines)), flush=True)
        report.publish(options.docs, results, about, options.command(list(results)))
    print(f"\nresults: {options.docs / 'results/speed.md'}")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; 0: measured, 2: a wrong option."""
    return programs.main(Benchmarks, run, "python -m benchmarks", __doc__, argv)


if __name__ == "__main__":
    sys.exit(main())
