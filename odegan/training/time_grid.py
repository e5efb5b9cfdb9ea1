"""The time of fixed steps, counted by integers: t = anchor + steps h, so that no rounding error builds up."""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

SNAP = 1e-9  # times that differ by less than this part of a step are the same time


class Clock(NamedTuple):
    """anchor: where the present step size came into force; steps: how many since then; h: that step size (nan: none yet)."""

    anchor: float
    steps: int
    h: Any


class Tick(NamedTuple):
    """One step: its start (differentiable where h is), its length, its end, and the clock after it."""

    start: Any
    h: Any
    end: float
    clock: Clock


def tick(clock: Clock, t: float, h: Any, limit: float) -> Tick:
    """The step from t of size h, shortened to end on ``limit``."""
    length = plain(h)
    start = exact(clock, t)
    if length != plain(clock.h):
        clock = Clock(t, 0, h)
    end = clock.anchor + (clock.steps + 1) * length
    if end < limit - SNAP * length:
        return Tick(start, h, end, Clock(clock.anchor, clock.steps + 1, h))
    if end <= limit + SNAP * length:  # ends on the limit: keep counting
        return Tick(start, h, limit, Clock(clock.anchor, clock.steps + 1, h))
    return Tick(start, limit - start, limit, Clock(limit, 0, math.nan))


def exact(clock: Clock, t: float) -> Any:
    """The clock's time t, as a function of the step size where that is a tensor."""
    return clock.anchor + clock.steps * clock.h if isinstance(clock.h, torch.Tensor) else t


def until(times: Sequence[float], position: int, end: float) -> Sequence[float]:
    """Those of the sorted times[position:] that do not lie beyond ``end``."""
    return times[position : bisect.bisect_right(times, end, lo=position)]


def as_time(t: Any) -> torch.Tensor:
    """A float64 scalar tensor, differentiable where t is."""
    return torch.as_tensor(t, dtype=torch.float64)


def plain(h: Any) -> float:
    """h as a float."""
    return float(h.detach()) if isinstance(h, torch.Tensor) else float(h)
