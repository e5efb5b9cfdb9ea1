"""How a stepper goes through one refresh interval: by fixed steps, or by an adaptive solver's own."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch

from odegan import solvers
from odegan.solvers import baselines
from odegan.training.options import Arguments
from odegan.training.recorder import Watched
from odegan.training.solution import StepRecord
from odegan.training.state import Info, State
from odegan.training.step_context import Evaluator
from odegan.training.time_grid import SNAP, as_time, exact, plain, tick, until

Reports = tuple[Sequence[float], int]  # sorted times, and how many of them are behind us
Walked = tuple[State, Info, list[torch.Tensor]]  # the interval's end, what happened, states at the reports' times
Walk = Callable[[State, tuple[Any, ...], float, Reports], Walked]  # (state, batches, end, reports) -> Walked


class FixedWalk:
    """Steps of the given size. ``step``: ``evaluator.fixed_map()``, compiled or not."""

    def __init__(self, evaluator: Evaluator, step: Callable[..., Any]) -> None:
        self.evaluator, self.arguments, self.step = evaluator, evaluator.arguments, step

    def __call__(self, state: State, batches: tuple[Any, ...], end: float, reports: Reports) -> Walked:
        """To the end of the interval: one step, or as many as a refresh interval of some length holds."""
        records: list[StepRecord] = []
        reported: list[torch.Tensor] = []
        times, behind = reports
        while not records or (self._several_steps and state.t < end):
            before = state
            next_tick = tick(state.aux["clock"], state.t, self.arguments.step_at(state.t), end)
            y, memory, alive, losses, size = self.step(
                as_time(next_tick.start),
                as_time(next_tick.h),
                state.y,
                state.aux["memory"],
                state.aux["alive"],
                batches,
            )
            records.append(StepRecord(state.t, plain(next_tick.h), losses, size, math.nan, alive))
            state = State(next_tick.end, y, state.aux | {"clock": next_tick.clock, "memory": memory, "alive": alive})
            within = until(times, behind + len(reported), state.t + SNAP * (state.t - before.t))
            reported += [self._between(before, state, t, batches[0]) for t in within]
        return state, _info(records, evaluations(self.arguments) * len(records), 0), reported

    @property
    def _several_steps(self) -> bool:
        """Whether a refresh interval holds more than one fixed step."""
        refresh = self.arguments.refresh
        return isinstance(refresh, int | float) and refresh != math.inf

    def _between(self, before: State, after: State, t: float, batch: Any) -> torch.Tensor:
        """The state at a reported time within a step, as torchdiffeq interpolates."""
        length = after.t - before.t
        if after.t - t <= SNAP * length:
            return after.y
        t0, t1 = (exact(s.aux["clock"], s.t) for s in (before, after))
        if self.arguments.options.get("interp") == "cubic":
            ends = [self.evaluator.joint(as_time(s), y, batch)[0] for s, y in ((t0, before.y), (t1, after.y))]
            return solvers.cubic_interpolation(t0, before.y, ends[0], t1, after.y, ends[1], t)
        return before.y + (t - t0) / (t1 - t0) * (after.y - before.y)


class AdaptiveWalk:
    """Steps of an adaptive solver, which end on the interval's end.

    Args:
        evaluator: what happens once an interval.
        joint: (t, y, batch) -> (dy, losses), compiled or not.
        frozen: (t, y, batch, start) -> (dy, losses), against the opponent at the start.
    """

    def __init__(self, evaluator: Evaluator, joint: Callable[..., Any], frozen: Callable[..., Any]) -> None:
        self.evaluator, self.arguments, self.joint, self.frozen = evaluator, evaluator.arguments, joint, frozen

    def __call__(self, state: State, batches: tuple[Any, ...], end: float, reports: Reports) -> Walked:
        """To the end of the interval, or to where the solver gives up."""
        batch, y0, slack = batches[0], state.y, SNAP * (end - state.t)
        within = until(*reports, end + slack)
        inner = [t for t in within if t < end - slack]
        grid = torch.tensor([state.t, *inner, end], dtype=torch.float64, device=y0.device)
        sound = _Sound(state.t, y0)
        watched = Watched(lambda t, y: self._slopes(t, y, batch, y0), True, sound.after)
        first = state.aux["proposed"] or self.arguments.options.get("first_step")
        options = self.arguments.options | {"norm": watched.norm, "first_step": first}
        name, rtol, atol = self.arguments.solver.name, self.arguments.rtol, self.arguments.atol
        result = solvers.adaptive_solve(name, watched, y0, grid, rtol, atol, options)
        watched.finish(result.t, result.y)
        aux = state.aux | {"proposed": result.proposed}
        if result.failure is not None or sound.ended:
            if not sound.ended:
                watched.give_up()
            t, y = (sound.t, sound.y) if sound.ended else (result.t, result.y)
            stopped = State(t, y.detach(), aux | {"alive": torch.zeros_like(aux["alive"])})
            info = _info(watched.records[: sound.steps + 1], watched.nfe, watched.rejected, stopped.aux["alive"])
            return stopped, info, [s for s, at in zip(result.states[1:], grid[1:].tolist(), strict=False) if at <= t]
        y1 = result.states[-1]
        if self.evaluator.after_step:
            y1 = y1 + (end - state.t) * self.evaluator.penalty(as_time(state.t), y0, batch)
        y1 = self.evaluator.projected(y1)
        alive = aux["alive"] & torch.isfinite(y1).all(-1)
        reported = [*result.states[1:-1], *([y1] if len(inner) < len(within) else [])]
        info = _info(watched.records, watched.nfe, watched.rejected, alive)
        return State(end, y1, aux | {"alive": alive}), info, reported

    def _slopes(self, t: Any, y: torch.Tensor, batch: Any, start: torch.Tensor) -> Any:
        """(dy, losses) for the solver."""
        frozen = self.arguments.players == "frozen"
        return self.frozen(t, y, batch, start) if frozen else self.joint(t, y, batch)


class _Sound:
    """How far an interval is finite, its losses included, which no solver looks at: time, state and number of steps."""

    def __init__(self, t: float, y: torch.Tensor) -> None:
        self.t, self.y, self.steps, self.ended = t, y, 0, False

    def after(self, t: float, y: torch.Tensor, record: StepRecord) -> None:
        """A step has ended in y at t; its record tells of the step's start."""
        self.ended = self.ended or not bool(record.finite.all())
        if not self.ended:
            self.t, self.y, self.steps = t, y, self.steps + 1


def evaluations(arguments: Arguments) -> int:
    """Field evaluations of one fixed step."""
    solver = arguments.solver
    known = solver.name in solvers.BASELINES
    return baselines.evaluations(solver.name, arguments.options) if known else int(solver.stages or 1)


def _info(records: list[StepRecord], nfe: int, rejected: int, alive: Any = None) -> Info:
    last = records[-1]
    finite = last.finite if alive is None else alive
    return Info(
        last.losses, last.field_norm, last.step_size, last.error_ratio, nfe, len(records), rejected, finite, records
    )
