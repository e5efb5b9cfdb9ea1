"""Eager runs against the hand-written loop of the same method: what the design costs where nothing is compiled."""

from __future__ import annotations

from typing import NamedTuple

from benchmarks.rows.result import Result
from benchmarks.side_by_side import Settings, compare, compared, measured, same_outcome
from benchmarks.worker import Worker


class Case(NamedTuple):
    """A method on a pair of networks, and how many times the hand-written loop's time is allowed."""

    batch: int
    solver: str
    weight: float
    steps: int
    goal: float


CASES = {
    "mog16": Case(512, "rk4_classic", 0.07, 20, 1.6),
    "digits": Case(64, "heun2", 0.02, 5, 1.2),
    "dcgan32": Case(64, "heun2", 0.02, 1, 1.05),
}


def measure(settings: Settings) -> Result:
    """One thread; ODE-GAN's penalty after the step."""
    lines = []
    verdicts = []
    for name, case in CASES.items():
        batch = min(case.batch, 8) if settings.quick else case.batch
        common = {"case": name, "solver": case.solver, "steps": case.steps, "batch": batch}
        with Worker(1) as worker:
            penalty = f"generator_gradient:{case.weight}"
            peers = {
                "odegan eager": worker.add("peer_odegan:training", penalty=penalty, **common),
                "by hand": worker.add("peer_torch:by_hand", penalty=case.weight, **common),
            }
            same_outcome(peers)
            times = compare(peers, settings, f"eager, {name}")
        lines += [measured("eager", f"{name}, {case.solver}", peer, t, "steps") for peer, t in times.items()]
        what = "time of a step over the hand-written loop's"
        verdicts.append(
            compared("eager", f"{name}, {case.solver}", what, times["odegan eager"], times["by hand"], case.goal)
        )
    return Result(lines, verdicts)
