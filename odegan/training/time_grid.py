"""The time of fixed steps, counted by integers: t = anchor + steps h, so that no rounding error builds up."""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence
from typing import NamedTuple

import torch

StepLength = float | torch.Tensor
SNAP = 1e-9  # times that differ by less than this part of a step are the same time


class StepCounter(NamedTuple):
    """anchor: where the present step size came into force; steps: how many since then; h: that step size (nan: none yet)."""

    anchor: float
    steps: int
    h: StepLength


class NextStep(NamedTuple):
    """One step: its start (differentiable where h is), its length, its end, and the counter after it."""

    start: StepLength
    h: StepLength
    end: float
    counter: StepCounter


def next_step(counter: StepCounter, t: float, h: StepLength, limit: float) -> NextStep:
    """The step from t of size h, shortened to end on ``limit``."""
    length = to_float(h)
    start = exact_time(counter, t)
    if length != to_float(counter.h):
        counter = StepCounter(t, 0, h)
    end = counter.anchor + (counter.steps + 1) * length
    if end < limit - SNAP * length:
        return NextStep(start, h, end, StepCounter(counter.anchor, counter.steps + 1, h))
    if end <= limit + SNAP * length:  # ends on the limit: keep counting
        return NextStep(start, h, limit, StepCounter(counter.anchor, counter.steps + 1, h))
    return NextStep(start, limit - start, limit, StepCounter(limit, 0, math.nan))


def exact_time(counter: StepCounter, t: float) -> StepLength:
    """The counter's time t, as a function of the step size where that is a tensor."""
    return counter.anchor + counter.steps * counter.h if isinstance(counter.h, torch.Tensor) else t


def reports_until(times: Sequence[float], position: int, end: float) -> Sequence[float]:
    """Those of the sorted times[position:] that do not lie beyond ``end``."""
    return times[position : bisect.bisect_right(times, end, lo=position)]


def as_time(t: StepLength) -> torch.Tensor:
    """A float64 scalar tensor, differentiable where t is."""
    return torch.as_tensor(t, dtype=torch.float64)


def to_float(h: StepLength) -> float:
    """h as a float."""
    return float(h.detach()) if isinstance(h, torch.Tensor) else float(h)
