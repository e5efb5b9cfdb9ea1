"""The time of fixed steps, counted by integers: t = anchor + steps h, so that no rounding error builds up."""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence
from typing import NamedTuple

import torch

StepLength = float | torch.Tensor
SNAP = 1e-9  # times that differ by less than this fraction of a step count as equal


class StepCounter(NamedTuple):
    """anchor: the time from which the step size h applies; steps: number of steps since; h is nan before the first step.

    anchor is a function of the earlier step sizes, if these are tensors.
    """

    anchor: StepLength
    steps: int
    h: StepLength


class NextStep(NamedTuple):
    """One step: its start (differentiable if h is), length and end, and the counter after it."""

    start: StepLength
    h: StepLength
    end: float
    counter: StepCounter


def next_step(counter: StepCounter, t: float, h: StepLength, limit: float) -> NextStep:
    """The step from t of size h, shortened to end at ``limit``."""
    length = to_float(h)
    start = exact_time(counter, t)
    # A new size starts a new count from here, and so does an equal one with a gradient of its own. Compared by identity first,
    # which reads no tensor.
    if h is not counter.h and (length != to_float(counter.h) or _asks(h) or _asks(counter.h)):
        counter = StepCounter(start, 0, h)
    end = to_float(counter.anchor) + (counter.steps + 1) * length
    if end < limit - SNAP * length:
        return NextStep(start, h, end, StepCounter(counter.anchor, counter.steps + 1, h))
    if end <= limit + SNAP * length:  # a full step that ends at the limit keeps its count
        return NextStep(start, h, limit, StepCounter(counter.anchor, counter.steps + 1, h))
    return NextStep(start, limit - start, limit, StepCounter(limit, 0, math.nan))


def exact_time(counter: StepCounter, t: float) -> StepLength:
    """The counter's time t, as a function of the step sizes so far if these are tensors."""
    if not isinstance(counter.anchor, torch.Tensor) and not isinstance(counter.h, torch.Tensor):
        return t
    # h is nan before the first step.
    return counter.anchor + counter.steps * counter.h if counter.steps else counter.anchor


def _asks(h: StepLength) -> bool:
    return isinstance(h, torch.Tensor) and h.requires_grad


def reports_until(times: Sequence[float], position: int, end: float) -> Sequence[float]:
    """The sorted times[position:] up to ``end``."""
    return times[position : bisect.bisect_right(times, end, lo=position)]


def as_time(t: StepLength) -> torch.Tensor:
    """t as a float64 scalar tensor, differentiable if t is."""
    return torch.as_tensor(t, dtype=torch.float64)


def to_float(h: StepLength) -> float:
    """A number or a one-element tensor as a Python float."""
    return float(h.detach()) if isinstance(h, torch.Tensor) else float(h)
