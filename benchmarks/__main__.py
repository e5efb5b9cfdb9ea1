"""``python -m benchmarks``: every row side by side with its peers, as ratios, against its goal.

Medians of the repetitions, in which the peers take turns (A B A B); a ratio is the median of the ratios pair by pair.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from benchmarks import report
from benchmarks.rows import ROWS
from benchmarks.side_by_side import Settings
from experiments.framework.tables import aligned


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; 0 whether or not the goals are met."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    options = _parse(arguments)
    turn = options.turn if options.turn is not None else 0.0 if options.quick else 0.5
    settings = Settings(options.repetitions or (2 if options.quick else 7), turn, options.quick)
    about = report.machine(os.getloadavg()[0])
    print(", ".join(f"{key}: {value}" for key, value in about.items()))
    results = {}
    for name in options.rows or ROWS:
        start = time.perf_counter()
        results[name] = ROWS[name](settings)
        print(f"\n{name} ({time.perf_counter() - start:.0f} s)", flush=True)
        for lines in results[name][::-1]:
            print(aligned(report.uniform(lines)), flush=True)
        if options.json:
            report.write_json(options.json, results, about)
    if options.docs:
        report.publish(options.docs, results, about, _command(options))
    return 0


def _command(options: argparse.Namespace) -> str:
    """What makes the same numbers again: the command without where they go."""
    repetitions = ["--repetitions", str(options.repetitions)] if options.repetitions else []
    turn = ["--turn", f"{options.turn:g}"] if options.turn else []
    quick = ["--quick"] if options.quick else []
    return shlex.join(["python", "-m", "benchmarks", *options.rows, *repetitions, *turn, *quick])


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, as the experiments do."""

    def error(self, message: str) -> NoReturn:
        """One line on stderr, exit code 2."""
        self.exit(2, f"{self.prog}: {message}; see --help\n")


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = _Parser(prog="python -m benchmarks", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("rows", nargs="*", metavar="row", help=f"which of {', '.join(ROWS)}; all by default")
    parser.add_argument("--repetitions", type=int, help="turns of each peer; 7 by default")
    parser.add_argument("--turn", type=float, help="seconds that a turn lasts about; 0.5 by default")
    parser.add_argument("--quick", action="store_true", help="a form whose numbers mean nothing, to see that all works")
    parser.add_argument("--json", type=Path, help="also write all numbers here")
    parser.add_argument("--docs", type=Path, help="also write tables and figures into this documentation folder")
    options = parser.parse_args(arguments)
    if unknown := [row for row in options.rows if row not in ROWS]:
        parser.error(f"row: got {unknown[0]!r}; it must be one of {', '.join(ROWS)}")
    for name in ("repetitions", "turn"):
        value = getattr(options, name)
        if value is not None and value <= 0:
            parser.error(f"{name}: got {value:g}; it must be a number > 0")
    return options


if __name__ == "__main__":
    sys.exit(main())
