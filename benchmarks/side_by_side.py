"""Peers timed in turn, A B C A B C ..., and their ratios pair by pair."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from benchmarks.worker import Handle
from experiments.framework.progress import shown


class Settings(NamedTuple):
    """repetitions: of each peer; turn: seconds that one turn lasts about; quick: a form in which the numbers mean nothing."""

    repetitions: int = 5
    turn: float = 0.5
    quick: bool = False

    @property
    def backend(self) -> str:
        """What compiles: inductor, or something that takes no time."""
        return "aot_eager" if self.quick else "inductor"


class Times(NamedTuple):
    """Seconds a unit of work, one for each repetition: by the clock, and of the processor (all threads together)."""

    wall: list[float]
    cpu: list[float]

    @property
    def median(self) -> float:
        """Seconds a unit, by the clock."""
        return statistics.median(self.wall)


class Ratio(NamedTuple):
    """Of two peers' times, pair by pair: the median, the extremes, and the median of the ratios of processor times."""

    median: float
    lowest: float
    highest: float
    cpu: float


def compare(peers: Mapping[str, Handle], settings: Settings, label: str) -> dict[str, Times]:
    """Warm up every peer, then time them in turn."""
    calls = {}
    for name, peer in shown(list(peers.items()), f"{label}: compiling and warming up", True):
        peer.timed()
        seconds = peer.timed()[0] * peer.units
        if "compiled" in name and peer.facts().get("compiled") is False:
            raise RuntimeError(f"{label}: {name} fell back to eager steps; see the warning above")
        calls[name] = max(1, round(settings.turn / seconds))
    times = {name: Times([], []) for name in peers}
    for _ in shown(range(settings.repetitions), f"{label}: measuring", True):
        for name, peer in peers.items():
            wall, cpu = peer.timed(calls[name])
            times[name].wall.append(wall)
            times[name].cpu.append(cpu)
    return times


def best(times: Mapping[str, Times], names: Sequence[str]) -> str:
    """The name of the fastest of these."""
    return min(names, key=lambda name: times[name].median)


def ratio(a: Times, b: Times) -> Ratio:
    """Times of a over times of b."""
    walls = [x / y for x, y in zip(a.wall, b.wall, strict=True)]
    cpus = [x / y for x, y in zip(a.cpu, b.cpu, strict=True)]
    return Ratio(statistics.median(walls), min(walls), max(walls), statistics.median(cpus))


def same_outcome(peers: Mapping[str, Handle], rtol: float = 1e-3, atol: float = 2e-5) -> None:
    """Refuse peers that do not compute the same as the first of them."""
    first, *others = peers
    wanted = np.asarray(peers[first].outcome())
    for name in others:
        found = np.asarray(peers[name].outcome())
        if found.shape != wanted.shape or not np.allclose(found, wanted, rtol=rtol, atol=atol):
            worst = abs(found - wanted).max() if found.shape == wanted.shape else f"shape {found.shape}"
            raise RuntimeError(f"{name} does not give the step of {first}: largest difference {worst}")


def measured(row: str, case: str, peer: str, times: Times, unit: str) -> dict[str, Any]:
    """One line of the table of measurements: units a second."""
    return {
        "row": row,
        "case": case,
        "peer": peer,
        "per second": 1 / times.median,
        "unit": unit,
        "ms": 1e3 * times.median,
        "processor ms": 1e3 * statistics.median(times.cpu),
    }


def verdict(
    row: str,
    case: str,
    what: str,
    value: float,
    goal: float | None,
    at_least: bool = False,
    spread: str = "",
    cpu: float | None = None,
    note: str = "",
) -> dict[str, Any]:
    """One line of the table of goals; goal None: a number to know, without one."""
    met = goal is not None and (value >= goal if at_least else value <= goal)
    return {
        "row": row,
        "case": case,
        "what": what,
        "value": value,
        "range": spread,
        "by processor time": cpu,
        "goal": "-" if goal is None else f"at {'least' if at_least else 'most'} {goal:g}",
        "met": "-" if goal is None else "yes" if met else "no",
        "note": note,
    }


def compared(
    row: str, case: str, what: str, a: Times, b: Times, goal: float | None, at_least: bool = False, note: str = ""
) -> dict[str, Any]:
    """The verdict on a ratio of times, a over b."""
    r = ratio(a, b)
    return verdict(row, case, what, r.median, goal, at_least, f"{r.lowest:.3g} to {r.highest:.3g}", r.cpu, note)
