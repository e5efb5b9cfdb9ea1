"""A whole run as a single call of torchdiffeq, possible if the minibatch never changes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypedDict

import torch
from torchdiffeq import odeint

from odegan import solvers
from odegan.games.batch import Batch
from odegan.games.players import Players
from odegan.solvers.torchdiffeq_backend import Scalar
from odegan.training.fixed_steps import stacked
from odegan.training.hooks import around
from odegan.training.options import Tolerance
from odegan.training.recorder import RecordingField
from odegan.training.run import Run
from odegan.training.solution import Solution
from odegan.training.state import Info, State
from odegan.training.statistics import StepRecord, StepStatistics
from odegan.training.stepper import Stepper
from odegan.training.time_grid import SNAP, StepLength, as_time, next_step, to_float
from odegan.training.trial import try_out
from odegan.utils.checks import argument_error


class Call(TypedDict):
    """The keywords of a call of ``torchdiffeq.odeint``."""

    method: str
    rtol: Tolerance
    atol: Tolerance
    options: dict[str, object]


class _Ended(Exception):
    """Raised to end a run in the middle of torchdiffeq's call."""


def solve(run: Run) -> Solution:
    """Integrate the run's field over all times; ``RecordingField`` provides statistics, callbacks and progress."""
    with around(run, run.hooks):
        if run.status == "running":
            _solve(run)
    return run.solution()


def _solve(run: Run) -> None:
    stepper = run.stepper
    y0 = run.state.y
    opaque = stepper.options.solver.opaque
    ((batch,),) = run.batches(0, 1)
    if batch is not None:
        batch = stepper.events.completed(batch, y0, run.state.aux, run.state.t)
    times = torch.tensor(run.times, dtype=torch.float64, device=y0.device)
    reporter = _Reporter(run)
    try_out(stepper.game, stepper.options, run.times[0], y0, batch)
    recorder, call = _call(run, reporter, batch)
    with solvers.registered():
        try:
            states = _integrate(stepper, batch, recorder, y0, times, call)
            if isinstance(recorder, _CountingField):
                run.statistics.nfe = recorder.nfe
            # scipy returns the states that it has reached, without an error.
            if len(states) < len(times):
                raise _Ended
            if isinstance(recorder, RecordingField):
                recorder.finish(run.times[-1], states[-1])
        except (_Ended, AssertionError) as error:
            if isinstance(error, AssertionError):
                solvers.explain_failure(error)
                reporter.failed()
            if opaque:
                _short(run, states)
                return
            # An exception is the only way out of torchdiffeq's loop, and takes the states with it.
            states = _again(stepper, batch, y0, times, run.state.t, call)
    run.reported = list(states)
    if run.status == "running":
        run.status = "finished"
        y = states[-1]
        gone = ~run.stopped_at.isnan().to(states.device)
        run.state = State(
            run.times[-1], torch.where(gone[..., None], run.state.y, y) if gone.any() else y, run.state.aux
        )


def _integrate(
    stepper: Stepper,
    batch: Batch | None,
    recorder: RecordingField | _CountingField,
    y0: torch.Tensor,
    times: torch.Tensor,
    call: Call,
) -> torch.Tensor:
    if isinstance(recorder, _CountingField):
        return _opaque(recorder, y0, times, call)
    # torchdiffeq's odeint, unless attempts are compiled: its results are then its own by construction.
    attempt = stepper.attempts(recorder, batch, y0) if stepper.options.solver.adaptive else None
    if attempt is None:
        return odeint(recorder, y0, times, **call)
    return solvers.adaptive_integrate(
        call["method"], recorder, y0, times, call["rtol"], call["atol"], call["options"], attempt
    )


def _call(run: Run, reporter: _Reporter, batch: Batch | None) -> tuple[RecordingField | _CountingField, Call]:
    """The function that torchdiffeq integrates, whose steps go to the reporter, and the keywords of the call."""
    arguments = run.stepper.options
    solver = arguments.solver
    # torchdiffeq gets a recording norm below, which calls the user's.
    options = {k: v for k, v in arguments.solver_options.items() if k != "norm"}

    def evaluate(t: Scalar, y: torch.Tensor) -> Players:
        return run.stepper.evaluate(t, y, batch)

    call = Call(method=solver.name, rtol=arguments.rtol, atol=arguments.atol, options=options)
    if solver.opaque:
        return _CountingField(lambda t, y: evaluate(t, y)[0]), call
    recorder = RecordingField(evaluate, solver.adaptive, reporter.after, arguments.solver_options.get("norm"))
    options |= {"norm": recorder.norm} if solver.adaptive else {}
    reporter.recorder = recorder
    if not solver.adaptive and "grid_constructor" not in options:
        # A grid of our own: torchdiffeq's counts in the dtype of t, and now and then adds a step of length zero.
        grid = _grid(run)
        options["grid_constructor"] = lambda func, y, t: grid[grid <= t[-1]]
    elif not solver.adaptive:
        options["grid_constructor"] = _checked(options["grid_constructor"])
    return recorder, call


