"""Fixed steps through refresh intervals: planned on the host, run as one segment, and interpolated for reports."""

from __future__ import annotations

import math
from collections.abc import Callable
from operator import itemgetter
from typing import NamedTuple

import torch

from odegan import solvers
from odegan.field.training_field import Field
from odegan.games.batch import Batch
from odegan.training.interval import interval_end
from odegan.training.options import Options
from odegan.training.segment import SegmentResult
from odegan.training.state import Draw, Info, IntervalResult, Reports, State
from odegan.training.statistics import StepStatistics
from odegan.training.time_grid import (
    SNAP,
    NextStep,
    StepCounter,
    StepLength,
    as_time,
    exact_time,
    next_step,
    to_float,
)


class Plan(NamedTuple):
    """The steps of a segment, n of them.

    Attributes:
        steps: each with its start, length and end.
        begin, sizes: starts and lengths as numbers.
        counters: the step counter before each step.
        intervals: to which of the segment's refresh intervals each belongs.
        reports: (time, number of the step in which it lies).
    """

    steps: list[NextStep]
    begin: list[float]
    sizes: list[float]
    counters: list[StepCounter]
    intervals: list[int]
    reports: list[tuple[float, int]]


def plan(options: Options, state: State, intervals: int, until: float, reports: Reports) -> Plan:
    """The fixed steps over the next ``intervals`` refresh intervals, or fewer if ``until`` comes first."""
    made = Plan([], [], [], [], [], [])
    t = state.t
    counter = state.aux["counter"]
    times, behind = reports
    for interval in range(intervals):
        # A segment needs a step; the caller only asks for one if something is left to do.
        if interval and t >= until:
            break
        number = state.aux["index"] + interval
        end = interval_end(options, state.aux["start"], number, until)
        while True:
            step = next_step(counter, t, options.step_at(t, number), end)
            # A report within rounding of the step's end belongs to it: the sum of steps and the report time round
            # apart.
            while behind < len(times) and times[behind] <= step.end + SNAP * (step.end - t):
                made.reports.append((times[behind], len(made.steps)))
                behind += 1
            made.steps.append(step)
            made.begin.append(t)
            made.sizes.append(step.h if isinstance(step.h, float) else to_float(step.h))
            made.counters.append(counter)
            made.intervals.append(interval)
            t = step.end
            counter = step.counter
            if not options.several_steps or t >= end:
                break
    return made


def stacked(numbers: list[StepLength]) -> torch.Tensor:
    """Times or lengths as one float64 tensor (n,), differentiable in the step size."""
    device = next((number.device for number in numbers if isinstance(number, torch.Tensor)), None)
    if device is None:
        return torch.tensor(numbers, dtype=torch.float64)
    return torch.stack([as_time(number).to(device) for number in numbers])


class FixedSteps:
    """Steps of the given size through refresh intervals.

    Args:
        options: options of the run.
        field: for cubic interpolation.
        segment: runs the planned steps: a ``Segment``, or one whose graph is made again.
    """

    def __init__(self, options: Options, field: Field, segment: Callable[..., SegmentResult]) -> None:
        self.options = options
        self.field = field
        self.segment = segment

    def __call__(self, state: State, draw: Draw, intervals: int, until: float, reports: Reports) -> IntervalResult:
        """Advance by ``intervals`` refresh intervals, or to ``until``."""
        planned = plan(self.options, state, intervals, until, reports)
        batches = draw(state.aux["index"], planned.intervals[-1] + 1)
        # Only these states outlive the segment; keeping all of them would need its length times the memory.
        keep = set(map(itemgetter(1), planned.reports))
        t = stacked([step.start for step in planned.steps])
        h = stacked([step.h for step in planned.steps])
        result = self.segment(t, h, state.y, state.aux, batches, planned.intervals, keep)
        last = planned.steps[-1]
        reported = [self._at(time, i, planned, result.kept[i]) for time, i in planned.reports]
        steps = len(planned.steps)
        statistics = StepStatistics(
            planned.begin,
            planned.sizes,
            [math.nan] * steps,
            result.losses,
            result.field_norm,
            result.finite,
        )
        info = Info(
            result.losses[-1],
            result.field_norm[-1],
            statistics.step_size[-1],
            math.nan,
            # Counted, not measured: the number of evaluations of a fixed step never varies.
            self.options.evaluations * steps,
            steps,
            0,
            result.finite[-1],
        )
        moved = State(last.end, result.y, result.aux | {"counter": last.counter})
        return IntervalResult(moved, info, reported, statistics)

    def _at(
        self, t: float, i: int, planned: Plan, kept: tuple[torch.Tensor, torch.Tensor, Batch | None]
    ) -> torch.Tensor:
        """The state at a report time within the i-th step, interpolated as in torchdiffeq."""
        y0, y1, batch = kept
        step = planned.steps[i]
        # At a step's end the state itself is reported, not an interpolation that rounds.
        if step.end - t <= SNAP * (step.end - planned.begin[i]):
            return y1
        # Differentiable in the step size, as the report moves relative to the grid when h changes.
        t0 = exact_time(planned.counters[i], planned.begin[i])
        t1: StepLength = exact_time(step.counter, step.end)
        if self.options.solver_options.get("interp") == "cubic":
            f0, f1 = (self.field(as_time(s), y, batch)[0] for s, y in ((t0, y0), (t1, y1)))
            return solvers.cubic_interpolation(t0, y0, f0, t1, y1, f1, t)  # type: ignore[arg-type]
        return y0 + (t - t0) / (t1 - t0) * (y1 - y0)
