"""Runs of every kind, killed again and again at random moments, must end as if nothing had happened.

    python -m campaign.kills --kills 100 --seed 0 --docs docs

Every case is run once whole, and then in starts that are killed by SIGKILL, during saves too, and started again by the same
command until it is done. Exit code 1, and a sentence for each, where a final state differs, where a kill cost more than one
checkpoint interval, or where a process was left behind. Needs Linux, whose /proc it reads.
"""

from __future__ import annotations

import random
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from campaign.kills_attempt import Aim, Attempt, Killed
from campaign.kills_cases import CASES, Case
from campaign.kills_compare import difference
from experiments.framework import programs, publishing
from experiments.framework.results import Results, Row, Table
from odegan.utils.checks import argument_error, check_int, choose

PER_RUN = 5  # kills before a run is left to its end
KINDS = ("save", "step", "save", "step", "moment")


class Outcome(NamedTuple):
    """A case: its kills, how many runs they fell on, and the largest difference of a run's end from the whole run's."""

    name: str
    kills: list[Killed]
    runs: int
    difference: float


def campaign(name: str, kills: int, seed: int, scratch: Path) -> Outcome:
    """Kill one case so many times."""
    case = CASES[name]
    source = random.Random(f"{seed} {name}")
    (scratch / "whole").mkdir(parents=True)
    seconds = Attempt(name, case, scratch / "whole", 0).finish()
    killed: list[Killed] = []
    runs = 0
    worst = 0.0
    while len(killed) < kills:
        folder = scratch / f"run{runs}"
        folder.mkdir()
        aims = [aim(case, len(killed) + i, seconds, source) for i in range(min(PER_RUN, kills - len(killed)))]
        killed += killed_run(name, case, folder, aims)
        worst = max(worst, difference(scratch / "whole", folder))
        runs += 1
    return Outcome(name, killed, runs, worst)


def aim(case: Case, number: int, seconds: float, source: random.Random) -> Aim:
    """The number-th kill of a case whose whole run takes so long."""
    kind = KINDS[number % len(KINDS)]
    rank = source.randrange(case.ranks)
    if kind == "moment" and case.ranks == 1:
        return Aim(kind, source.uniform(0, seconds))
    step = source.randint(1, int(0.9 * case.steps / PER_RUN))
    if kind == "save":
        # A file is written, synchronized and named in some milliseconds.
        return Aim(kind, source.uniform(0, 0.002), step)
    return Aim("step", source.uniform(0, 0.02), step, rank)


def killed_run(name: str, case: Case, folder: Path, aims: Sequence[Aim]) -> list[Killed]:
    """The kills of one run, which is then left to its end."""
    found: list[Killed] = []
    for number, one in enumerate(aims):
        killed = Attempt(name, case, folder, number).kill(one)
        if killed is None:
            break
        found.append(killed)
    Attempt(name, case, folder, len(aims)).finish()
    return found


def failures(outcomes: Sequence[Outcome]) -> list[str]:
    """What is not as it must be, one sentence each."""
    found = []
    for one in outcomes:
        case = CASES[one.name]
        if one.difference > case.tolerance:
            found.append(f"{one.name}: the end differs by {one.difference:.3g}")
        found += [f"{one.name}: {k.aim} cost {k.intervals:.3g} intervals" for k in one.kills if k.intervals > 1]
    return found


def rows(outcomes: Sequence[Outcome]) -> list[Row]:
    """The rows of the table, one for each case."""
    return [
        {
            "case": one.name,
            "what": CASES[one.name].what,
            "kills": len(one.kills),
            "of them in a save": sum(k.saving for k in one.kills),
            "resumed from a checkpoint": sum(k.resumes for k in one.kills),
            "runs finished": one.runs,
            "most lost, steps": max(k.steps for k in one.kills),
            "in intervals": max(k.intervals for k in one.kills),
            "all ended within, s": max(k.ended for k in one.kills),
            "largest difference": one.difference,
        }
        for one in outcomes
    ]


def publish(docs: Path, options: Kills, outcomes: Sequence[Outcome]) -> None:
    """Write the page of results."""
    kills = [k for one in outcomes for k in one.kills]
    before = f"""
{len(kills)} kills by SIGKILL, {sum(k.saving for k in kills)} of them while a file was being written (its unfinished part was
found afterwards), the others at a random moment of a step or of the whole process. Each run is
killed up to {PER_RUN} times and started again by the same command, in a fresh process, until it is done; then its checkpoint,
with statistics, moments, buffers and averages, is compared with that of a run that nothing disturbed."""
    after = """
- **Resumed**: the other runs had no checkpoint yet and started from the beginning.
- **Lost steps** had been reported as done but were not in the checkpoint; the step in progress does not count. An interval
  is 5 steps, or 0.1 s in the case that saves by the clock.
- **All ended within**: the time from the kill until no process of the run was left. If one of two processes is killed, the
  other ends with an error; the worker process of a data set ends when it notices that its parent is gone.
- **Largest difference**: 0 means equal bit for bit. Two processes are compared with two that were not killed."""
    command = f"python -m campaign.kills --kills {options.kills} --seed {options.seed}"
    table = Table(rows(outcomes))
    results = Results("reliability_kills", command, [table], {"seed": options.seed, "device": "cpu"})
    publishing.write(docs, results, "Reliability: kills", [before, table, after])


@dataclass
class Kills:
    """How many runs to kill, and where to write."""

    kills: int = 100
    """In all, shared by the cases."""
    seed: int = 0
    """Of the moments."""
    cases: tuple[str, ...] = tuple(CASES)
    """The runs to kill."""
    jobs: int = 1
    """Cases at a time."""
    docs: Path | None = None
    """Also write the page into this documentation folder; by default it is only printed."""

    def check(self) -> None:
        """Refuse unknown cases, and fewer kills than there are cases."""
        for name in self.cases:
            choose("cases", name, CASES)
        check_int("jobs", self.jobs, low=1)
        if self.kills < len(self.cases):
            argument_error("kills", self.kills, f"at least one for each of {len(self.cases)} cases")


def main(argv: Sequence[str] | None = None) -> int:
    """The command line's exit code."""
    return programs.main(Kills, kill, "python -m campaign.kills", __doc__, argv)


def kill(options: Kills) -> int:
    """Kill all cases; 1 where one did not end as if there had been no kill."""
    each, more = divmod(options.kills, len(options.cases))

    def one(number: int) -> Outcome:
        name = options.cases[number]
        outcome = campaign(name, each + (number < more), options.seed, Path(scratch) / str(number))
        print(rows([outcome])[0], flush=True)
        return outcome

    with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(options.jobs) as pool:
        outcomes = list(pool.map(one, range(len(options.cases))))
    if options.docs is not None:
        publish(options.docs, options, outcomes)
    wrong = failures(outcomes)
    print("\n".join(wrong) or f"{options.kills} kills; every run ended as if there had been none")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