def _checked(constructor: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """The user's function (func, y0, t) -> grid, whose value is checked; torchdiffeq only asserts what it must be."""

    def grid_constructor(func: object, y0: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        grid = constructor(func, y0, t)
        increasing = isinstance(grid, torch.Tensor) and grid.ndim == 1 and bool((grid[1:] > grid[:-1]).all())
        if not increasing or not torch.equal(grid[[0, -1]].to(t), t[[0, -1]]):
            argument_error(
                "options grid_constructor",
                grid,
                f"a function whose value is an increasing tensor from {t[0]:g} to {t[-1]:g}",
            )
        return grid

    return grid_constructor


class _Reporter:
    """Reports each step that torchdiffeq takes to the run."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.end = run.times[-1]
        self.recorder: RecordingField
        self.counted = (0, 0)  # the recorder's evaluations and rejected steps that were reported

    def after(self, t: float, y: torch.Tensor, record: StepRecord) -> None:
        """Record a step that ended at (t, y)."""
        run = self.run
        nfe, rejected = self._uncounted()
        info = Info(*record[2:4], record.step_size, record.error_ratio, nfe, 1, rejected, record.finite)
        run.statistics.add(StepStatistics.of([record]), nfe, rejected)
        over = run.note_finite(record.t, record.finite)
        # A member that has stopped keeps its last finite state, while the others go on.
        last = torch.where(run.stopped_at.isnan().to(y.device)[..., None], y, run.state.y)
        aux = run.state.aux | {"index": run.state.aux["index"] + 1}
        run.state = State(min(t, self.end) if not over else record.t, last, aux)
        if over:
            run.status = "stopped"
            run.message = run.nonfinite_message()
        ending = run.agreed(run.asked(info))
        if not over and ending:
            run.status, run.message = ending
        if run.status != "running":
            raise _Ended

    def failed(self) -> None:
        """Record the failure of an adaptive solver."""
        run = self.run
        run.statistics.add(StepStatistics.of([self.recorder.failed_step()]), *self._uncounted())
        run.note_finite(self.recorder.t, torch.zeros_like(run.stopped_at, dtype=torch.bool))
        run.status = "stopped"
        run.message = run.nonfinite_message()

    def _uncounted(self) -> tuple[int, int]:
        """The evaluations and rejected steps since the last report."""
        before = self.counted
        self.counted = self.recorder.nfe, self.recorder.rejected
        return self.counted[0] - before[0], self.counted[1] - before[1]


class _CountingField:
    """A field that counts its evaluations but has no callbacks."""

    def __init__(self, field: Callable[[Scalar, torch.Tensor], torch.Tensor]) -> None:
        self.field = field
        self.nfe = 0

    def __call__(self, t: Scalar, y: torch.Tensor) -> torch.Tensor:
        self.nfe += 1
        return self.field(t, y)


def _again(
    stepper: Stepper, batch: Batch | None, y0: torch.Tensor, times: torch.Tensor, end: float, call: Call
) -> torch.Tensor:
    """The reports of a run that ended at ``end``; torchdiffeq then returns nothing, so the run is repeated up to there."""
    before = times[times <= end]
    fixed = not stepper.options.solver.adaptive
    if len(before) == 1 and end == float(times[0]):
        return y0[None]
    wanted = torch.cat([before, times.new_tensor([end])]) if fixed and float(before[-1]) < end else before
    states = odeint(lambda t, y: stepper.evaluate(t, y, batch)[0], y0, wanted, **call)
    return states[: len(before)]


def _opaque(field: _CountingField, y0: torch.Tensor, times: torch.Tensor, call: Call) -> torch.Tensor:
    """An opaque solver's states before the first non-finite one.

    scipy hangs if the field is non-finite at the start, and its implicit methods return nothing if it becomes so; then
    bisection finds for how many times they succeed.
    """
    if not torch.isfinite(field.field(times[0], y0)).all():
        return y0[None]
    states = y0[None]
    works = 1
    fails = len(times) + 1
    while fails - works > 1:
        # All times first: mostly nothing fails, and one call suffices.
        asked = len(times) if fails > len(times) else (works + fails) // 2
        try:
            found = _finite(odeint(field, y0, times[:asked], **call))
            works = asked
            states = found if len(found) else y0[None]  # LSODA returns none if its first step fails
        except ValueError as error:
            if "infs or NaNs" not in str(error):
                raise
            fails = asked
    return states


def _finite(states: torch.Tensor) -> torch.Tensor:
    """The states before the first non-finite one."""
    return states[torch.isfinite(states).flatten(1).all(1).long().cumprod(0).bool()]


def _short(run: Run, states: torch.Tensor) -> None:
    """Handle fewer states than requested from scipy, which means that the field diverged after the last of them."""
    run.reported = list(states)
    last = run.times[len(states) - 1]
    run.state = State(last, states[-1], run.state.aux)
    run.note_finite(last, torch.zeros_like(run.stopped_at, dtype=torch.bool))
    run.status = "stopped"
    run.message = run.nonfinite_message()


def _grid(run: Run) -> torch.Tensor:
    """The grid t_0 + k h, counted by integers, with the last time as its end; differentiable in h.

    For one horizon in a dozen torchdiffeq's own grid has an extra step of (nearly) zero length.
    """
    start = run.times[0]
    end = run.times[-1]
    options = run.stepper.options
    device = run.state.y.device
    if callable(options.step_size):
        starts: list[StepLength] = []
        counter = run.state.aux["counter"]
        t = start
        while t < end:
            step = next_step(counter, t, options.step_at(t, len(starts)), end)
            starts.append(step.start)
            t = step.end
            counter = step.counter
        inner = stacked(starts).to(device)
        last = as_time(step.start + step.h).to(device)
    else:
        h = options.step_at(start, 0)
        steps = max(1, math.ceil((end - start) / to_float(h) - SNAP))
        size = torch.as_tensor(h, dtype=torch.float64, device=device)
        inner = start + torch.arange(steps, dtype=torch.float64, device=device) * size
        # Times end where they say, whatever the step; a number of steps ends where the last of them does.
        last = size.new_tensor(end) if options.horizon else start + steps * size
    # Exactly the end in value, by which torchdiffeq recognizes its last report.
    return torch.cat([inner, (end + (last - last.detach()))[None]])
