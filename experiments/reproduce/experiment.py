"""Run every experiment as the documentation shows it, and write the documentation's figures and tables.

An experiment that is finished in the output folder is only published again, an interrupted one is resumed, and one that fails
is named at the end while the others continue. Each has one thread, and its output in OUTPUT/NAME.log.

With --full the experiments have their authors' own lengths, many hours; the shorter form leaves pages that show these alone.
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from experiments.framework import programs
from experiments.framework.command_line import called
from experiments.framework.endings import INTERRUPTED
from experiments.reproduce.commands import COMMANDS, FULL, Command
from experiments.reproduce.runs import Failed, Runs, clock
from odegan.utils.checks import check_int, choose

ENDS = (signal.SIGINT, signal.SIGTERM)


@dataclass
class Reproduce:
    """The experiments to run, and the folders to write to."""

    full: bool = False
    """The authors' own lengths, where a page has such a form; many hours."""
    only: tuple[str, ...] = ()
    """The results pages to make; left out: all."""
    workers: int = 2
    """Experiments at a time, each with one thread."""
    output: Path | None = None
    """Folder of the runs; by default runs/reproduce, and runs/reproduce-full with --full."""
    docs: Path | None = None
    """The documentation's folder; by default docs, and none at all with --quick."""
    quick: bool = False
    """The quick form of each, to see that everything works."""

    @property
    def commands(self) -> Mapping[str, Command]:
        """The pages to make, and how."""
        table = FULL if self.full else COMMANDS
        return {name: table[name] for name in table if not self.only or name in self.only}

    def check(self) -> None:
        """Refuse unknown pages, and a number of workers below one."""
        for name in self.only:
            choose("only", name, FULL if self.full else COMMANDS)
        check_int("workers", self.workers, low=1)


def run(options: Reproduce) -> int:
    """Run them all; return the exit code."""
    output = options.output or Path("runs") / ("reproduce" + "-full" * options.full)
    output.mkdir(parents=True, exist_ok=True)
    kept = {} if options.full else FULL
    runs = Runs(output, options.docs or (None if options.quick else Path("docs")), options.quick, kept)
    for number in ENDS:  # ended from outside, or in the background, the runs save as with Ctrl-C
        signal.signal(number, signal.default_int_handler)
    with ThreadPoolExecutor(options.workers) as pool:
        names = {pool.submit(runs, name, command): name for name, command in options.commands.items()}
        try:
            failed = _watch(names, options)
        except KeyboardInterrupt:
            for number in ENDS:  # the runs are being saved
                signal.signal(number, signal.SIG_IGN)
            runs.end()
            print("interrupted: the runs are being saved; the same command goes on", file=sys.stderr)
            return INTERRUPTED
    print("\n".join(failed), file=sys.stderr, end="\n" * bool(failed))
    return int(bool(failed))


def _watch(names: dict[Future[str], str], options: Reproduce) -> list[str]:
    """Print how each experiment ends, and how long the rest may take; return a sentence for each that failed."""
    began = time.monotonic()
    failed = []
    left = {name: command.minutes for name, command in options.commands.items()}
    for done, future in enumerate(as_completed(names), start=1):
        try:
            said = future.result()
        # One experiment that fails must not end the others, which run for hours.
        except Exception as error:
            said = "failed"
            failed.append(str(error) if isinstance(error, Failed) else f"{names[future]}: {error!r}")
        del left[names[future]]
        more = f"; about {clock(60 * _estimate(list(left.values()), options.workers))} left" if left else ""
        print(f"{clock(time.monotonic() - began)}  {done} of {len(names)}  {names[future]}: {said}{more}", flush=True)
    return failed


def _estimate(minutes: Sequence[float], workers: int) -> float:
    """How long runs of so many minutes take: no less than the longest of them.

    >>> _estimate([60, 10, 20], 2), _estimate([60, 40, 20], 2)
    (60, 60.0)
    """
    return max(max(minutes), sum(minutes) / workers)


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; 0: done, 1: one failed or more, 2: a wrong option, 130: interrupted."""
    return programs.main(Reproduce, run, called("experiments.reproduce"), __doc__, argv)


if __name__ == "__main__":
    sys.exit(main())
