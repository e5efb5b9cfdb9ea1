"""The steps of an adaptive solver through one refresh interval."""

from __future__ import annotations

from collections.abc import Callable

import torch

from odegan import solvers
from odegan.field.ensemble import Time
from odegan.field.training_field import Field, Players
from odegan.games.batch import Batch
from odegan.games.game import Game
from odegan.training.interval import IntervalEvents, end_of
from odegan.training.options import Options
from odegan.training.recorder import RecordingField
from odegan.training.state import Aux, Draw, Info, IntervalResult, Reports, State
from odegan.training.statistics import StepRecord, StepStatistics
from odegan.training.step import projected
from odegan.training.time_grid import SNAP, as_time, reports_until


class AdaptiveSteps:
    """The steps of an adaptive solver, the last of which ends exactly at the interval's end.

    Args:
        game: for its projection.
        options: options of the run.
        events: the discrete events of an interval.
        field: for penalties after the step.
        slopes: (t, y, batch, start) -> (dy, losses), compiled or not; start is y at the interval's start.
        attempts: (recording, batch, start) -> the compiled function of an attempted step, or None.
    """

    def __init__(
        self,
        game: Game,
        options: Options,
        events: IntervalEvents,
        field: Field,
        slopes: Callable[[Time, torch.Tensor, Batch | None, torch.Tensor], Players],
        attempts: Callable[[RecordingField, Batch | None, torch.Tensor], solvers.OneAttempt | None],
    ) -> None:
        self.game = game
        self.options = options
        self.events = events
        self.field = field
        self.slopes = slopes
        self.attempts = attempts

    def __call__(self, state: State, draw: Draw, intervals: int, until: float, reports: Reports) -> IntervalResult:
        """Integrate to the end of one interval, or until the solver fails."""
        end = end_of(self.options, state, until)
        (batch,), aux = self.events.begin(draw(state.aux["index"], 1)[0], state.y, state.aux, state.t)
        y0 = state.y
        # A report this close to the end is the end: the solver would otherwise take a step of a few ulp to reach it.
        slack = SNAP * (end - state.t)
        within = reports_until(*reports, end + slack)
        inner = [t for t in within if t < end - slack]
        grid = torch.tensor([state.t, *inner, end], dtype=torch.float64, device=y0.device)
        # torchdiffeq checks y alone; this keeps the last state whose losses were finite too.
        reached = _FiniteUntil(state.t, y0)
        recording = RecordingField(lambda t, y: self.slopes(t, y, batch, y0), True, reached.after_step)
        result = self._solve(recording, y0, grid, aux["proposed"], self.attempts(recording, batch, y0))
        # The last step has no successor whose start would tell that it has ended.
        recording.finish(result.t, result.y)
        aux = aux | {"proposed": result.proposed}
        # A solver can end without an error although the losses were infinite: these are not in y.
        if result.failure is not None or reached.ended:
            return self._given_up(state, aux, result, grid, recording, reached)
        y1 = result.states[-1]
        if self.options.penalties_act("after_step"):
            # The penalty of the interval's start and over its whole length: the solver's own steps within it vary.
            y1 = y1 + (end - state.t) * self.field.penalty(as_time(state.t), y0, batch)
        y1 = projected(self.game, y1)
        aux = self.events.end(y1, aux | {"alive": aux["alive"] & torch.isfinite(y1).all(-1)})
        reported = [*result.states[1:-1], *([y1] if len(inner) < len(within) else [])]
        info = _info(reached.records, recording, aux["alive"])
        return IntervalResult(State(end, y1, aux), info, reported, StepStatistics.of(reached.records))

    def _solve(
        self,
        recording: RecordingField,
        y0: torch.Tensor,
        grid: torch.Tensor,
        proposed: float | None,
        attempt: solvers.OneAttempt | None,
    ) -> solvers.AdaptiveResult:
        options = self.options
        # A fresh call would guess the first step again, at the cost of two evaluations and of the size reached so far.
        first = proposed or options.solver_options.get("first_step")
        own = options.solver_options | {"norm": recording.norm, "first_step": first}
        return solvers.adaptive_solve(
            options.solver.name, recording, y0, grid, options.rtol, options.atol, own, attempt
        )

    def _given_up(
        self,
        state: State,
        aux: Aux,
        result: solvers.AdaptiveResult,
        grid: torch.Tensor,
        recording: RecordingField,
        reached: _FiniteUntil,
    ) -> IntervalResult:
        """The interval up to the last finite step; the failed step is the last record."""
        if not reached.ended:
            reached.records.append(recording.failed_step())
        t, y = (reached.t, reached.y) if reached.ended else (result.t, result.y)
        aux = self.events.end(y, aux | {"alive": torch.zeros_like(aux["alive"])})
        # The step that failed is kept as the last record, since its numbers say why the run ended.
        records = reached.records[: reached.steps + 1]
        reported = [s for s, at in zip(result.states[1:], grid[1:].tolist(), strict=False) if at <= t]
        info = _info(records, recording, aux["alive"])
        return IntervalResult(State(t, y.detach(), aux), info, reported, StepStatistics.of(records))


class _FiniteUntil:
    """Collects the records of an interval's steps, and its last state before y or a loss became non-finite."""

    def __init__(self, t: float, y: torch.Tensor) -> None:
        self.t = t
        self.y = y
        self.steps = 0
        self.ended = False
        self.records: list[StepRecord] = []

    def after_step(self, t: float, y: torch.Tensor, record: StepRecord) -> None:
        """Record a step that ended at (t, y); the record describes the step's start."""
        self.records.append(record)
        self.ended = self.ended or not bool(record.finite.all())
        if not self.ended:
            self.t = t
            self.y = y
            self.steps += 1


def _info(records: list[StepRecord], recording: RecordingField, alive: torch.Tensor) -> Info:
    last = records[-1]
    return Info(
        last.losses,
        last.field_norm,
        last.step_size,
        last.error_ratio,
        recording.nfe,
        len(records),
        recording.rejected,
        alive,
    )
